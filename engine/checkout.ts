/** Where this checkout is, and where what it builds for the machine is kept. */
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export type Environment = Readonly<Record<string, string | undefined>>;

export const checkout = dirname(dirname(fileURLToPath(import.meta.url)));

/** Folder of built engines and what is known about found ones, shared by every checkout of this user. */
export function engineCache(env: Environment): string {
  return join(env.XDG_CACHE_HOME || join(env.HOME || homedir(), ".cache"), "switchyard", "engine");
}

/** Pulumi's own folder: plugins, and what its npm package downloads. */
export function pulumiHome(env: Environment): string {
  return env.PULUMI_HOME || join(env.HOME || homedir(), ".pulumi");
}
