import { randomUUID } from "node:crypto";
import { mkdir, open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

/** A write takes milliseconds: whoever wrote a part that is older was killed. */
const abandonedMilliseconds = 3_600_000;

/**
 * Replaces a file so that a reader, a kill or a power cut sees the old text or the new one, never a part. Parts that
 * killed writers of the same file have left go with the next write: they may hold secrets.
 */
export async function writeDurably(path: string, text: string, mode = 0o600): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const partial = `${path}.${randomUUID()}.partial`;
  try {
    const file = await open(partial, "wx", mode);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(partial, path);
  } catch (error) {
    await rm(partial, { force: true });
    throw error;
  }
  for (const left of await partsOf(path)) {
    const { mtimeMs } = await stat(left).catch(() => ({ mtimeMs: Number.POSITIVE_INFINITY }));
    if (mtimeMs < Date.now() - abandonedMilliseconds) await rm(left, { force: true });
  }
  await syncFolder(dirname(path));
}

/** Removes a file or folder and every part of it that a killed writer has left; a power cut brings none of it back. */
export async function removeDurably(path: string): Promise<void> {
  for (const one of [path, ...(await partsOf(path))]) await rm(one, { recursive: true, force: true });
  await syncFolder(dirname(path));
}

async function partsOf(path: string): Promise<string[]> {
  const names = await readdir(dirname(path)).catch(() => []);
  return names
    .filter((name) => name.startsWith(`${basename(path)}.`) && name.endsWith(".partial"))
    .map((name) => join(dirname(path), name));
}

/** Nothing to do where the folder is not there. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return null;
    throw error;
  });
  if (folder === null) return;
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** The value a file holds as JSON, or null where there is no such file. Throws, naming it, where it holds something else. */
export async function readJson<T>(path: string): Promise<T | null> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
  try {
    return JSON.parse(text) as T;
  } catch {
    // Never the text itself: some of these files hold secrets.
    throw new Error(
      `${path} does not hold JSON: somebody edited it, or the disk lost it; put it right by hand`,
    );
  }
}
