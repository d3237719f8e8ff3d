import { createHash, randomUUID } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, readdir, rename, rm, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { buildFingerprint } from "../../rollout/fingerprint.ts";
import type { ReleaseManifest, Source } from "../../rollout/manifest.ts";
import type { Host } from "./host.ts";
import { namesOf } from "./records.ts";
import { mustRun } from "./run.ts";

/** Builds on the box: made once per build fingerprint, whole or not there, the last few kept (CHR-5, CHR-6). */

export function buildDirectory(host: Host, manifest: ReleaseManifest): string {
  return join(host.releasesDirectory, "builds", `${manifest.system}-${buildFingerprint(manifest)}`);
}

/**
 * Makes the build unless it is there. Every attempt works in a folder of its own; the first that is whole, and on disk,
 * becomes the build.
 */
export async function build(host: Host, manifest: ReleaseManifest): Promise<void> {
  const finished = buildDirectory(host, manifest);
  if (await exists(finished)) {
    const now = new Date();
    await utimes(finished, now, now);
    return;
  }
  const partial = `${finished}.${randomUUID()}.partial`;
  await mkdir(join(host.releasesDirectory, "builds"), { recursive: true, mode: 0o755 });
  try {
    await fetchSource(manifest.source, partial);
    await giveToBuilder(host, partial);
    for (const command of manifest.build) {
      const shell = ["sh", "-eu", "-c", command];
      await mustRun(host.buildUser ? ["runuser", "-u", host.buildUser, "--", ...shell] : shell, {
        cwd: partial,
        seconds: manifest.buildSeconds,
        env: { HOME: partial, CI: "true" },
      });
    }
    // Renamed before its files are on disk, a power cut would leave a finished build of empty files.
    if (process.platform === "linux") await mustRun(["sync", "--file-system", partial], { seconds: 300 });
    await rename(partial, finished).catch(async (error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOTEMPTY" && error.code !== "EEXIST") throw error;
      await rm(partial, { recursive: true, force: true });
    });
  } catch (error) {
    await rm(partial, { recursive: true, force: true });
    throw new Error(`building ${manifest.system} ${manifest.release} failed: ${(error as Error).message}`);
  }
}

/** Removes builds that no placed release uses, beyond the `kept` last used ones, and what kills left a day ago. */
export async function pruneBuilds(host: Host, system: string, used: readonly string[], kept: number) {
  const folder = join(host.releasesDirectory, "builds");
  if (!(await exists(folder))) return;
  const isOwn = await namesOf(host, system);
  const mine = (await readdir(folder)).filter(isOwn).map((name) => join(folder, name));
  const aged = await Promise.all(mine.map(async (path) => ({ path, at: (await stat(path)).mtimeMs })));
  const dead = aged.filter(({ path, at }) => path.endsWith(".partial") && at < Date.now() - 86_400_000);
  const unused = aged.filter(({ path }) => !path.endsWith(".partial") && !used.includes(path));
  unused.sort((a, b) => b.at - a.at);
  for (const { path } of [...dead, ...unused.slice(kept)]) await rm(path, { recursive: true, force: true });
}

/** Puts a source into a folder that does not exist yet: the commit or the checksum it was frozen at, or an error. */
export async function fetchSource(source: Source, into: string): Promise<void> {
  if (source.kind === "images") return void (await mkdir(into, { recursive: true }));
  if (source.kind === "artifact") return fetchArtifact(source, into);
  const { url, tag, commit } = source;
  const quiet = ["-c", "advice.detachedHead=false", "-c", "safe.directory=*"];
  // A server that sends nothing any more is left after 45 s.
  const alive = ["-c", "http.lowSpeedLimit=1", "-c", "http.lowSpeedTime=45"];
  await mustRun(
    ["git", ...quiet, ...alive, "clone", "--quiet", "--depth", "1", "--branch", tag, "--", url, into],
    {
      seconds: 300,
      env: { GIT_TERMINAL_PROMPT: "0" },
    },
  );
  const found = (await mustRun(["git", "-C", into, "rev-parse", "HEAD"], { seconds: 30 })).trim();
  if (commit !== undefined && found !== commit) {
    throw new Error(
      `tag ${tag} of ${url} names commit ${found}, but the release was frozen at ${commit}: the tag has moved`,
    );
  }
}

async function fetchArtifact(source: Extract<Source, { kind: "artifact" }>, into: string): Promise<void> {
  const archive = `${into}.tar.gz`;
  try {
    await pipeline(await openArtifact(source.url), createWriteStream(archive, { mode: 0o600 }));
    const hash = createHash("sha256");
    await pipeline(createReadStream(archive), hash);
    const found = hash.digest("hex");
    if (found !== source.sha256) {
      throw new Error(
        `${source.url} has the checksum ${found}, expected ${source.sha256}; nothing was unpacked`,
      );
    }
    await mkdir(into, { recursive: true });
    await mustRun(["tar", "-xzf", archive, "-C", into, "--no-same-owner"], { seconds: 300 });
  } finally {
    await rm(archive, { force: true });
  }
}

async function openArtifact(url: string): Promise<NodeJS.ReadableStream> {
  if (!/^https?:/.test(url)) return createReadStream(url.replace(/^file:\/\//, ""));
  const ended = new AbortController();
  const end = (why: string) => ended.abort(new Error(`${url}: ${why}`));
  const silence = setTimeout(() => end("not a byte for 45 s"), 45_000);
  const limit = setTimeout(() => end("not here after 300 s"), 300_000);
  const over = () => {
    clearTimeout(silence);
    clearTimeout(limit);
  };
  try {
    const response = await fetch(url, { signal: ended.signal });
    if (!response.ok || !response.body) throw new Error(`${url} answered ${response.status}`);
    const body = Readable.fromWeb(response.body as Parameters<typeof Readable.fromWeb>[0]);
    return Readable.from(watched(body, () => silence.refresh())).once("close", over);
  } catch (error) {
    over();
    throw error;
  }
}

async function* watched(body: AsyncIterable<Buffer>, arrived: () => void) {
  for await (const part of body) {
    arrived();
    yield part;
  }
}

async function giveToBuilder(host: Host, folder: string): Promise<void> {
  if (host.buildUser) await mustRun(["chown", "-R", `${host.buildUser}:`, folder], { seconds: 60 });
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch {
    return false;
  }
}
