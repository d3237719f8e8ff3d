import type { EmergencyStop } from "../../gates/emergency-stop.ts";
import { cutOver, resolve, type Step, withdraw } from "../../rollout/cutover/machine.ts";
import { reportHeartbeats } from "../../rollout/cutover/watchdog.ts";
import type { ClusterApi } from "../api.ts";
import type { Memory } from "../memory.ts";
import type { BakerReport, BakerRequest } from "./request.ts";
import { ClusterTarget } from "./target.ts";

export interface Ground {
  readonly api: ClusterApi;
  readonly memory: Memory;
  readonly system: string;
  readonly request: BakerRequest;
}

/** Does what was asked, heartbeats on; never throws. */
export async function work(all: Ground & { stop(): EmergencyStop | null }): Promise<BakerReport["outcome"]> {
  reportHeartbeats();
  const { memory, request } = all;
  const target = targetOf(all, all.stop);
  const steps: { step: Step; at: string }[] = [];
  const atStep = async (step: Step) => {
    steps.push({ step, at: new Date().toISOString() });
    await memory.write({ phase: JSON.stringify({ step, steps }) });
  };
  try {
    const { work } = request;
    if (work.verb === "cutover") return await cutOver(target, work.request, atStep);
    if (work.verb === "withdraw") await withdraw(target, work.because);
    if (work.verb === "recover") await resolve(target, "killed");
    return { held: true };
  } catch (error) {
    return { held: false, error: (error as Error).message };
  }
}

export function targetOf(all: Ground, stop: () => EmergencyStop | null = () => null): ClusterTarget {
  const { api, memory, system, request } = all;
  const { releases, policy } = request;
  return new ClusterTarget({ api, memory, system, releases, policy, stop });
}
