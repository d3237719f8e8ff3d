import { createHash } from "node:crypto";
import { mkdirSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import type { Progress } from "../box/cache.ts";

export const toStderr: Progress = (line) => {
  process.stderr.write(`cluster: ${line}\n`);
};

/** Folder in this user's cache for what was made from exactly these ingredients. */
export function cacheDirectory(name: string, ...ingredients: readonly (string | Buffer)[]): string {
  const root = join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "switchyard", "cluster");
  mkdirSync(root, { recursive: true });
  const key = createHash("sha256");
  for (const one of ingredients) key.update(`${one.length}\n`).update(one);
  return join(root, `${name}-${key.digest("hex").slice(0, 12)}`);
}
