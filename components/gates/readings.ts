import { addHistograms, countWithin, type Histogram, quantile } from "./metrics.ts";
import { type Reading, type Rule, shortestSlopeSeconds } from "./rules.ts";

/** Turns what was seen of one service into the readings of one rule. Pure; times are monotonic milliseconds. */

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

/** A service's histogram, or the exact seconds of our own requests where it has none. */
export type Latency =
  | { readonly kind: "histogram"; readonly histogram: Histogram }
  | { readonly kind: "exact"; readonly seconds: readonly number[] };

/** A figure at a moment. */
export interface Point {
  readonly at: number;
  readonly value: number;
}

/**
 * Readings of errorRate, p95 and p99. Scrapes with little traffic are put together until `minimumRequests` were
 * answered, and, while exactly one of them was bad, until one bad request alone is within what is allowed: a single
 * error is never a rate (DEI-6), a single slow request never a percentile.
 */
export function trafficReadings(rule: Rule, traffic: readonly Traffic[], minimumRequests: number): Reading[] {
  const share = rule.metric === "errorRate" ? rule.above : 1 - quantileOf(rule);
  const readings: Reading[] = [];
  let open: Traffic | null = null;
  for (const increase of traffic) {
    open = open ? together(open, increase) : increase;
    const answered = open.requests - open.own;
    const bad = badRequests(rule, open);
    if (bad === null) {
      open = null;
      continue;
    }
    const decided = bad !== 1 || share === 0 || answered * share >= 1;
    if (answered < minimumRequests || !decided) continue;
    readings.push({ from: open.from, to: open.to, ...measure(rule, open) });
    open = null;
  }
  if (open && open.requests - open.own >= minimumRequests)
    readings.push(undecided(rule, open, readings.at(-1)));
  return readings;
}

/**
 * The last requests, with one bad one among them that may yet be the first of many: as bad as it looks when what came
 * before was above, else just what is allowed.
 */
function undecided(rule: Rule, open: Traffic, before: Reading | undefined): Reading {
  const { value, atLeast } = measure(rule, open);
  const goesOn = before !== undefined && before.value > rule.above;
  return {
    from: open.from,
    to: open.to,
    value: goesOn ? value : Math.min(value, rule.above),
    atLeast: goesOn && atLeast,
  };
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

function together(one: Traffic, other: Traffic): Traffic {
  return {
    from: one.from,
    to: other.to,
    requests: one.requests + other.requests,
    own: one.own + other.own,
    errors: one.errors === null || other.errors === null ? null : one.errors + other.errors,
    latency: latencyTogether(one.latency, other.latency),
  };
}

function latencyTogether(one: Latency | null, other: Latency | null): Latency | null {
  if (one?.kind === "histogram" && other?.kind === "histogram") {
    return { kind: "histogram", histogram: addHistograms(one.histogram, other.histogram) };
  }
  if (one?.kind === "exact" && other?.kind === "exact") {
    return { kind: "exact", seconds: [...one.seconds, ...other.seconds] };
  }
  return null;
}

/** Requests that count against the rule; null where the service does not report them. */
function badRequests(rule: Rule, traffic: Traffic): number | null {
  if (rule.metric === "errorRate") return traffic.errors;
  if (traffic.latency === null) return null;
  if (traffic.latency.kind === "exact") {
    return traffic.latency.seconds.filter((seconds) => seconds > rule.above).length;
  }
  const { histogram } = traffic.latency;
  return (histogram.counts.at(-1) ?? 0) - countWithin(histogram, rule.above);
}

function measure(rule: Rule, traffic: Traffic): { value: number; atLeast: boolean } {
  if (rule.metric === "errorRate") {
    // Errors among own requests are errors too: taking the own ones off below the line only would overstate them.
    return { value: traffic.errors! / traffic.requests, atLeast: false };
  }
  const latency = traffic.latency!;
  if (latency.kind === "histogram") {
    return quantile(latency.histogram, quantileOf(rule)) ?? { value: 0, atLeast: false };
  }
  const sorted = [...latency.seconds].sort((a, b) => a - b);
  const rank = Math.ceil(quantileOf(rule) * sorted.length);
  return { value: sorted[Math.max(0, rank - 1)] ?? 0, atLeast: false };
}

function quantileOf(rule: Rule): number {
  return rule.metric === "p99" ? 0.99 : 0.95;
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
