import { createHash, randomUUID } from "node:crypto";
import { createReadStream, createWriteStream, readdirSync, readFileSync } from "node:fs";
import { access, cp, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { extname, join, relative, resolve, sep } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { mustRun } from "../box/toolkit/run.ts";
import type { Asset } from "./api.ts";
import { edgeRoot } from "./local/places.ts";
import { type EdgeContent, type EdgeManifest, releaseAsset } from "./manifest.ts";

/** The built files of a release, on the runner: found by their hash, or refused. */

/** 64 hex digits over the names and contents of a folder's files; "" where there is no such folder. */
export function hashOfFolder(folder: string): string {
  const paths = filesOf(folder);
  if (paths === null) return "";
  const hash = createHash("sha256");
  for (const path of paths) {
    const content = createHash("sha256")
      .update(readFileSync(join(folder, path)))
      .digest("hex");
    hash.update(`${content}  ${path}\n`);
  }
  return hash.digest("hex");
}

/**
 * A copy of a release's files of its own, as they are uploaded: what somebody builds meanwhile changes nothing. A
 * release of files only gets one more, which says its fingerprint.
 *
 * @returns the copy's folder
 * @throws where the files are not there, or not those that the release was frozen with
 */
export async function stageContent(manifest: EdgeManifest, fingerprint: string): Promise<string> {
  const staged = stagedFolder(manifest, fingerprint);
  if (await exists(staged)) return staged;
  const partial = `${staged}.${randomUUID()}.partial`;
  try {
    await mkdir(partial, { recursive: true, mode: 0o700 });
    await fetchContent(manifest, partial);
    const { main, assets } = manifest;
    if (main !== null && !(await exists(join(partial, main))))
      throw new Error(`${manifest.content.path} holds no ${main}`);
    if (assets !== null && !(await exists(join(partial, assets.folder))))
      throw new Error(`${manifest.content.path} holds no folder ${assets.folder}`);
    if (assets !== null && main === null)
      await writeFile(join(partial, assets.folder, releaseAsset), `${fingerprint}\n`);
    await rename(partial, staged).catch(async (error) => {
      if (!(await exists(staged))) throw error;
    });
  } finally {
    await rm(partial, { recursive: true, force: true });
  }
  return staged;
}

/** Where the copy is, or would be. The files' own hash is in the path: the same name never means other files. */
export function stagedFolder({ system, content }: EdgeManifest, fingerprint: string): string {
  return join(edgeRoot(), "staged", `${system}-${fingerprint}-${content.sha256.slice(0, 12) || "missing"}`);
}

/** Static files by their path below the site's root. */
export async function readAssets(folder: string): Promise<Map<string, Asset>> {
  const assets = new Map<string, Asset>();
  for (const path of filesOf(folder) ?? []) {
    const bytes = await readFile(join(folder, path));
    const kind = extname(path).slice(1);
    const hash = createHash("sha256")
      .update(bytes.toString("base64"))
      .update(kind)
      .digest("hex")
      .slice(0, 32);
    assets.set(`/${path}`, { hash, bytes, type: types[kind] ?? "application/octet-stream" });
  }
  return assets;
}

async function fetchContent({ content, release }: EdgeManifest, into: string): Promise<void> {
  const { kind, path, sha256 } = content;
  if (sha256 === "") {
    const what = kind === "folder" ? "build it" : `say its sha256 in releases.${release}.artifacts.edge`;
    throw new Error(`${release} has no files yet: ${path} is not there or has no checksum; ${what}`);
  }
  if (kind === "artifact") return unpack(content, into);
  const found = hashOfFolder(resolve(path));
  if (found !== sha256) {
    throw new Error(
      `${path} has the checksum ${found || "of nothing (it is not there)"}, expected ${sha256}: it was built again since ` +
        `${release} was frozen; release it under another name`,
    );
  }
  await cp(resolve(path), into, { recursive: true });
}

async function unpack({ path, sha256 }: EdgeContent, into: string): Promise<void> {
  const archive = `${into}.tar.gz`;
  try {
    await pipeline(await open(path), createWriteStream(archive, { mode: 0o600 }));
    const hash = createHash("sha256");
    await pipeline(createReadStream(archive), hash);
    const found = hash.digest("hex");
    if (found !== sha256)
      throw new Error(`${path} has the checksum ${found}, expected ${sha256}; nothing was unpacked`);
    await mustRun(["tar", "-xzf", archive, "-C", into, "--no-same-owner"], { seconds: 120 });
  } finally {
    await rm(archive, { force: true });
  }
}

async function open(path: string): Promise<NodeJS.ReadableStream> {
  if (!/^https?:/.test(path)) return createReadStream(resolve(path));
  const response = await fetch(path, { signal: AbortSignal.timeout(120_000) });
  if (!response.ok || !response.body) throw new Error(`${path} answered ${response.status}`);
  return Readable.fromWeb(response.body as Parameters<typeof Readable.fromWeb>[0]);
}

/** Paths of the files in a folder, sorted, with slashes; null where there is no such folder. */
function filesOf(folder: string): string[] | null {
  try {
    const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
    const files = entries.filter((entry) => entry.isFile());
    const paths = files.map((entry) => relative(folder, join(entry.parentPath, entry.name)));
    return paths.map((path) => path.split(sep).join("/")).sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}

const types: Readonly<Record<string, string>> = {
  html: "text/html",
  css: "text/css",
  js: "text/javascript",
  mjs: "text/javascript",
  json: "application/json",
  txt: "text/plain",
  svg: "image/svg+xml",
  png: "image/png",
  jpg: "image/jpeg",
  webp: "image/webp",
  ico: "image/x-icon",
  woff2: "font/woff2",
  wasm: "application/wasm",
};

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
