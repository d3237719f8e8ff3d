import type { LegAddress } from "../rollout/leg.ts";
import type { TargetObservation } from "../rollout/observation.ts";
import { bundleBaker } from "./bundle.ts";
import { ClusterLeg, type ClusterLegArgs } from "./leg.ts";
import type { ClusterManifest } from "./manifest.ts";

/** Everything of a leg that its runbook says: what the cluster answers and the baker's program are added here. */
export type ClusterLegPlan = Omit<ClusterLegArgs, "observed" | "bakerProgram">;

/**
 * A leg on a cluster: the cluster is asked what it has, and the baker is made ready for it. A module of its own, so that
 * a stack without a cluster never loads Kubernetes' library.
 */
export async function openClusterLeg(
  observe: (address: LegAddress) => Promise<TargetObservation | null>,
  args: ClusterLegPlan,
): Promise<ClusterLeg> {
  const [observed, bakerProgram] = await Promise.all([observe(args.address), bundleBaker()]);
  return new ClusterLeg({
    ...args,
    bakerProgram,
    observed: observed as unknown as TargetObservation<ClusterManifest> | null,
  });
}
