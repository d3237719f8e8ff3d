import { randomUUID } from "node:crypto";
import { mkdir, open, readdir, readFile, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

/** Replaces a file so that a reader, a kill or a power cut sees the old text or the new one, never a part. */
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
  const folder = await open(dirname(path), "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** Removes a file or folder, and what writers of it left who were killed: that may hold a secret as well. */
export async function removeDurably(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true });
  const names = await readdir(dirname(path)).catch(() => []);
  const left = names.filter((name) => name.startsWith(`${basename(path)}.`) && name.endsWith(".partial"));
  for (const name of left) await rm(join(dirname(path), name), { force: true });
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
