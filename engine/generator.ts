/** Finds the gates' load generator: vegeta on PATH, else built once from its Go module. */
import { join } from "node:path";
import { built, type Progress } from "./build.ts";
import type { Environment } from "./checkout.ts";
import type { Found } from "./locate.ts";
import { generatorPin } from "./pins.ts";
import { atLeast, isExecutable, onPath, versionOf } from "./programs.ts";

/** Oldest vegeta whose results say the number of each request. */
const oldestGenerator = "12.8.0";

/** What is there now; builds nothing. */
export async function findGenerator(env: Environment): Promise<Found | undefined> {
  for (const path of await onPath("vegeta", env)) {
    const version = await versionOf(path, ["-version"], env);
    if (version !== undefined && atLeast(version, oldestGenerator)) return { path, version, source: "PATH" };
  }
  const pin = generatorPin(env);
  const path = join(pin.folder, pin.program);
  const version = pin.version.replace(/^v/, "");
  return (await isExecutable(path)) ? { path, version, source: "built" } : undefined;
}

/** What is there, after building it where it is missing. @throws as `built` does */
export async function locateGenerator(env: Environment, progress: Progress): Promise<Found> {
  const found = await findGenerator(env);
  if (found !== undefined) return found;
  const pin = generatorPin(env);
  const path = await built(pin, env, progress);
  return { path, version: pin.version.replace(/^v/, ""), source: "built" };
}
