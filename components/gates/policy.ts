import type { OutsideCheck } from "./outside.ts";
import { allowedShare, fitTable, isShare, patienceSeconds, type Rule, type RuleTable } from "./rules.ts";
import { requestsToTell, visible } from "./share-test.ts";

/** How a release is baked on whatever target: times, limits and the rule table. Changes in place, without a release. */
export interface BakePolicy {
  readonly rules: RuleTable;
  readonly bakeSeconds: number;
  /** For a release that has served a whole bake before. */
  readonly shortBakeSeconds: number;
  readonly scrapeSeconds: number;
  /** Seconds between two checks of health and database. @default scrapeSeconds */
  readonly checkSeconds?: number;
  /** How long a placed release may take to become healthy. */
  readonly healthSeconds: number;
  /** Paths that the bake requests by itself, so that a quiet night gives a verdict too. */
  readonly probes: readonly string[];
  readonly probesPerSecond: number;
  /** What is asked from outside once traffic has moved, before the bake. Never holds a secret: it is kept in clear. */
  readonly outside?: readonly OutsideCheck[];
}

/** Requests a second of our own that a bake makes at least: with fewer, a plain disaster takes more than five seconds to see. */
const fewestPerSecond = 30;
/** Some of the requests that are due are still on their way when the bake ends. */
const reserve = 1.1;

/** How many requests a second of our own a bake of such a table and length needs to see what it is there for. */
export function requestsPerSecond(rules: RuleTable, seconds: number): number {
  const needed = sharesOf(rules).map((rule) => requestsToTell(allowedShare(rule)));
  return Math.max(fewestPerSecond, Math.ceil((reserve * Math.max(0, ...needed)) / Math.max(1, seconds)));
}

/** Seconds that a bake takes at most until its verdict: its patience, and a minute for a last look that hangs. */
export function longestBakeSeconds({ bakeSeconds }: Pick<BakePolicy, "bakeSeconds">): number {
  return bakeSeconds + patienceSeconds(bakeSeconds) + 60;
}

/**
 * What a bake sees with nothing but its own requests, in words.
 * @example "65 s, 39 requests/s of our own; with 99 % it sees 1.6 % of errors (allowed 1 %)"
 */
export function bakeSight(policy: BakePolicy, proved = false): string {
  const { probesPerSecond, checkSeconds = policy.scrapeSeconds } = policy;
  const seconds = proved ? policy.shortBakeSeconds : policy.bakeSeconds;
  const { rules, fitted } = fitTable(policy.rules, { seconds, checkSeconds, proved });
  const requests = Math.floor(probesPerSecond * seconds);
  const shares = sharesOf(rules).map((rule) => {
    const allowed = allowedShare(rule);
    const what = rule.metric === "errorRate" ? "errors" : `requests slower than ${rule.above} s`;
    return { what, allowed, share: visible({ requests, seconds, allowed, fitted }) };
  });
  const seen = shares.flatMap(({ what, allowed, share }) =>
    share === null ? [] : [`${percent(share)} of ${what} (allowed ${percent(allowed)})`],
  );
  const unseen = shares.flatMap(({ what, share }) => (share === null ? [what] : []));
  return [
    `${seconds} s, ${probesPerSecond} requests/s of our own`,
    ...(seen.length === 0 ? [] : [`with 99 % it sees ${seen.join(", ")}`]),
    ...(unseen.length === 0 ? [] : [`too few requests to see ${unseen.join(", ")}`]),
  ].join("; ");
}

function sharesOf(rules: RuleTable): Rule[] {
  return rules.filter(({ metric, decision }) => isShare(metric) && decision === "rollback");
}

function percent(share: number): string {
  return `${Number((share * 100).toPrecision(2))} %`;
}
