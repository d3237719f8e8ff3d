import { fork } from "node:child_process";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { setTimeout as pause } from "node:timers/promises";
import { type CutoverRequest, cutOver, resolve, type Step } from "../../../rollout/cutover/machine.ts";
import type { Failure } from "../../../rollout/cutover/state.ts";
import { reportHeartbeats, silenceSeconds, superviseBaker } from "../../../rollout/cutover/watchdog.ts";
import { BoxTarget } from "../box-target.ts";
import { bakerFile, phaseFile, type Report, reportFile, requestFile } from "../cutover-files.ts";
import { readJson, writeDurably } from "../durable.ts";
import type { Host } from "../host.ts";
import { endProcess, identify, type ProcessIdentity } from "../process-identity.ts";
import { readCutover, requireRelease, systemDirectory } from "../records.ts";

/**
 * The watchdog: one baker, and whatever becomes of it, an end in `confirmed`. Exits 0 when traffic is settled. Started
 * again after its own end it never bakes again: whoever was killed did not prove anything.
 */
export async function bakeUnderWatch(host: Host, system: string): Promise<void> {
  const request = await readJson<CutoverRequest>(requestFile(host, system));
  const startedAgain = (await readJson(bakerFile(host, system))) !== null;
  if (!request || startedAgain) {
    await endEarlierBaker(host, system);
    await settle(host, system, request);
    return;
  }
  const child = fork(process.argv[1] ?? "", ["bake", system]);
  if (child.pid) await writeDurably(bakerFile(host, system), JSON.stringify(await identify(child.pid)));
  const finished = await superviseBaker(child);
  if (!finished || (await readCutover(host, system)).stuck) await settle(host, system, request);
  await forgetRequest(host, system);
}

/** The baker itself: a child of the watchdog, killed by it when it falls silent. */
export async function bakeCutover(host: Host, system: string): Promise<void> {
  reportHeartbeats();
  const request = await readJson<CutoverRequest>(requestFile(host, system));
  if (!request) throw new Error(`no cutover of ${system} was asked for`);
  const target = new BoxTarget(host, system);
  const atStep = async (step: Step) => {
    await writeDurably(phaseFile(host, system), JSON.stringify({ step, at: new Date().toISOString() }));
    await rehearse(host, system, step);
  };
  let outcome: Report["outcome"];
  try {
    outcome = await cutOver(target, request, atStep);
  } catch (error) {
    outcome = { held: false, error: (error as Error).message };
  }
  await writeDurably(reportFile(host, system), JSON.stringify({ request, outcome } satisfies Report));
}

/** Resolves what a dead baker left. At boot the doors are still shut, so only what they will open on is set right. */
export async function resolvePending(host: Host, system: string, when: "killed" | "reboot"): Promise<void> {
  await endEarlierBaker(host, system);
  await resolve(new BoxTarget(host, system, { doorsShut: when === "reboot" }), when);
  await forgetRequest(host, system);
}

/** What stands in the place of the verdict that a dead baker did not give. */
async function settle(host: Host, system: string, request: CutoverRequest | null): Promise<void> {
  const failure = await resolvePatiently(new BoxTarget(host, system));
  const report = await readJson<Report>(reportFile(host, system));
  if (request && report?.request.receipt !== request.receipt) {
    const outcome = failure ? { held: false as const, failure } : await withoutPending(host, system, request);
    await writeDurably(reportFile(host, system), JSON.stringify({ request, outcome } satisfies Report));
  }
  await forgetRequest(host, system);
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
  request: CutoverRequest,
): Promise<Report["outcome"]> {
  const { confirmed } = await readCutover(host, system);
  if (confirmed === request.to) return { held: true };
  return { held: false, error: `the baker of ${system} was killed before it moved any traffic` };
}

/** Ends a baker that outlived its watchdog; two of one system never run at a time. */
export async function endEarlierBaker(host: Host, system: string): Promise<void> {
  const baker = await readJson<ProcessIdentity>(bakerFile(host, system));
  if (baker) await endProcess(baker, silenceSeconds);
  await rm(bakerFile(host, system), { force: true });
}

async function forgetRequest(host: Host, system: string): Promise<void> {
  await rm(requestFile(host, system), { force: true });
  await rm(bakerFile(host, system), { force: true });
}

/**
 * A rehearsal of the worst case, in development only: a file that names a step holds the baker before it, so that it
 * can be killed just there. Heartbeats go on meanwhile.
 */
async function rehearse(host: Host, system: string, step: Step): Promise<void> {
  const file = join(systemDirectory(host, system), "rehearsal.json");
  const rehearsal = await readJson<{ holdBefore: Step; seconds: number }>(file);
  if (rehearsal?.holdBefore !== step) return;
  const request = await readJson<CutoverRequest>(requestFile(host, system));
  const release = request && (await requireRelease(host, system, request.to));
  if (release?.manifest.environment !== "development") return;
  await rm(file, { force: true });
  await pause(rehearsal.seconds * 1000);
}
