import { rm } from "node:fs/promises";
import { performance } from "node:perf_hooks";
import { setTimeout as pause } from "node:timers/promises";
import type { CutoverRequest, Outcome } from "../../../rollout/cutover/machine.ts";
import { jobOf, type Report, reportFile, requestFile } from "../cutover-files.ts";
import { readJson, writeDurably } from "../durable.ts";
import { journalText } from "../evidence.ts";
import type { Host } from "../host.ts";
import { readCutover, readPolicy, requireRelease } from "../records.ts";
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
 * connection or the engine dies; a cutover that still runs is waited for. Throws when it came to no verdict.
 */
export async function attempt(host: Host, system: string, request: CutoverRequest): Promise<Outcome> {
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
  const deadline = performance.now() + (await longestCutover(host, system)) * 1000;
  await launchWhenIdle(host, system, request, deadline);
  const { outcome } = await awaitReport(host, system, request, deadline);
  if ("error" in outcome) throw new Error(outcome.error);
  return outcome;
}

/** Two cutovers of a system never overlap: the job's name is the lock. */
async function launchWhenIdle(host: Host, system: string, request: CutoverRequest, deadline: number) {
  const path = requestFile(host, system, request.receipt);
  for (;;) {
    await awaitIdle(host, system, request, deadline);
    await rm(reportFile(host, system, request.receipt), { force: true });
    await writeDurably(path, JSON.stringify(request));
    try {
      return await host.launch(jobOf(system), ["bake-under-watch", system, request.receipt]);
    } catch (error) {
      await rm(path, { force: true });
      if (!(await host.launched(jobOf(system)))) throw error;
    }
  }
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

async function awaitReport(
  host: Host,
  system: string,
  request: CutoverRequest,
  deadline: number,
): Promise<Report> {
  for (;;) {
    const running = await host.launched(jobOf(system));
    const report = await readJson<Report>(reportFile(host, system, request.receipt));
    if (report && !running) {
      await rm(reportFile(host, system, request.receipt), { force: true });
      return report;
    }
    if (!running) {
      return { request, outcome: { held: false, error: `the cutover of ${system} ended without a verdict` } };
    }
    await waitBefore(deadline, `the cutover of ${system} has not ended in its time`);
  }
}

/** Seconds within which a cutover ends, one before it and the ten minutes of taking back included. */
async function longestCutover(host: Host, system: string): Promise<number> {
  const { bakeSeconds, healthSeconds } = await readPolicy(host, system);
  return 2 * (bakeSeconds + healthSeconds * 4) + 600;
}

async function waitBefore(deadline: number, what: string): Promise<void> {
  if (performance.now() > deadline) throw new Error(`${what}; \`switchyard status\` says what serves`);
  await pause(40);
}
