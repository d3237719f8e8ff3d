import type { Rule } from "../gates/rules.ts";

/** What may change in place, without a release: times, limits, the rule table of the bake, and how many pods. */
export interface ClusterPolicy {
  readonly rules: readonly Rule[];
  readonly bakeSeconds: number;
  /** For a release that has served a whole bake before. */
  readonly shortBakeSeconds: number;
  readonly scrapeSeconds: number;
  /** How long a placed release may take to become healthy. */
  readonly healthSeconds: number;
  /** Paths that the bake requests by itself, so that a quiet night gives a verdict too. */
  readonly probes: readonly string[];
  readonly probesPerSecond: number;
  /** Pods of each serving service. */
  readonly replicas: Readonly<Record<string, number>>;
}
