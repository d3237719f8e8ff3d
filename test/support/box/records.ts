import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import type { BaseName } from "./base.ts";
import { end, isAlive, type ProcessIdentity, until } from "./processes.ts";

/** What is remembered of a box while it is up, so that a later process can use it, or remove what is left of it. */
export interface BoxRecord {
  readonly name: string;
  readonly base: BaseName;
  /** The process it was started for; a box whose owner is gone is a leftover, unless it was to be kept. */
  readonly owner: ProcessIdentity;
  readonly keep: boolean;
  /** The first process of its namespaces; absent while it is being set up. */
  readonly supervisor?: ProcessIdentity;
  readonly hostKey: string;
  readonly diskMiB: number;
}

/** One folder per box; root's alone, and gone after a reboot, as the boxes are. */
const root = "/run/switchyard-box";

export function stateDirectory(name: string): string {
  return join(root, name);
}

/** Makes the box's state folder. Throws when a box of that name is there. */
export function claim(record: BoxRecord): string {
  mkdirSync(root, { recursive: true, mode: 0o700 });
  const directory = stateDirectory(record.name);
  try {
    mkdirSync(directory, { mode: 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    const remedy = `node test/support/box/main.ts down ${record.name}`;
    throw new Error(`a box named ${record.name} is up already; end it with: ${remedy}`);
  }
  writeRecord(record);
  return directory;
}

export function writeRecord(record: BoxRecord): void {
  const file = join(stateDirectory(record.name), "record.json");
  writeFileSync(`${file}.new`, JSON.stringify(record));
  renameSync(`${file}.new`, file);
}

/** Undefined when there is no such box, or it has not got as far as having a record. */
export function readRecord(name: string): BoxRecord | undefined {
  try {
    return JSON.parse(readFileSync(join(stateDirectory(name), "record.json"), "utf8"));
  } catch {
    return undefined;
  }
}

export function boxNames(): string[] {
  return existsSync(root) ? readdirSync(root) : [];
}

/** Ends the box and removes all that was its own: processes, cgroups, state. Mounts and networks end with it. */
export async function removeBox(name: string): Promise<void> {
  const record = readRecord(name);
  if (record?.supervisor) await end(record.supervisor);
  for (const hierarchy of ["/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup"]) {
    await removeCgroup(join(hierarchy, `switchyard-box-${name}`));
  }
  rmSync(stateDirectory(name), { recursive: true, force: true });
}

/** Removes the boxes of owners that were killed, and no other. Returns their names. */
export async function removeLeftovers(): Promise<string[]> {
  const removed: string[] = [];
  for (const name of boxNames()) {
    const record = readRecord(name);
    const left = record ? isLeftover(record) : isOld(stateDirectory(name));
    if (!left) continue;
    await removeBox(name);
    removed.push(name);
  }
  return removed;
}

function isLeftover(record: BoxRecord): boolean {
  if (isAlive(record.owner)) return false;
  return !(record.keep && record.supervisor && isAlive(record.supervisor));
}

/** A folder without a record is either a box that begins this moment or one whose start was killed. */
function isOld(directory: string): boolean {
  const changed = statSync(directory, { throwIfNoEntry: false })?.mtimeMs;
  return changed !== undefined && Date.now() - changed > 60_000;
}

async function removeCgroup(directory: string): Promise<void> {
  for (const name of foldersIn(directory)) await removeCgroup(join(directory, name));
  // The kernel takes a moment to let go of the last process.
  await until(() => removedEmpty(directory), 10, `the control group ${directory} is still in use`);
}

/** None where there is no such folder: another run may be removing the same leftover. */
function foldersIn(directory: string): string[] {
  try {
    const entries = readdirSync(directory, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

function removedEmpty(directory: string): boolean {
  try {
    rmdirSync(directory);
    return true;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "EBUSY") return false;
    if (code === "ENOENT") return true;
    throw error;
  }
}
