import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { CutoverRequest, Outcome } from "../../rollout/cutover/machine.ts";
import type { Host } from "./host.ts";
import { systemDirectory } from "./records.ts";

/** Files by which the cutover verb, its watchdog and its baker speak with each other, and with who comes after them. */

export interface Report {
  readonly request: CutoverRequest;
  readonly outcome: Outcome | { readonly held: false; readonly error: string };
}

/** Name of the job that runs apart from the engine: one a system, so two cutovers of it never overlap. */
export const jobOf = (system: string) => `cutover-${system}`;
/** A request is spent once a baker was started for it: whoever finds it later settles and never bakes again. */
export interface Request extends CutoverRequest {
  readonly spent?: boolean;
}

export const requestFile = (host: Host, system: string, receipt: string) =>
  join(systemDirectory(host, system), `cutover-request-${receipt}.json`);
export const reportFile = (host: Host, system: string, receipt: string) =>
  join(systemDirectory(host, system), `cutover-report-${receipt}.json`);
/** The step the baker is in and when each began, for people and for tests that kill it there. */
export const phaseFile = (host: Host, system: string) =>
  join(systemDirectory(host, system), "cutover-phase.json");
/** The baker's process, so that a flip can end it. */
export const bakerFile = (host: Host, system: string) => join(systemDirectory(host, system), "baker.json");

/** Requests that nobody serves any more: a reboot has ended their baker and their watchdog. */
export async function forgetRequests(host: Host, system: string): Promise<void> {
  const folder = systemDirectory(host, system);
  const spent = (await readdir(folder)).filter((name) => name.startsWith("cutover-request-"));
  for (const name of spent) await rm(join(folder, name), { force: true });
}
