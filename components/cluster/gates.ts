import type { ClusterApi } from "./api.ts";
import { pointDoors } from "./baker/doors.ts";
import { journalOf } from "./journal.ts";
import { lookAt } from "./launch.ts";
import type { ClusterRelease } from "./manifest.ts";
import { mark } from "./migrate.ts";
import { annotation, colourDoorName } from "./names.ts";
import { releaseObjects, type SecretValues } from "./objects/release.ts";

/** What the engine's step sends for a release. */
export interface GatesInput {
  readonly release: ClusterRelease;
  readonly replicas: Readonly<Record<string, number>>;
  readonly secrets: SecretValues;
  readonly receipt: string;
}

/**
 * The gates a release passes before any traffic (TRD-2, TRD-3): every pod is ready and answers every check, so does the
 * Service of its colour. Leaves the mark that the cutover asks for, so `--target` cannot walk around it.
 * @returns one line a service
 */
export async function gates(api: ClusterApi, input: GatesInput): Promise<readonly string[]> {
  const { release, receipt } = input;
  const { system, services } = release.manifest;
  await placeWhatIsMissing(api, input);
  const doors = services
    .filter(({ kind }) => kind === "serving")
    .map(({ name }) => ({ name: colourDoorName(system, name, release.colour), service: name }));
  await pointDoors(api, system, doors, release.fingerprint);
  const { finding, lines } = await lookAt(api, system, release.fingerprint);
  if (finding) {
    const journal = await journalOf(api, release);
    const { rule, measured, allowed } = finding;
    throw new Error(
      [
        `gate of ${system} ${release.manifest.release}: ${rule}`,
        `measured: ${measured}`,
        `allowed: ${allowed}`,
        ...(journal.length > 0 ? ["last lines:", ...journal.map((line) => `  ${line}`)] : []),
      ].join("\n"),
    );
  }
  await mark(api, release, { [annotation.gates]: new Date().toISOString(), [annotation.receipt]: receipt });
  return lines;
}

/** What the engine believes to be there and somebody has deleted; in an ordinary update that is nothing. */
async function placeWhatIsMissing(
  api: ClusterApi,
  { release, replicas, secrets }: GatesInput,
): Promise<void> {
  const objects = releaseObjects(release, replicas, secrets);
  const found = await Promise.all(objects.map(({ kind, metadata }) => api.find(kind, metadata.name)));
  for (const [index, object] of objects.entries()) if (!found[index]) await api.apply(object);
}
