import { type Histogram, quantile, slowerThan } from "./metrics.ts";
import type { Latency, Traffic } from "./readings.ts";
import { allowedShare, type Judgement, type Rule, round } from "./rules.ts";
import { ShareTest } from "./share-test.ts";

/**
 * Who counted the requests: the service itself, the front door in front of it, or we, by asking through the door. Each
 * of them is judged by itself, with the same weight, and the worst one decides.
 */
export type Source = "service" | "door" | "own";

/** The requests of one service as one source counts them, judged by every rule of the table that is about a share. */
export class TrafficWatch {
  readonly source: Source;
  private readonly tests: ReadonlyMap<Rule, ShareTest>;
  private readonly latency = new LatencyCounts();
  private readonly unknown = new Map<Rule, string>();
  /** Requests of each rule that are not counted: this process was too busy to time them. */
  private readonly unclear = new Map<Rule, number>();
  private lastAt: number | null = null;

  /** @param fitted see ShareTestOptions */
  constructor(source: Source, rules: readonly Rule[], fitted: boolean) {
    this.source = source;
    this.tests = new Map(rules.map((rule) => [rule, new ShareTest({ allowed: allowedShare(rule), fitted })]));
  }

  get measured(): boolean {
    return this.lastAt !== null;
  }

  judges(rule: Rule): boolean {
    return this.tests.has(rule);
  }

  add(traffic: Traffic): void {
    const { from, to } = traffic;
    const requests = Math.max(0, traffic.requests - traffic.own);
    if (traffic.latency) this.latency.add(traffic.latency);
    if (traffic.requests === 0) return;
    for (const [rule, test] of this.tests) {
      const counted = badRequests(rule, traffic);
      if (typeof counted === "string") {
        this.unknown.set(rule, counted);
        continue;
      }
      const { bad, unclear } = counted;
      if (unclear > 0) this.unclear.set(rule, (this.unclear.get(rule) ?? 0) + unclear);
      // A replica that had nothing to show yet is measured from now on; requests in an open bucket stay unknown.
      if (this.unknown.get(rule) !== openBucket) this.unknown.delete(rule);
      // Errors among our own health checks are errors too.
      const clear = Math.max(requests - unclear, bad);
      if (clear > 0) test.add({ from, to, requests: clear, bad });
    }
    if (requests > 0) this.lastAt = to;
  }

  /** @param over the watch has had its whole time */
  judge(rule: Rule, now: number, over: boolean, staleSeconds: number): Judgement {
    const test = this.tests.get(rule)!;
    const { state, bad, requests, brokenAt } = test.judge(over);
    const { value, atLeast } = this.value(rule, bad, requests);
    const judged = { value, atLeast, brokenAt, requests, bad, sees: () => test.sees() };
    if (state === "broken") return { ...judged, state, reason: null };
    if (requests === 0 || this.lastAt === null) {
      return {
        ...judged,
        value: null,
        state: "unmeasured",
        reason: this.unknown.get(rule) ?? this.tooBusy(rule, "no requests"),
      };
    }
    const unknown = this.unknown.get(rule);
    if (unknown !== undefined) return { ...judged, state: "unmeasured", reason: unknown };
    const age = (now - this.lastAt) / 1000;
    if (age > staleSeconds) {
      return { ...judged, state: "unmeasured", reason: `not measured for the last ${round(age)} s` };
    }
    if (state === "above") return { ...judged, state: "unsettled", reason: "above at this moment" };
    if (state === "held") return { ...judged, state, reason: null };
    return { ...judged, state: "unmeasured", reason: this.tooBusy(rule, "too few requests to tell") };
  }

  /** As plain JSON. */
  evidence(): object {
    const rules = [...this.tests].map(([rule, test]) => {
      const { state, bad, requests } = test.judge(false);
      return {
        metric: rule.metric,
        above: rule.above,
        decision: rule.decision,
        requests,
        bad,
        notTimed: this.unclear.get(rule) ?? 0,
        state,
        sees: test.sees(),
      };
    });
    return { source: this.source, rules };
  }

  private tooBusy(rule: Rule, reason: string): string {
    const unclear = this.unclear.get(rule) ?? 0;
    return unclear === 0 ? reason : `${reason} (${unclear} more not timed: this machine was too busy)`;
  }

  private value(rule: Rule, bad: number, requests: number) {
    if (rule.metric === "errorRate") return { value: requests === 0 ? null : bad / requests, atLeast: false };
    return this.latency.quantile(1 - allowedShare(rule)) ?? { value: null, atLeast: false };
  }
}

/** Requests that count against the rule and those that nobody can tell of, or why it cannot be judged at all. */
function badRequests(
  rule: Rule,
  { errors, latency }: Traffic,
): { readonly bad: number; readonly unclear: number } | string {
  if (rule.metric === "errorRate") {
    return errors === null ? "the service does not tell its errors" : { bad: errors, unclear: 0 };
  }
  if (latency === null) return "the service does not tell its latency";
  if (latency.kind === "exact") {
    const bad = latency.seconds.filter(({ atLeast }) => atLeast > rule.above).length;
    return { bad, unclear: latency.seconds.filter(({ atMost }) => atMost > rule.above).length - bad };
  }
  const { slower, unknown } = slowerThan(latency.histogram, rule.above);
  return unknown > 0 ? openBucket : { bad: slower, unclear: 0 };
}

const openBucket = "the histogram's last bound is below what is allowed";

/** Latencies of a whole watch, however long: the service's own buckets, or ours of two per cent's width. */
class LatencyCounts {
  private readonly within = new Map<number, number>();

  add(latency: Latency): void {
    if (latency.kind === "exact") {
      for (const { atLeast } of latency.seconds) {
        const step = ownStep(atLeast);
        this.count(ownBound(step), 1);
        this.count(ownBound(step - 1), 0);
      }
      return;
    }
    const { bounds, counts } = latency.histogram;
    for (const [index, bound] of bounds.entries())
      this.count(bound, counts[index]! - (counts[index - 1] ?? 0));
  }

  quantile(q: number): { value: number; atLeast: boolean } | null {
    return quantile(this.histogram(), q);
  }

  private count(bound: number, more: number): void {
    this.within.set(bound, (this.within.get(bound) ?? 0) + more);
  }

  private histogram(): Histogram {
    const bounds = [...this.within.keys()].sort((a, b) => a - b);
    let total = 0;
    const counts = bounds.map((bound) => {
      total += this.within.get(bound)!;
      return total;
    });
    return { bounds, counts };
  }
}

/** Number of our own bucket: those up to a millisecond are one, and from there on each is two per cent wide. */
function ownStep(seconds: number): number {
  return Math.max(0, Math.ceil(Math.log(seconds / 0.001) / Math.log(1.02)));
}

function ownBound(step: number): number {
  return 0.001 * 1.02 ** step;
}
