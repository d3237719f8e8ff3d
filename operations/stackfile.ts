import { open, readFile, realpath, rename, stat, unlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { type Pins, PinsError, type Release, type SystemPins } from "./pins.ts";
import { editPins, parseStack } from "./stacktext.ts";

/**
 * `Pulumi.<stack>.yaml`: reads the pins from it and writes them back with everything else (comments, order, secrets)
 * as it stands. The file is replaced whole (written beside, flushed, renamed) wherever that can be done.
 */
export interface StackFile {
  readonly path: string;
  /** Plain config by key (`chrono:live`); secret values stay the ciphertext objects they are in the file. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly pins: Pins;
  readonly text: string;
}

/** Path of a stack's config; of a full name (`organisation/project/stack`) the last part counts. */
export const stackFilePath = (checkout: string, stack: string): string =>
  join(checkout, `Pulumi.${stack.split("/").at(-1)}.yaml`);

/** @throws PinsError naming the key, what was found there and what belongs there. */
export async function readStackFile(checkout: string, stack: string): Promise<StackFile> {
  const path = stackFilePath(checkout, stack);
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error;
    throw new PinsError(`${path} does not exist: stack "${stack}" has no config; name another with --stack`);
  });
  return parseStackFile(path, text);
}

export function parseStackFile(path: string, text: string): StackFile {
  const document = parseStack(path, text);
  const config = (document.toJS() as { config?: Record<string, unknown> } | null)?.config ?? {};
  return { path, config, pins: pinsFromConfig(config, path), text };
}

/** Systems are the namespaces that say what is live, what releases there are, or where a release would come from. */
export function pinsFromConfig(config: Readonly<Record<string, unknown>>, where: string): Pins {
  const systems = new Set<string>();
  for (const key of Object.keys(config)) {
    const [system, name] = key.split(":");
    if (system && ["live", "releases", "source"].includes(name ?? "")) systems.add(system);
  }
  return Object.fromEntries([...systems].map((system) => [system, systemFrom(config, system, where)]));
}

function systemFrom(config: Readonly<Record<string, unknown>>, system: string, where: string): SystemPins {
  const at = (key: string): unknown => config[`${system}:${key}`];
  const wrong = (key: string, found: unknown, allowed: string): never => {
    const advice = typeof found === "number" ? `; quote it ("${found}" may already have lost digits)` : "";
    throw new PinsError(
      `${where}: ${system}:${key} is ${JSON.stringify(found)}, expected ${allowed}${advice}`,
    );
  };
  const live = at("live") ?? null;
  if (live !== null && typeof live !== "string") wrong("live", live, "the name of a release (text)");
  const kept = at("kept") ?? [];
  if (!Array.isArray(kept) || kept.some((each) => typeof each !== "string")) {
    wrong("kept", kept, "a list of names of releases (text)");
  }
  const releases = at("releases") ?? {};
  if (typeof releases !== "object" || Array.isArray(releases))
    wrong("releases", releases, "releases by name");
  const entries = Object.entries(releases as Record<string, Partial<Release> | null>);
  for (const [name, entry] of entries) {
    const version = entry?.version ?? name;
    if (typeof version !== "string") wrong(`releases.${name}.version`, version, "the version (text)");
  }
  // Plain `pulumi config set` writes numbers as text.
  const keep = Number(at("keep") ?? 1);
  if (!Number.isInteger(keep) || keep < 0)
    wrong("keep", at("keep"), "how many releases to keep (0, 1, 2, …)");
  const settings = at("settings");
  return {
    live: live as string | null,
    kept: kept as string[],
    releases: Object.fromEntries(entries.map(([name, entry]) => [name, { version: name, ...entry }])),
    keep,
    ...(settings === undefined ? {} : { settings }),
  };
}

/** Writes the pins and answers the file as it is now. Does nothing when they are what the file says. */
export async function writePins(file: StackFile, after: Pins): Promise<StackFile> {
  if (isDeepStrictEqual(file.pins, after)) return file;
  const today = parseStackFile(file.path, await readFile(file.path, "utf8"));
  if (!isDeepStrictEqual(today.pins, file.pins)) {
    throw new PinsError(
      `${file.path}: its pins were changed by somebody else meanwhile; nothing was written. ` +
        "Look at them (git diff) and run the command again.",
    );
  }
  const text = editPins(file.path, today.text, file.pins, after);
  await replaceFile(file.path, text);
  return parseStackFile(file.path, text);
}

/**
 * Replaces a file's whole text, keeping its mode; through a link, the file that it leads to. Atomically, but where
 * nothing can be renamed over it (a file that is mounted, a folder that is not ours): there it is written in place.
 */
export async function replaceFile(path: string, text: string): Promise<void> {
  const target = await realpath(path).catch(() => path);
  try {
    await renameOver(target, text);
  } catch (error) {
    if (!cannotRename.has((error as NodeJS.ErrnoException).code ?? "")) throw error;
    await writeInPlace(target, text);
  }
}

const cannotRename = new Set(["EBUSY", "EXDEV", "EACCES", "EPERM", "EROFS"]);

async function renameOver(path: string, text: string): Promise<void> {
  const beside = `${path}.${process.pid}.tmp`;
  const mode = await stat(path).then(
    ({ mode }) => mode & 0o777,
    () => 0o644,
  );
  try {
    const handle = await open(beside, "wx", mode);
    try {
      await handle.writeFile(text);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(beside, path);
    const folder = await open(dirname(path));
    await folder.sync().finally(() => folder.close());
  } catch (error) {
    await unlink(beside).catch(() => {});
    throw error;
  }
}

async function writeInPlace(path: string, text: string): Promise<void> {
  const handle = await open(path, "r+");
  try {
    await handle.writeFile(text);
    await handle.truncate(Buffer.byteLength(text));
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * A deployment that could not be recorded would be made again, or undone, by the next update.
 * @throws PinsError before anything is changed
 */
export async function ensureWritable({ path }: StackFile): Promise<void> {
  try {
    const handle = await open(path, "r+");
    await handle.close();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new PinsError(
      `${path} cannot be written (${code}), and what is deployed is recorded there. Nothing was changed.`,
    );
  }
}
