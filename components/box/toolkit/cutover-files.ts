import { readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { CutoverRequest, Outcome } from "../../rollout/cutover/machine.ts";
import { readJson } from "./durable.ts";
import type { Host } from "./host.ts";
import { systemDirectory } from "./records.ts";

/** Files by which the cutover verb, its watchdog and its baker speak with each other, and with who comes after them. */

export interface Report {
  readonly request: Asked;
  readonly outcome: Outcome | { readonly held: false; readonly error: string };
}

/** Name of the job that runs apart from the engine: one a system, so two cutovers of it never overlap. */
export const jobOf = (system: string) => `cutover-${system}`;
/** A cutover as somebody asks for it. */
export interface Asked extends CutoverRequest {
  /** Identity of the asking: who asks again, after a lost connection, means the same cutover. Absent: asked for once. */
  readonly attempt?: string;
}

/** A request is spent once a baker was started for it: whoever finds it later settles and never bakes again. */
export interface Request extends Asked {
  readonly spent?: boolean;
}

/** By what the files of a cutover are named. */
export const keyOf = ({ attempt, receipt }: Asked): string => attempt ?? receipt;

export const requestFile = (host: Host, system: string, key: string) =>
  join(systemDirectory(host, system), `cutover-request-${key}.json`);
export const reportFile = (host: Host, system: string, key: string) =>
  join(systemDirectory(host, system), `cutover-report-${key}.json`);
/** The step the baker is in and when each began, for people and for tests that kill it there. */
export const phaseFile = (host: Host, system: string) =>
  join(systemDirectory(host, system), "cutover-phase.json");
/** The baker's process, so that a flip can end it. */
export const bakerFile = (host: Host, system: string) => join(systemDirectory(host, system), "baker.json");

/** Takes up, and then away, every request that nobody serves any more: a reboot has ended its baker and its watchdog. */
export async function settleRequests(
  host: Host,
  system: string,
  settle: (request: Request) => Promise<void>,
): Promise<void> {
  for (const path of await filesOf(host, system, "cutover-request-")) {
    const request = await readJson<Request>(path).catch(() => null);
    if (request) await settle(request);
    await rm(path, { force: true });
  }
}

/** Whoever was to read them has had a day for it. */
export async function forgetOldReports(host: Host, system: string): Promise<void> {
  for (const path of await filesOf(host, system, "cutover-report-")) {
    const found = await stat(path).catch(() => null);
    if (found && found.mtimeMs < Date.now() - 86_400_000) await rm(path, { force: true });
  }
}

async function filesOf(host: Host, system: string, kind: string): Promise<string[]> {
  const folder = systemDirectory(host, system);
  const names = (await readdir(folder)).filter((name) => name.startsWith(kind) && name.endsWith(".json"));
  return names.map((name) => join(folder, name));
}
