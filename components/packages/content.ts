import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { lstat, mkdir, readdir, readFile, readlink } from "node:fs/promises";
import { join, relative } from "node:path";
import { pipeline } from "node:stream/promises";
import { mustRun } from "../box/toolkit/run.ts";

/** Digest of a file's bytes. */
export async function digestOf(
  file: string,
  algorithm: "sha256" | "sha512",
  encoding: "hex" | "base64",
): Promise<string> {
  const hash = createHash(algorithm);
  await pipeline(createReadStream(file), hash);
  return hash.digest(encoding);
}

/**
 * Names of the files in which two archives differ. Two clients compress the same files to other bytes, so an archive
 * with another digest may hold the same package: only what comes out of it counts.
 */
export async function differingFiles(ours: string, theirs: string, scratch: string): Promise<string[]> {
  const [a, b] = await Promise.all([
    contentOf(ours, join(scratch, "ours")),
    contentOf(theirs, join(scratch, "theirs")),
  ]);
  const names = [...new Set([...a.keys(), ...b.keys()])].sort();
  return names.filter((name) => a.get(name) !== b.get(name));
}

/** Path and digest of each file of a gzipped tar, without the archive's own top folder. */
async function contentOf(archive: string, into: string): Promise<Map<string, string>> {
  await mkdir(into, { recursive: true });
  await mustRun(["tar", "-xzf", archive, "-C", into, "--no-same-owner", "--strip-components=1"], {
    seconds: 120,
  });
  const entries = await readdir(into, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => !entry.isDirectory());
  const read = files.map(async ({ parentPath, name }): Promise<[string, string]> => {
    const path = join(parentPath, name);
    return [relative(into, path), await identityOf(path)];
  });
  return new Map(await Promise.all(read));
}

async function identityOf(path: string): Promise<string> {
  const status = await lstat(path);
  if (status.isSymbolicLink()) return `link ${await readlink(path)}`;
  const executable = (status.mode & 0o111) !== 0 ? "executable " : "";
  return `${executable}${createHash("sha256")
    .update(await readFile(path))
    .digest("hex")}`;
}
