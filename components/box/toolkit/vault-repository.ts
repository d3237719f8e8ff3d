import { access, readdir } from "node:fs/promises";
import { join } from "node:path";
import { readJson, writeDurably } from "./durable.ts";
import { listFolders, objectExists } from "./vault-bucket.ts";
import { ask, withRestic } from "./vault-restic.ts";
import { type KnownSettings, repositoryPath, type VaultFolder } from "./vault-settings.ts";

/**
 * A system has one repository for each month, named "2026-11". So nobody needs the right to delete: the bucket itself
 * deletes what is older than the retention and a month, and a month's repository is whole until all of it goes.
 */

/** Names of the system's repositories, oldest first; a making that was cut short is not one. */
export async function listRepositories(settings: KnownSettings): Promise<string[]> {
  const names = await listNames(settings);
  const whole = await Promise.all(names.map((name) => isMade(settings, name)));
  return names.filter((_, index) => whole[index]);
}

/**
 * The repository that a backup made at `now` belongs to, after making it where there is none. It is never made again:
 * one that this machine has seen and that is gone is an error, not an empty start.
 */
export async function currentRepository(
  folder: VaultFolder,
  settings: KnownSettings,
  now: Date,
): Promise<string> {
  const period = now.toISOString().slice(0, 7);
  const isOfPeriod = (name: string) => name === period || name.startsWith(`${period}-`);
  const names = (await listNames(settings)).filter(isOfPeriod);
  const known = await readKnown(folder);
  const [seen] = Object.keys(known).filter(isOfPeriod);
  for (const name of seen === undefined ? names : [seen]) {
    if (!(await isMade(settings, name))) continue;
    const id = await readId(folder, settings, name);
    if (known[name] === undefined) await remember(folder, { ...known, [name]: id });
    else if (known[name] !== id) throw new Error(`${describe(settings, name)} is another one than before`);
    return name;
  }
  if (seen !== undefined) {
    throw new Error(
      `${describe(settings, seen)} was there and is gone: find out who deleted it; to begin anew, delete its line ` +
        `in ${knownFile(folder)}`,
    );
  }
  return make(folder, settings, nextName(period, names), known);
}

/** A name that nobody has begun: the key of a making that was cut short does not open what is made over it. */
function nextName(period: string, taken: readonly string[]): string {
  if (!taken.includes(period)) return period;
  for (let number = 2; ; number += 1) {
    if (!taken.includes(`${period}-${number}`)) return `${period}-${number}`;
  }
}

async function make(
  folder: VaultFolder,
  settings: KnownSettings,
  name: string,
  known: Readonly<Record<string, string>>,
): Promise<string> {
  await withRestic(folder, settings, name, (restic) => ask(restic, ["init", "--repository-version", "2"]));
  await remember(folder, { ...known, [name]: await readId(folder, settings, name) });
  return name;
}

async function readId(folder: VaultFolder, settings: KnownSettings, name: string): Promise<string> {
  const config = await withRestic(folder, settings, name, (restic) =>
    ask(restic, ["cat", "config", "--no-lock", "--no-cache"]),
  );
  return (JSON.parse(config) as { id: string }).id;
}

async function listNames(settings: KnownSettings): Promise<string[]> {
  const { system, target } = settings;
  const names =
    target.kind === "s3"
      ? await listFolders(target, `${system}/`)
      : await readdir(repositoryPath(settings, ".")).catch(nobody);
  return names.filter((name) => /^\d{4}-\d\d(-\d+)?$/.test(name)).sort();
}

function isMade(settings: KnownSettings, name: string): Promise<boolean> {
  const path = join(repositoryPath(settings, name), "config");
  if (settings.target.kind === "s3") return objectExists(settings.target, path);
  return access(path).then(
    () => true,
    () => false,
  );
}

/** Identities of the repositories that this machine has seen. */
async function readKnown(folder: VaultFolder): Promise<Record<string, string>> {
  return (await readJson<Record<string, string>>(knownFile(folder))) ?? {};
}

function remember(folder: VaultFolder, known: Readonly<Record<string, string>>): Promise<void> {
  return writeDurably(knownFile(folder), `${JSON.stringify(known, null, 2)}\n`);
}

function knownFile(folder: VaultFolder): string {
  return join(folder.path, "repositories.json");
}

function describe({ system, target }: KnownSettings, name: string): string {
  const where = target.kind === "s3" ? `the bucket ${target.bucket}` : `the folder ${target.path}`;
  return `the repository ${name} of ${system} in ${where}`;
}

function nobody(error: NodeJS.ErrnoException): string[] {
  if (error.code === "ENOENT") return [];
  throw error;
}
