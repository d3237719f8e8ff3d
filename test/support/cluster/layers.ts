import { createHash } from "node:crypto";
import {
  chmodSync,
  copyFileSync,
  cpSync,
  createReadStream,
  existsSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { locked, type Progress } from "../box/cache.ts";
import { check } from "../box/run.ts";
import { cacheDirectory, toStderr } from "./cache.ts";

/** A file of an image by its text, or a file or folder of this machine to copy. */
export type Content = string | Buffer | { readonly copyOf: string };

/** One layer of an image: an uncompressed archive, whose digest is also that of its content. */
export interface Layer {
  readonly file: string;
  /** `sha256:…` */
  readonly digest: string;
  /** Bytes. */
  readonly size: number;
}

/** Node as the project pins it; a program of this machine's C library. */
export const nodeProgram = join(import.meta.dirname, "../../../node_modules/.bin/node");

/**
 * Writes a layer that depends on nothing but its content: no times, no owners.
 * @param contents by absolute path in the image
 */
export async function writeLayer(file: string, contents: Readonly<Record<string, Content>>): Promise<Layer> {
  const folder = `${file}.content`;
  mkdirSync(folder);
  for (const [path, content] of Object.entries(contents)) {
    const target = join(folder, path);
    mkdirSync(dirname(target), { recursive: true });
    if (typeof content === "string" || Buffer.isBuffer(content)) writeFileSync(target, content);
    else cpSync(content.copyOf, target, { recursive: true, dereference: true });
  }
  return pack(folder, file);
}

/** A layer with Node, its libraries and busybox (as `sh`, too). Made once, kept in the cache. */
export async function nodeLayer(busybox: string, progress: Progress = toStderr): Promise<Layer> {
  const program = realpathSync(nodeProgram);
  const libraries = (await check(["ldd", program])).match(/\/\S+(?= \()/g) ?? [];
  const ingredients = [program, busybox, ...libraries].map((file) => {
    const { size, mtimeMs } = statSync(file);
    return `${file} ${size} ${mtimeMs}`;
  });
  const directory = cacheDirectory("node-image", ...ingredients);
  if (!existsSync(directory)) {
    await locked(`${directory}.lock`, progress, async () => {
      if (existsSync(directory)) return;
      const draft = `${directory}.draft`;
      rmSync(draft, { recursive: true, force: true });
      const folder = join(draft, "layer.content");
      for (const file of libraries) copy(file, join(folder, file));
      copy(program, join(folder, "usr/local/bin/node"));
      copy(busybox, join(folder, "bin/busybox"));
      symlinkSync("busybox", join(folder, "bin/sh"));
      mkdirSync(join(folder, "tmp"));
      chmodSync(join(folder, "tmp"), 0o1777);
      const layer = await pack(folder, join(draft, "layer.tar"));
      writeFileSync(join(draft, "digest"), layer.digest);
      renameSync(draft, directory);
    });
  }
  const file = join(directory, "layer.tar");
  return { file, digest: readFileSync(join(directory, "digest"), "utf8"), size: statSync(file).size };
}

function copy(from: string, to: string): void {
  mkdirSync(dirname(to), { recursive: true });
  copyFileSync(from, to);
  chmodSync(to, 0o755);
}

async function pack(folder: string, file: string): Promise<Layer> {
  const same = ["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner", "--format=gnu"];
  await check(["tar", ...same, "-C", folder, "-cf", file, "."]);
  rmSync(folder, { recursive: true });
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(file)) hash.update(chunk);
  return { file, digest: `sha256:${hash.digest("hex")}`, size: statSync(file).size };
}
