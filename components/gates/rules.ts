/**
 * The table of rules by which a bake is judged, and the judging of one rule on one series of readings.
 * Pure: time comes in with the readings, in milliseconds of a monotonic clock.
 */

/**
 * What a rule watches, and the unit of its `above`:
 * - errorRate: ratio (0.05 is 5 %) of requests answered 5xx
 * - p95, p99: seconds, of requests answered
 * - healthFailures, databaseFailures: failed checks in a row
 * - restarts: times a process ended by itself since the watch began
 * - memoryGrowth: bytes a minute, the least-squares slope over the window
 * - cpu: ratio of one core (0.7 is 70 %)
 * - counter:<name>: increase of the application's counter over the window (window 0: since the watch began)
 */
export type Metric =
  | "errorRate"
  | "p95"
  | "p99"
  | "healthFailures"
  | "databaseFailures"
  | "restarts"
  | "memoryGrowth"
  | "cpu"
  | `counter:${string}`;

export interface Rule {
  readonly metric: Metric;
  /** The rule is broken by values greater than this; the value itself is allowed. */
  readonly above: number;
  /**
   * How long, in seconds; 0 is at once. "Errors > 5 % for > 2 min" is { above: 0.05, forSeconds: 120 } and means: each
   * reading (the rate between two scrapes that follow one another) was above 5 %, without one exception, and the
   * readings together span at least 120 s. An average over the window would let one bad second break the rule.
   * memoryGrowth and counter are taken over the window to begin with and break the rule as soon as they are above.
   */
  readonly forSeconds: number;
  /** investigate: said and recorded, traffic stays. */
  readonly decision: "rollback" | "investigate";
}

export type RuleTable = readonly Rule[];

/** One value of a metric and the time it was measured over. */
export interface Reading {
  /** Milliseconds of the watch's monotonic clock. */
  readonly from: number;
  readonly to: number;
  readonly value: number;
  /** The true value may be higher: the histogram ends here. Such a reading never proves that a rule held. */
  readonly atLeast?: boolean;
}

export interface Judgement {
  readonly state: "held" | "broken" | "unsettled" | "unmeasured";
  /**
   * The highest value that lasted for the rule's window: exactly what is compared with `above`. Where no window has
   * been filled yet, the lowest value so far; null without a reading.
   */
  readonly value: number | null;
  readonly atLeast: boolean;
  /** Monotonic milliseconds at which the rule was first broken. */
  readonly brokenAt: number | null;
  /** For how many seconds, up to the last reading, the value has been above. */
  readonly aboveSeconds: number;
  /** Why there is no saying whether the rule held. */
  readonly reason: string | null;
}

/** Whether a rule's window is already in its readings. */
export function takenOverWindow(metric: Metric): boolean {
  return metric === "memoryGrowth" || metric.startsWith("counter:");
}

/**
 * Judges one rule on the readings of one service, in order of time. Once broken a rule stays broken.
 * - unmeasured: the readings do not span the window, or the last one is older than `staleSeconds`
 * - unsettled: the value is above at this moment, not yet for long enough; never good enough to confirm a release
 *
 * @param now monotonic milliseconds
 */
export function judge(
  rule: Rule,
  readings: readonly Reading[],
  now: number,
  staleSeconds: number,
): Judgement {
  const window = takenOverWindow(rule.metric) ? 0 : rule.forSeconds * 1000;
  let value: number | null = null;
  let atLeast = false;
  let brokenAt: number | null = null;
  for (let first = 0; first < readings.length; first++) {
    let lowest = readings[first]!;
    for (let last = first; last < readings.length; last++) {
      if (readings[last]!.value < lowest.value) lowest = readings[last]!;
      if (readings[last]!.to - readings[first]!.from < window) continue;
      if (value === null || lowest.value > value) {
        value = lowest.value;
        atLeast = lowest.atLeast ?? false;
      }
      if (lowest.value > rule.above) brokenAt = Math.min(brokenAt ?? Infinity, readings[last]!.to);
      break;
    }
  }
  const run = runAbove(rule, readings);
  const aboveSeconds = run.length === 0 ? 0 : (run.at(-1)!.to - run[0]!.from) / 1000;
  const filled = value !== null;
  if (value === null && readings.length > 0) value = Math.min(...readings.map((reading) => reading.value));
  const judged = { value, atLeast, brokenAt, aboveSeconds, reason: null };
  if (brokenAt !== null) return { ...judged, state: "broken" };
  const reason = unmeasured(rule, readings, filled, now, staleSeconds);
  if (reason) return { ...judged, state: "unmeasured", reason };
  if (run.length > 0) {
    return { ...judged, state: "unsettled", reason: `above for ${round(aboveSeconds)} s at this moment` };
  }
  return { ...judged, state: "held" };
}

/** The readings up to the last one that were above without exception. */
function runAbove(rule: Rule, readings: readonly Reading[]): readonly Reading[] {
  return readings.slice(readings.findLastIndex((reading) => reading.value <= rule.above) + 1);
}

function unmeasured(
  rule: Rule,
  readings: readonly Reading[],
  filled: boolean,
  now: number,
  staleSeconds: number,
): string | null {
  const last = readings.at(-1);
  if (!last) return "not measured";
  if (!filled) {
    const spanned = (last.to - readings[0]!.from) / 1000;
    return `measured for ${round(spanned)} s of ${rule.forSeconds} s`;
  }
  if (readings.some((reading) => reading.atLeast && reading.value <= rule.above)) {
    return "the histogram's last bound is below what is allowed";
  }
  const age = (now - last.to) / 1000;
  return age > staleSeconds ? `not measured for the last ${round(age)} s` : null;
}

/**
 * The shortest bake that can break every rule of the table: its longest window and one scrape more. In production no
 * first bake of a release is shorter.
 */
export function minimumBakeSeconds(table: RuleTable, scrapeSeconds: number): number {
  return Math.max(0, ...table.map((rule) => rule.forSeconds)) + scrapeSeconds;
}

/** Metrics that count failed checks in a row. */
const inARow: readonly Metric[] = ["healthFailures", "databaseFailures"];

/** A slope needs some time, however short the bake. */
export const shortestSlopeSeconds = 0.5;

/**
 * The table for a bake that is shorter than its windows (outside production, or a release that has already served a
 * whole bake): every window shrinks in the same proportion until the longest is a third of the bake, none below two
 * scrapes, and all leave two scrapes of the bake to spare. What is allowed stays, but that a single failed check, which may
 * be one lost packet, breaks no rule that had a window: with a short one it would. memoryGrowth takes half the bake and
 * allows the same bytes in it: a process that warms up grows fast for some seconds.
 */
export function fitTable(table: RuleTable, bakeSeconds: number, scrapeSeconds: number): RuleTable {
  const longest = Math.max(0, ...table.map((rule) => rule.forSeconds));
  if (bakeSeconds >= longest + scrapeSeconds) return table;
  const factor = bakeSeconds / 3 / longest;
  const most = Math.max(0, bakeSeconds - 2 * scrapeSeconds);
  return table.map((rule) => {
    if (rule.forSeconds === 0) return rule;
    const wanted = Math.max(rule.forSeconds * factor, 2 * scrapeSeconds);
    if (rule.metric !== "memoryGrowth") {
      const above = inARow.includes(rule.metric) ? Math.max(rule.above, 1) : rule.above;
      return { ...rule, above, forSeconds: Math.min(rule.forSeconds, wanted, most) };
    }
    const forSeconds = Math.max(shortestSlopeSeconds, Math.min(rule.forSeconds, bakeSeconds / 2, most));
    return { ...rule, forSeconds, above: (rule.above * rule.forSeconds) / forSeconds };
  });
}

export function round(value: number): number {
  return Number(value.toPrecision(3));
}
