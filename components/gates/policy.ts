import type { RuleTable } from "./rules.ts";

/** How a release is baked on whatever target: times, limits and the rule table. Changes in place, without a release. */
export interface BakePolicy {
  readonly rules: RuleTable;
  readonly bakeSeconds: number;
  /** For a release that has served a whole bake before. */
  readonly shortBakeSeconds: number;
  readonly scrapeSeconds: number;
  /** How long a placed release may take to become healthy. */
  readonly healthSeconds: number;
  /** Paths that the bake requests by itself, so that a quiet night gives a verdict too. */
  readonly probes: readonly string[];
  readonly probesPerSecond: number;
}

/** Seconds that a bake takes at most: one that could not see enough goes on, for as long again and a minute. */
export function longestBakeSeconds({ bakeSeconds }: Pick<BakePolicy, "bakeSeconds">): number {
  return 2 * bakeSeconds + 60;
}
