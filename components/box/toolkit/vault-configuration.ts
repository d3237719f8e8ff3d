import { createHash } from "node:crypto";
import { copyFile, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname, join } from "node:path";
import { doorsFolder } from "./haproxy-config.ts";
import { namesOf } from "./records.ts";
import { mustRun } from "./run.ts";
import { unitFolder } from "./systemd-unit.ts";
import type { KnownSettings, VaultConfiguration, VaultFolder } from "./vault-settings.ts";

/**
 * The machine's configuration of a system in a git repository, once a day (CHR-11): its releases with their settings,
 * its policy and cutover, its units, doors and timers. Files with secrets are not among them.
 */

export interface Committed {
  /** The commit that holds the configuration as it is now. */
  readonly commit: string;
  readonly changed: boolean;
}

const gitSeconds = 120;

/** Each run works on a clone of its own, so one that was killed leaves nothing that stops the next one. */
export async function commitConfiguration(
  folder: VaultFolder,
  stateDirectory: string,
  settings: KnownSettings,
): Promise<Committed> {
  const { configuration, system } = settings;
  if (!configuration) {
    throw new Error(
      `the vault of ${system} has no repository for its configuration: set vault:configuration`,
    );
  }
  const work = join(folder.path, "configuration");
  await rm(work, { recursive: true, force: true });
  await mkdir(work, { recursive: true, mode: 0o700 });
  try {
    const git = await gitOf(folder, configuration, work);
    await begin(git, configuration);
    for (const name of await readdir(work)) {
      if (name !== ".git") await rm(join(work, name), { recursive: true, force: true });
    }
    await copyConfiguration(stateDirectory, system, work);
    return await commit(git, settings, configuration);
  } finally {
    await rm(work, { recursive: true, force: true });
    await rm(keyFile(folder), { force: true });
  }
}

type Git = (...words: string[]) => Promise<string>;

async function gitOf(folder: VaultFolder, configuration: VaultConfiguration, work: string): Promise<Git> {
  const env = {
    ...(await credentials(folder, configuration)),
    GIT_TERMINAL_PROMPT: "0",
    GIT_CONFIG_GLOBAL: "/dev/null",
    GIT_CONFIG_NOSYSTEM: "1",
    HOME: folder.path,
    LC_ALL: "C.UTF-8",
  };
  return (...words) => mustRun(["git", "-C", work, ...words], { env, seconds: gitSeconds });
}

/** The key reaches git by a file or by its environment, never by an argument. */
async function credentials(
  folder: VaultFolder,
  { git, key, knownHosts }: VaultConfiguration,
): Promise<Record<string, string>> {
  if (/^https?:/.test(git)) {
    if (key === null) return {};
    const basic = Buffer.from(`x-access-token:${key}`).toString("base64");
    return {
      GIT_CONFIG_COUNT: "1",
      GIT_CONFIG_KEY_0: "http.extraHeader",
      GIT_CONFIG_VALUE_0: `Authorization: Basic ${basic}`,
    };
  }
  if (key === null) return {};
  const hosts = join(folder.path, "known_hosts");
  await writeFile(keyFile(folder), `${key.trim()}\n`, { mode: 0o600 });
  await writeFile(hosts, `${(knownHosts ?? "").trim()}\n`, { mode: 0o600 });
  const options = [
    "BatchMode=yes",
    "IdentitiesOnly=yes",
    "StrictHostKeyChecking=yes",
    `UserKnownHostsFile=${hosts}`,
  ];
  const words = ["ssh", "-i", keyFile(folder), ...options.flatMap((option) => ["-o", option])];
  return { GIT_SSH_COMMAND: words.map((word) => `'${word}'`).join(" ") };
}

function keyFile(folder: VaultFolder): string {
  return join(folder.path, "configuration.key");
}

/** The branch as it is there, or an empty one. */
async function begin(git: Git, { git: url, branch }: VaultConfiguration): Promise<void> {
  await git("init", "--quiet", `--initial-branch=${branch}`);
  await git("remote", "add", "origin", url);
  const there = await git("ls-remote", "origin", `refs/heads/${branch}`);
  if (there.trim() === "") return;
  await git("fetch", "--quiet", "--depth=1", "origin", `refs/heads/${branch}`);
  await git("reset", "--quiet", "--hard", "FETCH_HEAD");
}

async function commit(
  git: Git,
  { system }: KnownSettings,
  { branch }: VaultConfiguration,
): Promise<Committed> {
  await git("add", "--all");
  const changed = (await git("status", "--porcelain")).trim() !== "";
  if (changed) {
    const author = ["-c", "user.name=switchyard", "-c", `user.email=switchyard@${hostname()}`];
    await git(...author, "commit", "--quiet", "--message", `Configuration of ${system} on ${hostname()}`);
    await git("push", "--quiet", "origin", `HEAD:refs/heads/${branch}`);
  }
  return { commit: (await git("rev-parse", "HEAD")).trim(), changed };
}

/** What of the system's records holds no secret. The values of settings are in the releases' manifests. */
const recordFiles = /^(policy|cutover)\.json$|^releases\/[0-9a-f]{12}\/record\.json$/;

async function copyConfiguration(stateDirectory: string, system: string, into: string): Promise<void> {
  const records = join(stateDirectory, "systems", system);
  const names = (await filesBelow(records)).filter((name) => recordFiles.test(name));
  await copyAll(records, names, join(into, "records"));
  const isSystems = await namesOf({ stateDirectory }, system);
  const isOwn = (name: string) => isSystems(name) || name.startsWith("switchyard-");
  const units = (await readdir(unitFolder).catch(() => [])).filter((name) => /\.(service|timer)$/.test(name));
  await copyAll(unitFolder, units.filter(isOwn), join(into, "units"));
  const doors = (await readdir(doorsFolder).catch(() => [])).filter((name) => name.endsWith(".cfg"));
  await copyAll(doorsFolder, doors.filter(isOwn), join(into, "doors"));
  const sums = await Promise.all((await filesBelow(into)).map((name) => sumOf(into, name)));
  await writeFile(join(into, "SHA256SUMS"), sums.sort().join(""));
}

async function copyAll(from: string, names: readonly string[], into: string): Promise<void> {
  for (const name of names) {
    await mkdir(dirname(join(into, name)), { recursive: true });
    await copyFile(join(from, name), join(into, name));
  }
}

async function sumOf(folder: string, name: string): Promise<string> {
  const sum = createHash("sha256")
    .update(await readFile(join(folder, name)))
    .digest("hex");
  return `${sum}  ${name}\n`;
}

/** Paths of the files below a folder, but for git's own; none where there is no such folder. */
async function filesBelow(folder: string, prefix = ""): Promise<string[]> {
  const entries = await readdir(join(folder, prefix), { withFileTypes: true }).catch(() => []);
  const found = entries.map(async (entry) => {
    const path = join(prefix, entry.name);
    if (entry.name === ".git") return [];
    if (entry.isDirectory()) return filesBelow(folder, path);
    return entry.isFile() ? [path] : [];
  });
  return (await Promise.all(found)).flat();
}
