/** Programs on PATH and their versions, asked once and remembered while the file stays the same. */
import { execFile } from "node:child_process";
import { constants } from "node:fs";
import { access, mkdir, readFile, realpath, rename, stat, writeFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";
import { type Environment, engineCache } from "./checkout.ts";

/** Every executable file of that name on PATH, first come first. */
export async function onPath(name: string, env: Environment): Promise<readonly string[]> {
  const folders = (env.PATH ?? "").split(delimiter).filter((folder) => folder !== "");
  const found = await Promise.all(
    folders.map(async (folder) => ((await isExecutable(join(folder, name))) ? [join(folder, name)] : [])),
  );
  return [...new Set(found.flat())];
}

export async function isExecutable(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return (await stat(path)).isFile();
  } catch {
    return false;
  }
}

/**
 * What `program ...words` says its version is: the first `1.2.3` in what it prints.
 * The answer is kept under the file's real path, size and time of change, so that a second question starts nothing.
 * @returns undefined where it says none, fails, or takes more than ten seconds
 */
export async function versionOf(
  program: string,
  words: readonly string[],
  env: Environment,
): Promise<string | undefined> {
  const path = await realpath(program);
  const { size, mtimeMs } = await stat(path);
  const key = `${path} ${size} ${mtimeMs} ${words.join(" ")}`;
  const known = await readKnown(env);
  if (known[key] !== undefined) return known[key];
  const said = await promisify(execFile)(program, [...words], {
    env: { ...env, PULUMI_SKIP_UPDATE_CHECK: "true" },
    timeout: 10_000,
  }).catch(() => undefined);
  const version = /\d+\.\d+(\.\d+)?/.exec(`${said?.stdout ?? ""}${said?.stderr ?? ""}`)?.[0];
  if (version !== undefined) await remember(key, version, env);
  return version;
}

/** Whether `found` is at least `wanted`, number by number; what follows a hyphen or plus does not count. */
export function atLeast(found: string, wanted: string): boolean {
  const numbers = (text: string): number[] => (/\d+(\.\d+)*/.exec(text)?.[0] ?? "0").split(".").map(Number);
  const [a, b] = [numbers(found), numbers(wanted)];
  for (let index = 0; index < Math.max(a.length, b.length); index++) {
    const difference = (a[index] ?? 0) - (b[index] ?? 0);
    if (difference !== 0) return difference > 0;
  }
  return true;
}

async function readKnown(env: Environment): Promise<Record<string, string>> {
  try {
    return JSON.parse(await readFile(join(engineCache(env), "versions.json"), "utf8")) as Record<
      string,
      string
    >;
  } catch {
    return {};
  }
}

async function remember(key: string, version: string, env: Environment): Promise<void> {
  const folder = engineCache(env);
  const path = key.slice(0, key.indexOf(" "));
  const others = Object.entries(await readKnown(env)).filter(([other]) => !other.startsWith(`${path} `));
  const text = JSON.stringify({ ...Object.fromEntries(others), [key]: version }, undefined, 2);
  // Two at once: one answer is lost, and asked again some day; the file is always whole. A cache nobody may write
  // to costs time and nothing else.
  const draft = join(folder, `versions.json.${process.pid}`);
  await mkdir(folder, { recursive: true })
    .then(() => writeFile(draft, text))
    .then(() => rename(draft, join(folder, "versions.json")))
    .catch(() => undefined);
}
