/** Builds a pinned program from its Go module, once for this user, into the engine cache. */
import { type ChildProcess, spawn } from "node:child_process";
import { copyFile, mkdir, readdir, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { type Environment, engineCache } from "./checkout.ts";
import { holdLock } from "./lock.ts";
import type { Pin } from "./pins.ts";
import { isExecutable, onPath } from "./programs.ts";

/**
 * Called about once a second while something is built or waited for; a line replaces the one before.
 * @param last nothing more comes about this
 */
export type Progress = (line: string, last?: boolean) => void;

const longestBuild = 40 * 60_000;

/**
 * The program's path, after building it unless it stands there already.
 * Builders on this machine wait for each other; a build that was killed leaves nothing that counts as one.
 * @param beside programs that are copied next to it
 * @throws with what to do: no Go, Go too old, no registry, no room
 */
export async function built(
  pin: Pin,
  env: Environment,
  progress: Progress,
  beside: readonly string[] = [],
): Promise<string> {
  const program = join(pin.folder, pin.program);
  if (await isExecutable(program)) return program;
  if ((await onPath("go", env)).length === 0) {
    const { what, where } = pin.install;
    throw new Error(
      `${pin.title} is not on this machine, and there is no Go to build it from its module: install ${what} ` +
        `(${where}), or Go 1.25.11 or newer (https://go.dev/doc/install), and try again`,
    );
  }
  const home = dirname(pin.folder);
  await mkdir(engineCache(env), { recursive: true });
  const release = await holdLock(`${home}.lock`, longestBuild, (owner, seconds) =>
    progress(`waiting for ${pin.title} ${pin.version}, which process ${owner} is building: ${seconds} s`),
  );
  try {
    // Whoever held the lock before may have built it.
    if (await isExecutable(program)) return program;
    const draft = `${home}.building-${process.pid}`;
    await removeDrafts(home);
    try {
      await mkdir(join(draft, "bin"), { recursive: true });
      await compile(pin, join(draft, "bin", pin.program), env, progress);
      for (const other of beside) await copyFile(other, join(draft, "bin", basename(other)));
      await rm(home, { recursive: true, force: true });
      await rename(draft, home);
    } finally {
      await rm(draft, { recursive: true, force: true });
    }
    return program;
  } finally {
    await release();
  }
}

/** What killed builders left; nobody else builds while the lock is held. */
async function removeDrafts(home: string): Promise<void> {
  const folder = dirname(home);
  const drafts = (await readdir(folder)).filter((name) => name.startsWith(`${basename(home)}.building-`));
  await Promise.all(drafts.map((name) => rm(join(folder, name), { recursive: true, force: true })));
}

function compile(pin: Pin, target: string, env: Environment, progress: Progress): Promise<void> {
  const linked = `-s -w -X ${pin.versionVariable}=${pin.version}`;
  const words = ["build", "-mod=readonly", "-trimpath", "-v", "-ldflags", linked, "-o", target, pin.package];
  const child = spawn("go", words, {
    cwd: pin.module,
    env: { ...env, CGO_ENABLED: "0", GOWORK: "off" },
    stdio: ["ignore", "ignore", "pipe"],
  });
  const stop = stopWithThisProcess(child);
  const began = Date.now();
  let packages = 0;
  let downloads = 0;
  const said: string[] = [];
  let rest = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      if (line.startsWith("go: downloading")) downloads++;
      else if (/^[\w./~-]+$/.test(line)) packages++;
      else said.push(line);
    }
  });
  const seconds = (): number => Math.round((Date.now() - began) / 1_000);
  const tell = (): void => {
    const done = packages > 0 ? `${packages} packages compiled` : `${downloads} modules fetched`;
    progress(
      `building ${pin.title} ${pin.version} from its Go module (once, ${pin.usually}): ${seconds()} s, ${done}`,
    );
  };
  tell();
  const ticks = setInterval(tell, 1_000);
  const limit = setTimeout(() => child.kill("SIGKILL"), longestBuild);
  return new Promise<void>((resolve, reject) => {
    child.once("error", (error) => reject(failure(pin, env, [error.message])));
    child.once("close", (code, signal) => {
      const well = code === 0;
      progress(`${well ? "built" : "could not build"} ${pin.title} ${pin.version}: ${seconds()} s`, true);
      if (well) return resolve();
      reject(
        failure(pin, env, [...said, rest, ...(signal === null ? [] : [`go build was ended by ${signal}`])]),
      );
    });
  }).finally(() => {
    clearInterval(ticks);
    clearTimeout(limit);
    stop();
  });
}

function stopWithThisProcess(child: ChildProcess): () => void {
  const kill = (): void => void child.kill("SIGTERM");
  process.once("exit", kill);
  return () => process.removeListener("exit", kill);
}

function failure(pin: Pin, env: Environment, said: readonly string[]): Error {
  const text = said.filter((line) => line.trim() !== "").join("\n");
  const tail = text.split("\n").slice(-15).join("\n");
  return new Error(`building ${pin.title} ${pin.version} failed: ${advice(text, pin, env)}\n${tail}`);
}

function advice(text: string, pin: Pin, env: Environment): string {
  if (/requires go >= |invalid go version|toolchain not available/.test(text)) {
    return "this Go is too old; install Go 1.25.11 or newer (https://go.dev/doc/install)";
  }
  if (/no space left on device/.test(text)) {
    return `the disk is full; make room (2 GB) for ${engineCache(env)} and Go's own caches (\`go env GOCACHE GOMODCACHE\`)`;
  }
  if (/checksum mismatch|SECURITY ERROR/.test(text)) {
    return "a module is not what engine/go/*/go.sum says it is; do not go on before you know why";
  }
  if (/dial tcp|no such host|i\/o timeout|connection refused|TLS handshake|proxyconnect|40[34] /.test(text)) {
    return "a Go module could not be fetched; check the network and `go env GOPROXY`, then try again";
  }
  return `try again, or install ${pin.install.what} yourself (${pin.install.where})`;
}
