import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { BakePolicy } from "../../gates/policy.ts";
import { type CutoverState, untouched } from "../../rollout/cutover/state.ts";
import type { PlacedRelease } from "../../rollout/manifest.ts";
import type { Checklist } from "./checklist.ts";
import type { DeclaredConnections } from "./connections.ts";
import { readJson, writeDurably } from "./durable.ts";
import type { Host } from "./host.ts";

/** What a box remembers: per system its cutover state and policy, per release its manifest, ports and finished steps. */

export type StepName = "preflight" | "backup" | "migrate" | "place" | "gates";

export interface ReleaseRecord extends PlacedRelease {
  /** Receipt of the engine's call that brought the release; the program asks for it (see heal). */
  readonly receipt: string;
  /** Port of each service's process on the box. */
  readonly ports: Readonly<Record<string, number>>;
  /** Finished steps, each with the time it finished. */
  readonly done: Partial<Readonly<Record<StepName, string>>>;
}

/** What may change in place on a box, without a release. */
export interface Policy extends BakePolicy {
  /** Builds kept beside those of placed releases. */
  readonly keptBuilds: number;
  /** Free space that placing needs, in MiB. */
  readonly freeMebibytes: number;
  /** What a release is asked before it is placed, where the system has a checklist. */
  readonly checklist?: Checklist;
  /**
   * What is asked of a release's connections beyond an answer. It belongs to the environment and not to a release: one
   * replica more makes no other release.
   */
  readonly connections?: DeclaredConnections;
}

export function systemDirectory(host: Host, system: string): string {
  return join(host.stateDirectory, "systems", system);
}

function releaseDirectory(host: Host, system: string, fingerprint: string): string {
  return join(systemDirectory(host, system), "releases", fingerprint);
}

export async function listSystems({ stateDirectory }: Pick<Host, "stateDirectory">): Promise<string[]> {
  return names(join(stateDirectory, "systems"));
}

/** Tells whose a door, a unit or a build is by its name: `pod-cluster-mcp-8111` is not pod's where there is a pod-cluster. */
export async function namesOf(
  host: Pick<Host, "stateDirectory">,
  system: string,
): Promise<(name: string) => boolean> {
  const longer = (await listSystems(host)).filter((other) => other.startsWith(`${system}-`));
  return (name) => name.startsWith(`${system}-`) && !longer.some((other) => name.startsWith(`${other}-`));
}

export async function listReleases(host: Host, system: string): Promise<ReleaseRecord[]> {
  const folder = join(systemDirectory(host, system), "releases");
  const records = await Promise.all((await names(folder)).map((name) => findRelease(host, system, name)));
  return records.filter((record) => record !== null);
}

export function findRelease(host: Host, system: string, fingerprint: string): Promise<ReleaseRecord | null> {
  return readJson(join(releaseDirectory(host, system, fingerprint), "record.json"));
}

/** Throws where the release was never brought here: what asked for it walked around the earlier steps. */
export async function requireRelease(
  host: Host,
  system: string,
  fingerprint: string,
): Promise<ReleaseRecord> {
  const record = await findRelease(host, system, fingerprint);
  if (record) return record;
  throw new Error(
    `${system} ${fingerprint} is not on this box: its earlier steps have not run here; ` +
      "run the whole update without --target",
  );
}

export async function writeRelease(host: Host, record: ReleaseRecord): Promise<void> {
  const folder = releaseDirectory(host, record.manifest.system, record.fingerprint);
  await writeDurably(join(folder, "record.json"), `${JSON.stringify(record, null, 2)}\n`);
}

export async function markDone(host: Host, record: ReleaseRecord, step: StepName): Promise<ReleaseRecord> {
  const marked = { ...record, done: { ...record.done, [step]: new Date().toISOString() } };
  await writeRelease(host, marked);
  return marked;
}

/** Values of a release's secrets, by name of environment variable; a file of its own, mode 0600. */
export async function readSecrets(host: Host, record: PlacedRelease): Promise<Record<string, string>> {
  return (await readJson<Record<string, string>>(secretsFile(host, record))) ?? {};
}

export async function writeSecrets(
  host: Host,
  record: PlacedRelease,
  values: Record<string, string>,
): Promise<void> {
  await writeDurably(secretsFile(host, record), JSON.stringify(values));
}

function secretsFile(host: Host, { manifest, fingerprint }: PlacedRelease): string {
  return join(releaseDirectory(host, manifest.system, fingerprint), "secrets.json");
}

export async function forgetRelease(host: Host, system: string, fingerprint: string): Promise<void> {
  await rm(releaseDirectory(host, system, fingerprint), { recursive: true, force: true });
}

export async function readCutover(host: Host, system: string): Promise<CutoverState> {
  return (await readJson<CutoverState>(join(systemDirectory(host, system), "cutover.json"))) ?? untouched;
}

export async function writeCutover(host: Host, system: string, state: CutoverState): Promise<void> {
  const path = join(systemDirectory(host, system), "cutover.json");
  await writeDurably(path, `${JSON.stringify(state, null, 2)}\n`);
}

export async function readPolicy(host: Host, system: string): Promise<Policy> {
  const policy = await readJson<Policy>(join(systemDirectory(host, system), "policy.json"));
  if (policy) return policy;
  throw new Error(`${system} has no policy on this box: run the whole update without --target`);
}

export async function writePolicy(host: Host, system: string, policy: Policy): Promise<void> {
  const path = join(systemDirectory(host, system), "policy.json");
  await writeDurably(path, `${JSON.stringify(policy, null, 2)}\n`);
}

async function names(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}
