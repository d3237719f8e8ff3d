import { rm } from "node:fs/promises";
import { performance } from "node:perf_hooks";
import { setTimeout as pause } from "node:timers/promises";
import { longestWaitSeconds } from "../../../rollout/cutover/longest.ts";
import type { CutoverRequest, Outcome } from "../../../rollout/cutover/machine.ts";
import {
  type Asked,
  forgetOldReports,
  jobOf,
  keyOf,
  type Report,
  type Request,
  reportFile,
  requestFile,
} from "../cutover-files.ts";
import { readJson, writeDurably } from "../durable.ts";
import { journalText } from "../evidence.ts";
import { exclusively } from "../exclusive.ts";
import type { Host } from "../host.ts";
import { longestCutover } from "../longest.ts";
import { readCutover, requireRelease } from "../records.ts";
import { endBaker } from "./watchdog.ts";

/** The cutover as a step of an update: throws, with the reason, unless the release is confirmed. */
export async function cutover(host: Host, system: string, request: CutoverRequest): Promise<void> {
  const outcome = await attempt(host, system, request);
  if (outcome.held) return;
  const { release, step, rule, measured, allowed, journal, evidence } = outcome.failure;
  const { confirmed } = await readCutover(host, system);
  throw new Error(
    [
      `${system} ${release} did not hold (${step}): ${rule}`,
      `measured: ${measured}`,
      `allowed: ${allowed}`,
      ...journalText(journal),
      `evidence on the box: ${evidence || "none"}; serving now: ${confirmed ?? "nothing (503)"}`,
    ].join("\n"),
  );
}

/**
 * Starts the baker apart from this process and watches it until its verdict. The baker goes on when the watcher, its
 * connection or the engine dies; a cutover that still runs is waited for. An attempt that was asked for before is only
 * watched, and its verdict given. Throws when it came to no verdict.
 */
export async function attempt(host: Host, system: string, request: Asked): Promise<Outcome> {
  const release = await requireRelease(host, system, request.to);
  if (!release.done.gates) {
    throw new Error(
      `${system} ${release.manifest.release} has not passed its gates on this box; run the whole update`,
    );
  }
  // Unreadable, it would stop every baker; here it stops the one who asks, with the file's name.
  await readCutover(host, system);
  if (release.manifest.schema) {
    const { refuseUnsupportedSchema } = await import("./schema.ts");
    await refuseUnsupportedSchema(host, release, { evenUnasked: request.flip !== undefined });
  }
  const deadline = performance.now() + longestWaitSeconds(await longestCutover(host, system)) * 1000;
  await launchWhenIdle(host, system, request, deadline);
  const { outcome } = await awaitReport(host, system, request, deadline);
  if ("error" in outcome) throw new Error(outcome.error);
  return outcome;
}

/** Two cutovers of a system never overlap: the job's name is the lock. */
async function launchWhenIdle(host: Host, system: string, request: Asked, deadline: number): Promise<void> {
  for (;;) {
    if (await wasLaunched(host, system, request)) return;
    await awaitIdle(host, system, request, deadline);
    // The one who asked first may still be at it: his connection is lost, and nobody has told him.
    const isLaunched = await exclusively(host, `${system}-launch`, () => launch(host, system, request));
    if (isLaunched) return;
  }
}

/** False where another cutover was quicker. */
async function launch(host: Host, system: string, request: Asked): Promise<boolean> {
  if (await wasLaunched(host, system, request)) return true;
  if (await host.launched(jobOf(system))) return false;
  const path = requestFile(host, system, keyOf(request));
  await forgetOldReports(host, system);
  await rm(reportFile(host, system, keyOf(request)), { force: true });
  await writeDurably(path, JSON.stringify(request));
  try {
    await host.launch(jobOf(system), ["bake-under-watch", system, keyOf(request)]);
    return true;
  } catch (error) {
    await rm(path, { force: true });
    if (!(await host.launched(jobOf(system)))) throw error;
    return false;
  }
}

/** Whether a baker was started for this very attempt, whatever became of it. */
async function wasLaunched(host: Host, system: string, request: Asked): Promise<boolean> {
  if (request.attempt === undefined) return false;
  if ((await readJson<Report>(reportFile(host, system, keyOf(request)))) !== null) return true;
  return (await readJson<Request>(requestFile(host, system, keyOf(request))))?.spent === true;
}

/**
 * A cutover outlives a killed engine, so the next update meets it and waits for its verdict. Whoever wants what it left,
 * and every flip, gets traffic back at once instead: its baker is ended, and its watchdog takes back.
 */
async function awaitIdle(
  host: Host,
  system: string,
  { to, flip }: CutoverRequest,
  deadline: number,
): Promise<void> {
  while (await host.launched(jobOf(system))) {
    const { pending } = await readCutover(host, system);
    if (pending && pending.to !== to && (flip || pending.from === to)) await endBaker(host, system);
    await waitBefore(deadline, `another cutover of ${system} still runs`);
  }
}

/** What was asked for once is read once; the verdict of an attempt stays there for whoever asks again. */
async function awaitReport(host: Host, system: string, request: Asked, deadline: number): Promise<Report> {
  const path = reportFile(host, system, keyOf(request));
  for (;;) {
    const running = await host.launched(jobOf(system));
    const report = await readJson<Report>(path);
    if (report && !running) {
      if (request.attempt === undefined) await rm(path, { force: true });
      return report;
    }
    if (!running) {
      return { request, outcome: { held: false, error: `the cutover of ${system} ended without a verdict` } };
    }
    await waitBefore(deadline, `the cutover of ${system} has not ended in its time`);
  }
}

async function waitBefore(deadline: number, what: string): Promise<void> {
  if (performance.now() > deadline) throw new Error(`${what}; \`switchyard status\` says what serves`);
  await pause(40);
}
