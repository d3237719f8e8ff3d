import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { end, isAlive, type ProcessIdentity, until } from "../box/processes.ts";
import { removeCgroups } from "./cgroups.ts";

/** What is remembered of a cluster while it is up, so that a later process can use it, or remove what is left of it. */
export interface ClusterRecord {
  readonly name: string;
  /** The process it was started for; a cluster whose owner is gone is a leftover, unless it was to be kept. */
  readonly owner: ProcessIdentity;
  readonly keep: boolean;
  /** The process that made its namespaces; absent while it is being set up. */
  readonly supervisor?: ProcessIdentity;
  /** The first process of its namespaces. */
  readonly first?: ProcessIdentity;
}

/** One folder per cluster; root's alone, and gone after a reboot, as the clusters are. */
const root = "/run/switchyard-cluster";

export function stateDirectory(name: string): string {
  return join(root, name);
}

/** The control group of the cluster's pods in each hierarchy. */
export function cgroupName(name: string): string {
  return `switchyard-cluster-${name}`;
}

/** Makes the cluster's state folder. Throws when a cluster of that name is there. */
export function claim(record: ClusterRecord): string {
  if (!/^[a-z0-9-]{1,30}$/.test(record.name))
    throw new Error(`a cluster's name is 1 to 30 of a-z, 0-9 and -, found "${record.name}"`);
  mkdirSync(root, { recursive: true, mode: 0o700 });
  const directory = stateDirectory(record.name);
  try {
    mkdirSync(directory, { mode: 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    const remedy = `node test/support/cluster/main.ts down ${record.name}`;
    throw new Error(`a cluster named ${record.name} is up already; end it with: ${remedy}`);
  }
  writeRecord(record);
  return directory;
}

export function writeRecord(record: ClusterRecord): void {
  const file = join(stateDirectory(record.name), "record.json");
  writeFileSync(`${file}.new`, JSON.stringify(record));
  renameSync(`${file}.new`, file);
}

/** Undefined when there is no such cluster, or it has not got as far as having a record. */
export function readRecord(name: string): ClusterRecord | undefined {
  try {
    return JSON.parse(readFileSync(join(stateDirectory(name), "record.json"), "utf8"));
  } catch {
    return undefined;
  }
}

export function clusterNames(): string[] {
  return existsSync(root) ? readdirSync(root) : [];
}

/** Ends the cluster and removes all that was its own: processes, cgroups, state. Mounts and networks end with it. */
export async function removeCluster(name: string): Promise<void> {
  const record = readRecord(name);
  if (record?.supervisor) await end(record.supervisor);
  const first = record?.first;
  // It is gone when everything else in its pid namespace is.
  if (first) await until(() => !isAlive(first), 30, `the processes of the cluster ${name} do not end`);
  await removeCgroups(cgroupName(name));
  rmSync(stateDirectory(name), { recursive: true, force: true });
}

/** Removes the clusters of owners that were killed, and no other. Returns their names. */
export async function removeLeftovers(): Promise<string[]> {
  const removed: string[] = [];
  for (const name of clusterNames()) {
    const record = readRecord(name);
    const left = record ? isLeftover(record) : isOld(stateDirectory(name));
    if (!left) continue;
    await removeCluster(name);
    removed.push(name);
  }
  return removed;
}

function isLeftover(record: ClusterRecord): boolean {
  if (isAlive(record.owner)) return false;
  return !(record.keep && record.supervisor && isAlive(record.supervisor));
}

/** A folder without a record is either a cluster that begins this moment or one whose start was killed. */
function isOld(directory: string): boolean {
  const changed = statSync(directory, { throwIfNoEntry: false })?.mtimeMs;
  return changed !== undefined && Date.now() - changed > 60_000;
}
