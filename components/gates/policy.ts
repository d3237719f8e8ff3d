import type { OutsideCheck } from "./outside.ts";
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
  /** What is asked from outside once traffic has moved, before the bake. Never holds a secret: it is kept in clear. */
  readonly outside?: readonly OutsideCheck[];
}
