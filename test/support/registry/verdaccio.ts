import { type ChildProcess, execFile, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { locked, toStderr } from "../box/cache.ts";
import { until } from "../box/processes.ts";
import { freePort } from "../free-port.ts";

/** A real npm registry (Verdaccio) on this machine, empty and with no way to any other one. */
export interface NpmRegistry {
  readonly url: string;
  /** May publish; reading needs none. */
  readonly token: string;
  /** Versions of a package, oldest first; none where it was never published. */
  versions(name: string): Promise<string[]>;
  stop(): Promise<void>;
}

export async function startNpmRegistry(): Promise<NpmRegistry> {
  const program = join(await install(), "node_modules/verdaccio/bin/verdaccio");
  const folder = mkdtempSync(join(tmpdir(), "switchyard-verdaccio-"));
  const url = `http://127.0.0.1:${await freePort()}/`;
  writeFileSync(
    join(folder, "config.yaml"),
    `storage: ${folder}/storage
auth: { htpasswd: { file: ${folder}/htpasswd } }
packages: { "**": { access: $all, publish: $authenticated } }
web: { enable: false }
log: { type: file, path: ${folder}/log, format: json, level: http }
`,
  );
  const words = [program, "--config", join(folder, "config.yaml"), "--listen", url];
  const child = spawn(process.execPath, words, { stdio: "ignore" });
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  try {
    await until(() => answers(url), 60, "the npm registry does not answer", 100);
    return {
      url,
      token: await addUser(url),
      async versions(name) {
        const answer = await fetch(`${url}${name.replace("/", "%2f")}`, {
          signal: AbortSignal.timeout(10_000),
        });
        if (answer.status === 404) return [];
        return Object.keys(((await answer.json()) as { versions: object }).versions);
      },
      stop: () => stop(child, ended, folder),
    };
  } catch (error) {
    await stop(child, ended, folder);
    throw error;
  }
}

async function stop(child: ChildProcess, ended: Promise<void>, folder: string): Promise<void> {
  child.kill("SIGKILL");
  await ended;
  rmSync(folder, { recursive: true, force: true });
}

const lockFolder = join(import.meta.dirname, "verdaccio");

/** Installed into the cache by the lock file beside it: the project itself does without its 300 packages. */
async function install(): Promise<string> {
  const files = ["package.json", "package-lock.json"];
  const texts = files.map((name) => readFileSync(join(lockFolder, name), "utf8"));
  const root = join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "switchyard", "registry");
  const folder = join(root, createHash("sha256").update(texts.join("\0")).digest("hex").slice(0, 12));
  mkdirSync(root, { recursive: true });
  await locked(join(root, "lock"), toStderr, async () => {
    if (existsSync(folder)) return;
    const partial = mkdtempSync(`${folder}.partial-`);
    for (const name of files) cpSync(join(lockFolder, name), join(partial, name));
    const words = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
    await promisify(execFile)("npm", words, { cwd: partial, timeout: 300_000 });
    renameSync(partial, folder);
  });
  return folder;
}

async function addUser(url: string): Promise<string> {
  const answer = await fetch(`${url}-/user/org.couchdb.user:publisher`, {
    method: "PUT",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ name: "publisher", password: "publishes-packages" }),
  });
  return ((await answer.json()) as { token: string }).token;
}

async function answers(url: string): Promise<boolean> {
  try {
    return (await fetch(`${url}-/ping`, { signal: AbortSignal.timeout(2000) })).ok;
  } catch {
    return false;
  }
}
