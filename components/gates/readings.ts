import type { Histogram } from "./metrics.ts";
import { type Reading, type Rule, shortestSlopeSeconds } from "./rules.ts";

/**
 * Turns what was seen of one service into the readings of one rule. Shares of requests are not among them: share-test.ts
 * judges those. Pure; times are monotonic milliseconds.
 */

/** Requests between two scrapes, or those of one round of probes. */
export interface Traffic {
  readonly from: number;
  readonly to: number;
  readonly requests: number;
  /** Of `requests`, how many the watcher may have sent itself and cannot tell apart (health probes, scrapes). */
  readonly own: number;
  readonly errors: number | null;
  readonly latency: Latency | null;
}

/** A service's histogram, or the seconds that each of our own requests took. */
export type Latency =
  | { readonly kind: "histogram"; readonly histogram: Histogram }
  | { readonly kind: "exact"; readonly seconds: readonly Span[] };

/** What an answer took, in seconds. The two differ where the asking process was late itself (own-delay.ts). */
export interface Span {
  readonly atLeast: number;
  readonly atMost: number;
}

/** A figure at a moment. */
export interface Point {
  readonly at: number;
  readonly value: number;
}

/** Failed checks in a row, one reading a check; a failing run begins at its first failure. */
export function failureReadings(checks: readonly { readonly at: number; readonly ok: boolean }[]): Reading[] {
  let inRow = 0;
  return checks.map((check, index) => {
    inRow = check.ok ? 0 : inRow + 1;
    const from = inRow === 1 ? check.at : (checks[index - 1]?.at ?? check.at);
    return { from, to: check.at, value: inRow };
  });
}

/** Slope in bytes a minute over the trailing window, as soon as the points span it. */
export function slopeReadings(rule: Rule, points: readonly Point[]): Reading[] {
  const window = (rule.forSeconds || shortestSlopeSeconds) * 1000;
  return points.flatMap((last, index) => {
    const first = points.findLastIndex((point, at) => at < index && point.at <= last.at - window);
    if (first < 0) return [];
    const value = slopePerMinute(points.slice(first, index + 1));
    return [{ from: points[first]!.at, to: last.at, value }];
  });
}

/** Increase of a counter over the trailing window; window 0: since the first scrape. */
export function increaseReadings(rule: Rule, increases: readonly Reading[]): Reading[] {
  const window = rule.forSeconds === 0 ? Number.POSITIVE_INFINITY : rule.forSeconds * 1000;
  let first = 0;
  let total = 0;
  return increases.map((last) => {
    total += last.value;
    while (last.to - increases[first]!.to >= window) total -= increases[first++]!.value;
    return { from: increases[first]!.from, to: last.to, value: total };
  });
}

function slopePerMinute(points: readonly Point[]): number {
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const minutes = points.map((point) => (point.at - points[0]!.at) / 60_000);
  const middle = mean(minutes);
  const level = mean(points.map((point) => point.value));
  const above = points.reduce((sum, point, i) => sum + (minutes[i]! - middle) * (point.value - level), 0);
  const below = minutes.reduce((sum, minute) => sum + (minute - middle) ** 2, 0);
  return below === 0 ? 0 : Math.round(above / below);
}
