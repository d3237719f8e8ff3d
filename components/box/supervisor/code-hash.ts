import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

let hash: Promise<string> | undefined;

/** Twelve hex digits over the supervisor's source, read once: in a supervisor, the code it was started with. */
export function codeHash(): Promise<string> {
  hash ??= hashFolder(fileURLToPath(new URL(".", import.meta.url)));
  return hash;
}

async function hashFolder(folder: string): Promise<string> {
  const sum = createHash("sha256");
  for (const name of (await readdir(folder)).sort())
    sum.update(name).update(await readFile(join(folder, name)));
  return sum.digest("hex").slice(0, 12);
}
