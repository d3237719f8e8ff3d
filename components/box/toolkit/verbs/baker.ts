import { rm } from "node:fs/promises";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { setTimeout as pause } from "node:timers/promises";
import { cutOver, resolve, type Step } from "../../../rollout/cutover/machine.ts";
import type { Failure } from "../../../rollout/cutover/state.ts";
import { reportHeartbeats } from "../../../rollout/cutover/watchdog.ts";
import { BoxTarget } from "../box-target.ts";
import { keyOf, phaseFile, type Report, type Request, reportFile, requestFile } from "../cutover-files.ts";
import { readJson, writeDurably } from "../durable.ts";
import type { Host } from "../host.ts";
import type { WindowStep } from "../maintenance.ts";
import { readCutover, requireRelease, systemDirectory } from "../records.ts";
import { endBaker } from "./watchdog.ts";

/** The baker itself: a child of the watchdog, killed by it when it falls silent. */
export async function bakeCutover(host: Host, system: string, key: string): Promise<void> {
  reportHeartbeats();
  const request = await readJson<Request>(requestFile(host, system, key));
  if (!request) throw new Error(`no cutover of ${system} was asked for under ${key}`);
  const steps: { step: Step | WindowStep; at: string }[] = [];
  const atStep = async (step: Step | WindowStep) => {
    steps.push({ step, at: new Date().toISOString() });
    await writeDurably(phaseFile(host, system), JSON.stringify({ step, steps }));
    await rehearse(host, system, step, request);
  };
  const target = new BoxTarget(host, system, { atStep });
  let outcome: Report["outcome"];
  try {
    outcome = await cutOver(target, request, atStep);
  } catch (error) {
    outcome = { held: false, error: (error as Error).message };
  }
  await writeDurably(reportFile(host, system, key), JSON.stringify({ request, outcome } satisfies Report));
}

/** Resolves what a dead baker left. At boot the doors are still shut, so only what they will open on is set right. */
export async function resolvePending(
  host: Host,
  system: string,
  when: "killed" | "reboot",
): Promise<Failure | null> {
  await endBaker(host, system);
  return resolve(new BoxTarget(host, system, { doorsShut: when === "reboot" }), when);
}

/** Nothing is pending after this, whatever the baker came to; where it gave no verdict, this is the report. */
export async function settle(host: Host, system: string, request: Request | null): Promise<void> {
  await endBaker(host, system);
  const failure = await resolvePatiently(new BoxTarget(host, system));
  if (!request) return;
  await reportIfNone(host, system, request, failure, `the baker of ${system} was killed`);
  await rm(requestFile(host, system, keyOf(request)), { force: true });
}

/** The report of a baker that left none, or none that holds: `failure` is what taking back found, if there was any. */
export async function reportIfNone(
  host: Host,
  system: string,
  request: Request,
  failure: Failure | null,
  why: string,
): Promise<void> {
  const report = reportFile(host, system, keyOf(request));
  if (!failure && (await readJson<Report>(report).catch(() => null)) !== null) return;
  const outcome = failure
    ? { held: false as const, failure }
    : await withoutPending(host, system, request, why);
  await writeDurably(report, JSON.stringify({ request, outcome } satisfies Report));
}

/** Taking back is tried for ten minutes: whatever keeps it from working may be starting again at this moment. */
async function resolvePatiently(target: BoxTarget): Promise<Failure | null> {
  const deadline = performance.now() + 600_000;
  for (;;) {
    try {
      return await resolve(target, "killed");
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await pause(2000);
    }
  }
}

/** A baker that died before `pending` moved nothing; one that died after confirming has held. */
async function withoutPending(
  host: Host,
  system: string,
  request: Request,
  why: string,
): Promise<Report["outcome"]> {
  const { confirmed } = await readCutover(host, system);
  if (confirmed === request.to) return { held: true };
  return { held: false, error: `${why} before it moved any traffic` };
}

/**
 * A rehearsal of the worst case, in development only: a file that names a step holds the baker before it, so that it
 * can be killed just there. Heartbeats go on meanwhile.
 */
async function rehearse(host: Host, system: string, step: string, request: Request): Promise<void> {
  const file = join(systemDirectory(host, system), "rehearsal.json");
  const rehearsal = await readJson<{ holdBefore: string; seconds: number }>(file);
  if (rehearsal?.holdBefore !== step) return;
  const release = await requireRelease(host, system, request.to);
  if (release.manifest.environment !== "development") return;
  await rm(file, { force: true });
  await pause(rehearsal.seconds * 1000);
}
