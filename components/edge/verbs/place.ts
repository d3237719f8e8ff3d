import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { canonical } from "../../rollout/fingerprint.ts";
import type { WorkerApi } from "../api.ts";
import { plainBindings, secretBindings } from "../bindings.ts";
import { readAssets, stageContent } from "../content.ts";
import { FrontWriter, readFront } from "../front.ts";
import type { ReleaseRecord } from "../manifest.ts";
import { hindrances } from "../one-way.ts";
import { overrideFor } from "../probe.ts";
import { readPlaced } from "../records.ts";
import { serves, sharesOf } from "../shares.ts";
import { EdgeCutoverTarget } from "../target.ts";
import { inTurn } from "../turn.ts";

export interface Delivery extends ReleaseRecord {
  readonly fingerprint: string;
  /** Values of the secrets; only the local edge is given them by this way. */
  readonly secrets?: Readonly<Record<string, string>>;
}

/** Longest wait for a cutover of this machine that still runs, in seconds. */
const turnSeconds = 1800;

/** Looks, before anything changes, whether the release can be placed, and whether there is a way back from it. */
export async function preflight(api: WorkerApi, delivery: Delivery): Promise<void> {
  const { fingerprint, manifest } = delivery;
  const [placed, front] = await Promise.all([readPlaced(api), readFront(api)]);
  if (!placed?.closed || !front) throw new Error(`${api.address.worker} was never prepared`);
  if (isPlaced(placed.releases, front.state.gated, fingerprint)) return;
  overrideFor(api.address.worker, "");
  plainBindings(delivery);
  await stageContent(manifest, fingerprint);
  const { confirmed } = front.state.cutover;
  const serving = placed.releases.find((release) => release.fingerprint === confirmed) ?? null;
  const current = front.shares.find(({ percentage }) => percentage > 0)?.versionId;
  const migrationTag = current === undefined ? null : (await api.version(current)).migrationTag;
  const { policy } = placed.closed.record;
  const found = hindrances(manifest, serving?.record.manifest ?? null, migrationTag, policy);
  if (found.length > 0) {
    throw new Error(`${manifest.system} ${manifest.release} would have no way back:\n${found.join("\n")}`);
  }
}

/** Uploads the release's version; repeated by the same call it is left as it is. */
export async function upload(api: WorkerApi, delivery: Delivery): Promise<{ version: string }> {
  const { fingerprint, secrets, ...record } = delivery;
  const { manifest } = record;
  const placed = await readPlaced(api);
  const known = placed?.releases.find((release) => release.fingerprint === fingerprint);
  if (known && canonical(known.record) === canonical(record)) return { version: known.versionId };
  const folder = await stageContent(manifest, fingerprint);
  const { main, assets } = manifest;
  const files = assets && (await readAssets(join(folder, assets.folder)));
  const code = main === null ? null : await readFile(join(folder, main));
  const version = await api.upload({
    tag: fingerprint,
    message: `${manifest.system} ${manifest.release} (${manifest.version})`,
    mainModule: main,
    modules:
      main === null || code === null
        ? []
        : [{ name: main, type: "application/javascript+module", base64: code.toString("base64") }],
    bindings: [...plainBindings(record), ...secretBindings(manifest, secrets ?? {})],
    compatibilityDate: manifest.compatibilityDate,
    compatibilityFlags: manifest.compatibilityFlags,
    assets: assets && files ? { token: await api.uploadAssets(files), notFound: assets.notFound } : null,
  });
  return { version: version.id };
}

/**
 * The gates a release passes before any traffic: it is in the deployment with no share, and answers there when it is
 * asked for by version. Leaves the mark that the cutover asks for, so `--target` cannot walk around it.
 */
export async function gates(
  api: WorkerApi,
  system: string,
  release: string,
  fingerprint: string,
): Promise<void> {
  const options = { seconds: turnSeconds, isUnwanted: async () => false };
  await inTurn(api.address, fingerprint, options, async () => {
    const target = await EdgeCutoverTarget.open(api);
    const finding = await target.checkHealth(fingerprint);
    if (finding) {
      const { rule, measured, allowed } = finding;
      await target.dropUnshared();
      throw new Error(`${system} ${release}\ngate: ${rule}\nmeasured: ${measured}\nallowed: ${allowed}`);
    }
    await target.markGated(fingerprint);
  });
}

/** Nothing that serves is ever deleted: refuses while traffic is, or may be taken back, on the release. */
export async function refuseIfServing(
  api: WorkerApi,
  system: string,
  release: string,
  fingerprint: string,
): Promise<void> {
  const [front, placed] = await Promise.all([readFront(api), readPlaced(api)]);
  if (!front || !placed) return;
  const { confirmed, pending } = front.state.cutover;
  const found = placed.releases.find((one) => one.fingerprint === fingerprint);
  // The name it was placed by: steps under another name leave the release alone.
  if (found && found.record.manifest.release !== release) return;
  const shared = found !== undefined && serves(front.shares, found.versionId);
  if (confirmed !== fingerprint && pending?.to !== fingerprint && pending?.from !== fingerprint && !shared)
    return;
  throw new Error(
    `${system} ${release} serves at this moment, so it is not deleted: make another release live first ` +
      `(\`switchyard release ${system} <version>\`), or arm a destroy (\`switchyard destroy --arm\`)`,
  );
}

/** Takes a release that does not serve away from the local edge. */
export async function remove(
  api: WorkerApi,
  system: string,
  release: string,
  fingerprint: string,
): Promise<void> {
  await refuseIfServing(api, system, release, fingerprint);
  const [front, placed] = await Promise.all([readFront(api), readPlaced(api)]);
  const found = placed?.releases.find((one) => one.fingerprint === fingerprint);
  if (!front || !found || found.record.manifest.release !== release) return;
  const [serving, ...rest] = front.shares.filter(({ percentage }) => percentage > 0);
  if (serving && rest.length === 0 && front.shares.length > 1) {
    const writer = new FrontWriter(api, true);
    await writer.write({ shares: sharesOf(serving.versionId, 100, null) });
  }
  for (const { id, tag } of (await api.versions()) ?? [])
    if (tag === fingerprint) await api.removeVersion(id);
}

function isPlaced(
  releases: readonly { readonly fingerprint: string }[],
  gated: readonly string[],
  wanted: string,
): boolean {
  return gated.includes(wanted) && releases.some(({ fingerprint }) => fingerprint === wanted);
}
