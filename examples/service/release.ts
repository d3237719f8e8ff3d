import { readFileSync } from "node:fs";

/** What a release of the example does wrong, on purpose. */
export type Fault =
  | "never-healthy"
  | "errors"
  | "errors-at-once"
  | "slow"
  | "leak"
  | "crash"
  | "refuses-to-stop"
  | "slow-drain"
  | "no-launch"
  | "noisy"
  | "unbuildable";

/** release.json, beside the program. */
export interface ReleaseFile {
  /** @example "v3" */
  readonly version: string;
  readonly fault: Fault | null;
}

export function readRelease(url: URL): ReleaseFile {
  return JSON.parse(readFileSync(url, "utf8")) as ReleaseFile;
}
