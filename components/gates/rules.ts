/**
 * The table of rules by which a bake is judged, and the judging of one rule on one series of readings.
 * Pure: time comes in with the readings, in milliseconds of a monotonic clock.
 */

/**
 * What a rule watches, and the unit of its `above`:
 * - errorRate: ratio (0.05 is 5 %) of requests answered 5xx or not at all
 * - p95, p99: seconds; of 100 requests 5, or 1, may take longer
 * - healthFailures, databaseFailures: failed checks in a row
 * - restarts: times a process ended by itself since the watch began
 * - memoryGrowth: bytes a minute, the least-squares slope over the window
 * - cpu: ratio of one core (0.7 is 70 %)
 * - counter:<name>: increase of the application's counter over the window (window 0: since the watch began)
 * - gauge:<name>: the application's gauge
 * - rises:<name>: increase of the application's counter since the watch began. This one has to be above: until it is,
 *   there is no verdict. A release that has served a whole bake before has shown it and is not asked again.
 */
export type Metric =
  | ShareMetric
  | "healthFailures"
  | "databaseFailures"
  | "restarts"
  | "memoryGrowth"
  | "cpu"
  | `${ApplicationMetric}:${string}`;

/** Metrics that are a share of the requests: share-test.ts judges them. */
export type ShareMetric = "errorRate" | "p95" | "p99";

/** Metrics of the application's own, by name. */
export type ApplicationMetric = "counter" | "gauge" | "rises";

/** The application's metric that a rule names; null: it names none. */
export function applicationMetric(metric: Metric): { kind: ApplicationMetric; name: string } | null {
  const [, kind, name] = /^(counter|gauge|rises):(.*)$/.exec(metric) ?? [];
  return kind === undefined || name === undefined ? null : { kind: kind as ApplicationMetric, name };
}

export interface Rule {
  readonly metric: Metric;
  /** The rule is broken by values greater than this; the value itself is allowed. */
  readonly above: number;
  /**
   * How long, in seconds; 0 is at once. Checks in a row, restarts, cpu and gauges break a rule when every reading of its
   * window was above, without one exception. memoryGrowth and counter are taken over the window to begin with and break
   * it as soon as they are above. A share of requests ("errors > 5 % for > 2 min" is { above: 0.05, forSeconds: 120 })
   * is judged on all requests of the bake: a bake in production lasts as long as the longest window, a release that is
   * above for so long never survives it, and one that is far above loses the traffic within seconds (share-test.ts).
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
}

export interface Judgement {
  readonly state: "held" | "broken" | "unsettled" | "unmeasured";
  /**
   * The highest value that lasted for the rule's window: exactly what is compared with `above`. Where no window has
   * been filled yet, the lowest value so far; null without a reading.
   */
  readonly value: number | null;
  /** The true value may be higher: the histogram ends here. */
  readonly atLeast: boolean;
  /** Monotonic milliseconds at which the rule was first broken. */
  readonly brokenAt: number | null;
  /** Why there is no saying whether the rule held. */
  readonly reason: string | null;
  /** Of a share: requests that were looked at, and how many counted against the rule. */
  readonly requests?: number;
  readonly bad?: number;
  /** Of a share: the smallest one that so many requests would have shown with 99 %; null: none. */
  readonly sees?: () => number | null;
}

/** Whether a rule's window is already in its readings. */
export function takenOverWindow(metric: Metric): boolean {
  return metric === "memoryGrowth" || metric.startsWith("counter:");
}

/** Whether the rule is broken by what is not above, rather than by what is. */
export function hasToRise({ metric }: Pick<Rule, "metric">): boolean {
  return metric.startsWith("rises:");
}

/**
 * Judges one rule that is not about a share on the readings of one service, in order of time. Once broken a rule stays broken.
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
  if (hasToRise(rule)) return judgeRise(rule, readings);
  const window = takenOverWindow(rule.metric) ? 0 : rule.forSeconds * 1000;
  let value: number | null = null;
  let brokenAt: number | null = null;
  for (let first = 0; first < readings.length; first++) {
    let lowest = readings[first]!;
    for (let last = first; last < readings.length; last++) {
      if (readings[last]!.value < lowest.value) lowest = readings[last]!;
      if (readings[last]!.to - readings[first]!.from < window) continue;
      if (value === null || lowest.value > value) {
        value = lowest.value;
      }
      if (lowest.value > rule.above) brokenAt = Math.min(brokenAt ?? Infinity, readings[last]!.to);
      break;
    }
  }
  const run = runAbove(rule, readings);
  const aboveSeconds = run.length === 0 ? 0 : (run.at(-1)!.to - run[0]!.from) / 1000;
  const filled = value !== null;
  if (value === null && readings.length > 0) value = Math.min(...readings.map((reading) => reading.value));
  const judged = { value, atLeast: false, brokenAt, reason: null };
  if (brokenAt !== null) return { ...judged, state: "broken" };
  const reason = unmeasured(rule, readings, filled, now, staleSeconds);
  if (reason) return { ...judged, state: "unmeasured", reason };
  if (run.length > 0) {
    return { ...judged, state: "unsettled", reason: `above for ${round(aboveSeconds)} s at this moment` };
  }
  return { ...judged, state: "held" };
}

/** Readings of what has to rise are increases since the watch began. */
function judgeRise(rule: Rule, readings: readonly Reading[]): Judgement {
  const value = readings.at(-1)?.value ?? null;
  const judged = { value, atLeast: false, brokenAt: null };
  if (value === null) return { ...judged, state: "unmeasured", reason: "not measured" };
  if (value > rule.above) return { ...judged, state: "held", reason: null };
  return { ...judged, state: "unmeasured", reason: "it has not risen yet" };
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
  const age = (now - last.to) / 1000;
  return age > staleSeconds ? `not measured for the last ${round(age)} s` : null;
}

/**
 * The shortest bake that can break every rule of the table: its longest window and one check more. In production no
 * first bake of a release is shorter.
 */
export function minimumBakeSeconds(table: RuleTable, checkSeconds: number): number {
  return Math.max(0, ...table.map((rule) => rule.forSeconds)) + checkSeconds;
}

/** How much longer a bake may go on that has not seen enough: as long again, ten seconds at least, ten minutes at most. */
export function patienceSeconds(seconds: number): number {
  return Math.min(600, Math.max(10, seconds));
}

/** Metrics that count failed checks in a row. */
const inARow: readonly Metric[] = ["healthFailures", "databaseFailures"];

/** A slope needs some time, however short the bake. */
export const shortestSlopeSeconds = 0.5;

export interface FittedTable {
  readonly rules: RuleTable;
  /** The bake is shorter than the table asks for: its shares say what so few requests can tell. */
  readonly fitted: boolean;
}

export interface BakeTime {
  readonly seconds: number;
  /** Between two checks of health and database. */
  readonly checkSeconds: number;
  /** The release has served a whole bake before. */
  readonly proved: boolean;
}

/**
 * The table for a bake that is shorter than its windows (outside production, or a release that has already served a
 * whole bake): every window shrinks in the same proportion until the longest is a third of the bake, none below two
 * checks, and all leave two checks of the bake to spare. What is allowed stays, but that a single failed check, which may
 * be one lost packet, breaks no rule that had a window: with a short one it would. memoryGrowth takes half the bake and
 * allows the same bytes in it: a process that warms up grows fast for some seconds. Shares of requests have no window to
 * shrink.
 */
export function fitTable(table: RuleTable, { seconds, checkSeconds, proved }: BakeTime): FittedTable {
  const asked = proved ? table.filter((rule) => !hasToRise(rule)) : table;
  const longest = Math.max(0, ...table.map((rule) => rule.forSeconds));
  if (seconds >= longest + checkSeconds) return { rules: asked, fitted: false };
  const factor = seconds / 3 / longest;
  const most = Math.max(0, seconds - 2 * checkSeconds);
  const rules = asked.map((rule) => {
    if (rule.forSeconds === 0 || isShare(rule.metric)) return rule;
    const wanted = Math.max(rule.forSeconds * factor, 2 * checkSeconds);
    if (rule.metric !== "memoryGrowth") {
      const above = inARow.includes(rule.metric) ? Math.max(rule.above, 1) : rule.above;
      return { ...rule, above, forSeconds: Math.min(rule.forSeconds, wanted, most) };
    }
    const forSeconds = Math.max(shortestSlopeSeconds, Math.min(rule.forSeconds, seconds / 2, most));
    return { ...rule, forSeconds, above: (rule.above * rule.forSeconds) / forSeconds };
  });
  return { rules, fitted: true };
}

export function isShare(metric: Metric): metric is ShareMetric {
  return metric === "errorRate" || metric === "p95" || metric === "p99";
}

/** Share of the requests that may be bad: that of the errors, or of those slower than the quantile allows. */
export function allowedShare({ metric, above }: Pick<Rule, "metric" | "above">): number {
  if (metric === "errorRate") return above;
  return metric === "p99" ? 0.01 : 0.05;
}

export function round(value: number): number {
  return Number(value.toPrecision(3));
}
