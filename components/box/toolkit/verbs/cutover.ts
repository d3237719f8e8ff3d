import { rm } from "node:fs/promises";
import { performance } from "node:perf_hooks";
import { setTimeout as pause } from "node:timers/promises";
import type { CutoverRequest } from "../../../rollout/cutover/machine.ts";
import { jobOf, type Report, reportFile, requestFile } from "../cutover-files.ts";
import { readJson, writeDurably } from "../durable.ts";
import type { Host } from "../host.ts";
import { readCutover, readPolicy, requireRelease } from "../records.ts";
import { endEarlierBaker } from "./baker.ts";
import { refuseUnsupportedSchema } from "./schema.ts";

/**
 * Starts the baker apart from this process and watches it until its verdict. The baker goes on when the watcher, its
 * connection or the engine dies. Throws, with the reason, unless the release is confirmed.
 */
export async function cutover(host: Host, system: string, request: CutoverRequest): Promise<void> {
  const release = await requireRelease(host, system, request.to);
  if (!release.done.gates) {
    throw new Error(
      `${system} ${release.manifest.release} has not passed its gates on this box; run the whole update`,
    );
  }
  await refuseUnsupportedSchema(host, release);
  if (await host.launched(jobOf(system))) {
    throw new Error(
      `a cutover of ${system} runs on this box at this moment; wait for its verdict (switchyard status)`,
    );
  }
  await endEarlierBaker(host, system);
  await rm(reportFile(host, system), { force: true });
  await writeDurably(requestFile(host, system), JSON.stringify(request));
  await host.launch(jobOf(system), ["bake-under-watch", system]);
  const { outcome } = await awaitReport(host, system, request);
  if (outcome.held) return;
  if ("error" in outcome) throw new Error(outcome.error);
  const { step, rule, measured, allowed, journal, evidence } = outcome.failure;
  const { confirmed } = await readCutover(host, system);
  throw new Error(
    [
      `${system} ${release.manifest.release} did not hold (${step}): ${rule}`,
      `measured: ${measured}`,
      `allowed: ${allowed}`,
      ...journal.slice(-5).map((line) => `  ${line}`),
      `evidence on the box: ${evidence || "none"}; serving now: ${confirmed ?? "nothing (503)"}`,
    ].join("\n"),
  );
}

async function awaitReport(host: Host, system: string, request: CutoverRequest): Promise<Report> {
  const { bakeSeconds, healthSeconds } = await readPolicy(host, system);
  const deadline = performance.now() + (bakeSeconds + healthSeconds * 4 + 600) * 1000;
  for (;;) {
    const running = await host.launched(jobOf(system));
    const report = await readJson<Report>(reportFile(host, system));
    if (report?.request.receipt === request.receipt && !running) return report;
    if (!running) {
      return { request, outcome: { held: false, error: `the cutover of ${system} ended without a verdict` } };
    }
    if (performance.now() > deadline) {
      return {
        request,
        outcome: { held: false, error: `the cutover of ${system} has not ended in its time` },
      };
    }
    await pause(100);
  }
}
