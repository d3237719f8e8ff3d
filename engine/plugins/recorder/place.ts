/**
 * Where the recorder may run: only where a test has said so twice, in the environment and on disk.
 * Read by the engine's environment too, so it imports nothing heavy.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";

type Environment = Readonly<Record<string, string | undefined>>;

/** The folder a test has made; a person's environment has no such variable, and no such folder to point it at. */
export const recorderVariable = "SWITCHYARD_RECORDER";
export const markerFile = "this-is-a-test.txt";
export const markerText =
  "Switchyard's tests made this folder. Whatever uses it as a world touches nothing real.\n";

/**
 * The recorder's folder, or undefined where the recorder is not asked for.
 * @throws where it is asked for and may not run: a folder that no test has made, or state that is not on this disk
 */
export function recorderFolder(env: Environment): string | undefined {
  const folder = env[recorderVariable];
  if (folder === undefined || folder === "") return undefined;
  const unset = `; \`unset ${recorderVariable}\` for Pulumi's own plugins`;
  if (read(join(folder, markerFile)) !== markerText) {
    throw new Error(
      `${recorderVariable} is ${folder}, which is no folder that a test has made (${markerFile} is missing or other)` +
        unset,
    );
  }
  // Real state must never hold what was only recorded.
  if (env.PULUMI_BACKEND_URL?.startsWith("file://") !== true) {
    throw new Error(
      `${recorderVariable} is set, and the recorder writes only to a state of its own: PULUMI_BACKEND_URL is ` +
        `${env.PULUMI_BACKEND_URL ?? "not set"}, expected file://…${unset}`,
    );
  }
  return folder;
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
