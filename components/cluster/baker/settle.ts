import { setTimeout as pause } from "node:timers/promises";
import { resolve } from "../../rollout/cutover/machine.ts";
import type { Failure } from "../../rollout/cutover/state.ts";
import { stateOf } from "../memory.ts";
import type { BakerReport } from "./request.ts";
import { type Ground, targetOf } from "./work.ts";

/** Nothing is pending after this, whatever the work came to; where it left no verdict, this is the report. */
export async function settle(all: Ground): Promise<void> {
  const { memory, request } = all;
  const failure = await resolvePatiently(all);
  const { report } = await memory.read();
  if (report !== undefined && !failure) return;
  const outcome = failure ? { held: false as const, failure } : await withoutVerdict(all);
  await memory.write({ report: JSON.stringify({ id: request.id, outcome } satisfies BakerReport) });
}

/** Taking back is tried for ten minutes: whatever keeps it from working may be starting again at this moment. */
async function resolvePatiently(all: Ground): Promise<Failure | null> {
  const deadline = performance.now() + 600_000;
  for (;;) {
    try {
      return await resolve(targetOf(all), "killed");
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await pause(2000);
    }
  }
}

/** A baker that died before `pending` moved nothing; one that died after confirming has held. */
async function withoutVerdict({ memory, system, request }: Ground): Promise<BakerReport["outcome"]> {
  const { confirmed } = stateOf(await memory.read());
  const { work } = request;
  if (work.verb === "cutover" && confirmed === work.request.to) return { held: true };
  return { held: false, error: `the baker of ${system} was killed before it moved any traffic` };
}
