import { type LegDriver, UnreachableError } from "../rollout/leg.ts";
import type { TargetObservation } from "../rollout/observation.ts";
import { ApiError, type EdgeAddress, WorkerApi } from "./api.ts";
import { observeWorker } from "./observe.ts";
import { EdgeCutoverTarget } from "./target.ts";
import { arm, cutOverEdge, recover, stop, withdrawTraffic } from "./verbs/cutover.ts";

/** An edge leg as the runner and the command line drive it apart from the engine. */
export function edgeDriver(address: EdgeAddress): LegDriver {
  const api = new WorkerApi(address);
  return {
    // Every target's manifests are its own; whoever compares them treats them as plain data.
    observe: () => reachable(address, async () => (await observeWorker(api)) as unknown as TargetObservation),
    check: async (fingerprint) => (await EdgeCutoverTarget.open(api)).checkHealth(fingerprint),
    cutOver: (request) => cutOverEdge(api, request),
    withdraw: (because) => withdrawTraffic(api, address.system, because),
    arm: (minutes) => arm(api, minutes),
    stop: (why) => stop(api, why),
    recover: () => recover(api),
  };
}

/** A token that is refused is as good as no answer: nothing is known of the target. */
async function reachable<T>(address: EdgeAddress, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    throw new UnreachableError(`the edge of ${address.system}`, error.message);
  }
}
