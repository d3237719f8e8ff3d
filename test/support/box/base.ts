import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { baseDirectory, buildScript, locked, type Progress, toolsDirectory, toStderr } from "./cache.ts";
import { emptyPackages, fullPackages, suite, toolPackages } from "./packages.ts";
import { check, run } from "./run.ts";

/** A disk a box can start from: `full` has PostgreSQL, Redis, Node, HAProxy, git and restic; `empty` has none. */
export type BaseName = "full" | "empty";

/**
 * The read-only layers of a base, the uppermost first. Builds both bases once (one to two minutes) and keeps them in
 * the cache folder; several callers at once wait for the one that builds.
 */
export async function baseLayers(base: BaseName, progress: Progress = toStderr): Promise<string[]> {
  const directory = baseDirectory();
  if (!existsSync(directory)) await locked(`${directory}.lock`, progress, () => build(directory, progress));
  const empty = join(directory, "empty");
  return base === "empty" ? [empty] : [join(directory, "full"), empty];
}

/** Folder with `usr/bin/systemd-nspawn` and debootstrap, unpacked from Debian's packages; nothing is installed. */
export async function boxTools(progress: Progress = toStderr): Promise<string> {
  const directory = toolsDirectory();
  if (!existsSync(directory))
    await locked(`${directory}.lock`, progress, () => unpackTools(directory, progress));
  return directory;
}

/** Killed with this process, whose lock is dropped then: the next build would meet this one. No mount is left. */
const buildNamespaces =
  "setpriv --pdeathsig KILL unshare --mount --propagation private --pid --fork --mount-proc --kill-child=SIGKILL".split(
    " ",
  );

async function build(directory: string, progress: Progress): Promise<void> {
  if (existsSync(directory)) return;
  const tools = await boxTools(progress);
  const draft = startAfresh(directory);
  const started = Date.now();
  const elapsed = () => `${Math.round((Date.now() - started) / 1000)} s`;
  progress(`building Debian ${suite} for the test box, once (one to two minutes, into ${directory})`);
  let step = "starting";
  const ticker = setInterval(() => progress(`${elapsed()}: still ${step}`), 20_000);
  try {
    const packages = [emptyPackages.join(" "), fullPackages.join(" ")];
    await check([...buildNamespaces, "sh", buildScript, tools, draft, await mirror(), suite, ...packages], {
      timeoutSeconds: 1200,
      environment: await aptProxy(),
      onLine: (line) => {
        if (!line.startsWith("step ")) return;
        step = line.slice("step ".length);
        progress(`${elapsed()}: ${step}`);
      },
    });
  } catch (error) {
    const log = await run(["tail", "-n", "15", join(draft, "build.log")]);
    throw new Error(`the test box's base could not be built (${step}): ${error}\n${log.stdout}`);
  } finally {
    clearInterval(ticker);
  }
  renameSync(draft, directory);
  progress(`the base is ready after ${elapsed()}`);
}

async function unpackTools(directory: string, progress: Progress): Promise<void> {
  if (existsSync(directory)) return;
  const draft = startAfresh(directory);
  const root = join(draft, "root");
  mkdirSync(root);
  const download = ["apt-get", "-o", "APT::Sandbox::User=root", "download", ...toolPackages];
  if ((await run(download, { directory: draft, timeoutSeconds: 120 })).code !== 0) {
    progress("apt's package lists are missing or old: apt-get update");
    await check(["apt-get", "update"], { timeoutSeconds: 300 });
    await check(download, { directory: draft, timeoutSeconds: 120 });
  }
  for (const file of readdirSync(draft).filter((name) => name.endsWith(".deb"))) {
    await check(["dpkg-deb", "--extract", join(draft, file), root]);
  }
  renameSync(root, directory);
  rmSync(draft, { recursive: true });
}

/** An empty folder beside `directory`, without what a build that was killed left in it (the lock is held). */
function startAfresh(directory: string): string {
  const draft = `${directory}.draft`;
  rmSync(draft, { recursive: true, force: true });
  mkdirSync(draft);
  return draft;
}

/** The Debian mirror this machine's apt uses. */
async function mirror(): Promise<string> {
  const format = "$(ORIGIN) $(COMPONENT) $(SUITE) $(REPO_URI)";
  const targets = await run(["apt-get", "indextargets", "--format", format, "Created-By: Packages"]);
  for (const line of targets.stdout.split("\n")) {
    const [origin, component, name, uri] = line.split(" ");
    if (origin === "Debian" && component === "main" && uri && !name?.includes("-")) return uri;
  }
  throw new Error(
    "apt knows no mirror of Debian's main component here: run `apt-get update`, then try again",
  );
}

/** apt's own proxy setting, for debootstrap, which reads the environment only. */
async function aptProxy(): Promise<Record<string, string>> {
  if (process.env.http_proxy) return {};
  const setting = await run(["apt-config", "shell", "proxy", "Acquire::http::Proxy"]);
  const proxy = /^proxy='(http[^']*)'/.exec(setting.stdout)?.[1];
  return proxy ? { http_proxy: proxy } : {};
}
