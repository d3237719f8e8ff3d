import { longestVerification } from "../../gates/outside.ts";
import { type BakePolicy, longestBakeSeconds } from "../../gates/policy.ts";

/** How long a cutover may take at most: what everybody who waits for one goes by, on its target and apart from it. */

/** Taking back is tried again for ten minutes; two more for a machine that is slow to start what does it. */
const backSeconds = 720;

/** What of a target's policy decides it. */
export interface CutoverTimes extends Pick<BakePolicy, "bakeSeconds" | "healthSeconds"> {
  /** Bakes before the whole one, each at a share of the traffic. */
  readonly steps?: readonly { readonly seconds: number }[];
}

/**
 * Seconds from a cutover's start to its verdict, its way back included.
 *
 * @param leavingSeconds how long a release that is left may take to drain and to stop. @default 0
 */
export function longestCutoverSeconds(policy: CutoverTimes, leavingSeconds = 0): number {
  const { healthSeconds, steps = [] } = policy;
  const bakes = [policy, ...steps.map(({ seconds }) => ({ bakeSeconds: seconds }))].map(longestBakeSeconds);
  const baking = bakes.reduce((sum, seconds) => sum + seconds, 0);
  // Services are asked one after the other, and once more where traffic reaches them.
  return healthSeconds * 4 + leavingSeconds * 2 + longestVerification + baking + backSeconds;
}

/** Seconds that whoever starts a cutover waits: one that still runs ends first. */
export function longestWaitSeconds(oneCutover: number): number {
  return 2 * oneCutover;
}

/** For a target that does not say how long it takes (an older toolkit): of the longest bake that the config takes. */
export const longestOfAnyCutover = longestCutoverSeconds({ bakeSeconds: 86_400, healthSeconds: 600 });
