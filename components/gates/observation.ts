import { stoppedBy } from "./emergency-stop.ts";
import { failureReadings, increaseReadings, slopeReadings } from "./readings.ts";
import { type Judged, measuredLine, type RuleLine } from "./report.ts";
import {
  applicationMetric,
  hasToRise,
  isShare,
  type Judgement,
  judge,
  type Reading,
  type Rule,
  type RuleTable,
} from "./rules.ts";
import { addSample, evidenceOf, nothingSeen, type Sample, type Seen, type WatchedService } from "./seen.ts";
import { type Source, TrafficWatch } from "./traffic-watch.ts";

/**
 * What was seen of a release while it bakes, and the verdict on it. The clock is the caller's: times are milliseconds
 * of a monotonic clock, and nothing here waits or reads anything.
 */

export interface ObservationOptions {
  readonly rules: RuleTable;
  readonly services: readonly WatchedService[];
  /** Whether the release depends on a database; without one databaseFailures does not apply. */
  readonly database: boolean;
  /** The table is one for a bake that is shorter than it asks for (FittedTable). @default false */
  readonly fitted?: boolean;
  /** Length of the bake, in seconds: shares without a window of their own are judged as a whole then. @default 0 */
  readonly seconds?: number;
  /** Seconds after which a service that is no longer measured is "no-verdict" again. @default 30 */
  readonly staleSeconds?: number;
}

export interface Verdict {
  /**
   * rollback: at once. no-verdict: the release has not proved itself (no traffic, a window not yet filled, a rule above
   * its limit at this moment but not yet for long enough): go on watching, never confirm. investigate: may be confirmed,
   * with the finding recorded. ok: every rule was measured over its whole window and held.
   */
  readonly decision: "ok" | "rollback" | "investigate" | "no-verdict";
  /** The rule that decides, @example "errorRate > 5 % for 120 s"; "" when ok. */
  readonly rule: string;
  readonly service: string | null;
  readonly measured: string;
  readonly allowed: string;
  /** Monotonic milliseconds at which the deciding rule was broken. */
  readonly brokenAt: number | null;
  /** One entry a rule of the table, in its order. */
  readonly lines: readonly RuleLine[];
}

export class Observation {
  readonly #options: Required<ObservationOptions>;
  readonly #seen: ReadonlyMap<string, Seen>;
  readonly #traffic: ReadonlyMap<string, Readonly<Record<Source, TrafficWatch>>>;
  #startedAt: number | null = null;
  #now = 0;
  #samples = 0;
  #stopped: { at: number; by: string; reason: string } | null = null;

  constructor(options: ObservationOptions) {
    this.#options = { fitted: false, seconds: 0, staleSeconds: 30, ...options };
    this.#seen = new Map(options.services.map((service) => [service.name, nothingSeen()]));
    const shares = options.rules.filter(({ metric }) => isShare(metric));
    const watch = (source: Source, rules = shares) => new TrafficWatch(source, rules, this.#options.fitted);
    // A front door counts errors; how long a request took it only tells on average.
    const atTheDoor = shares.filter(({ metric }) => metric === "errorRate");
    this.#traffic = new Map(
      options.services.map(({ name }) => [
        name,
        { service: watch("service"), door: watch("door", atTheDoor), own: watch("own") },
      ]),
    );
  }

  /** @throws for a service that the options do not name, and for time that runs backwards. */
  add(sample: Sample): void {
    if (this.#startedAt !== null && sample.at < this.#now) {
      throw new Error(`sample at ${sample.at} ms after one at ${this.#now} ms: the clock must be monotonic`);
    }
    const before = this.#startedAt === null ? sample.at : this.#now;
    this.#startedAt ??= sample.at;
    this.#now = sample.at;
    this.#samples += 1;
    for (const [name, service] of Object.entries(sample.services)) {
      const seen = this.#seen.get(name);
      const watched = this.#options.services.find((one) => one.name === name);
      if (!seen || !watched) {
        throw new Error(`sample of "${name}": expected one of ${[...this.#seen.keys()].join(", ")}`);
      }
      const added = Object.entries(addSample(seen, service, before, sample.at));
      for (const [source, traffic] of added) this.#traffic.get(name)![source as Source].add(traffic);
    }
  }

  /** Somebody pulled the handle (TRD-6, emergency_stop): rollback at once, whatever was measured. */
  emergencyStop(stop: { at: number; by: string; reason: string }): void {
    this.#stopped ??= stop;
    this.#now = Math.max(this.#now, stop.at);
  }

  /** Judges everything seen so far. A rollback stays one. */
  verdict(now: number = this.#now): Verdict {
    const lines = this.#options.rules.map((rule) => this.#line(rule, now));
    if (this.#stopped) {
      const decided = { decision: "rollback", service: null, brokenAt: this.#stopped.at, lines } as const;
      return { ...decided, ...stoppedBy(this.#stopped) };
    }
    const broken = (decision: Rule["decision"]) =>
      lines
        .filter((line) => line.rule.decision === decision && isBroken(line))
        .sort((a, b) => (a.brokenAt ?? Infinity) - (b.brokenAt ?? Infinity))[0];
    const unproved = lines.find((line) => isUnproved(line));
    const nothing = lines.every((line) => line.state === "not applicable");
    if (broken("rollback")) return decided("rollback", broken("rollback")!, lines);
    if (unproved) return decided("no-verdict", unproved, lines);
    if (broken("investigate")) return decided("investigate", broken("investigate")!, lines);
    if (nothing) return { ...ok(lines), decision: "no-verdict", rule: "no rule applies" };
    return ok(lines);
  }

  /** Everything the verdict rests on, as plain JSON; times in seconds since the first sample. */
  evidence(now: number = this.#now): object {
    const seconds = (at: number) => Number(((at - (this.#startedAt ?? 0)) / 1000).toFixed(3));
    const { services, rules: _, ...options } = this.#options;
    const { lines, ...verdict } = this.verdict(now);
    return {
      verdict: { ...verdict, brokenAt: verdict.brokenAt === null ? null : seconds(verdict.brokenAt) },
      rules: lines.map((line) => line.text),
      ...options,
      seconds: seconds(now),
      samples: this.#samples,
      emergencyStop: this.#stopped && { ...this.#stopped, at: seconds(this.#stopped.at) },
      services: services.map((service) => ({
        ...service,
        sources: this.#sourcesOf(service).map((source) =>
          this.#traffic.get(service.name)![source].evidence(),
        ),
        ...evidenceOf(this.#seen.get(service.name)!, seconds),
      })),
    };
  }

  #line(rule: Rule, now: number): RuleLine {
    const judged = this.#judgements(rule, now);
    const order: Judgement["state"][] = ["broken", "unsettled", "unmeasured", "held"];
    const worst = judged.sort(
      (a, b) =>
        order.indexOf(a.judgement.state) - order.indexOf(b.judgement.state) ||
        (b.judgement.value ?? -1) - (a.judgement.value ?? -1),
    )[0];
    return measuredLine(rule, worst ?? null);
  }

  #judgements(rule: Rule, now: number): Judged[] {
    const applies = this.#options.services.filter((service) => this.#applies(rule, service));
    if (isShare(rule.metric)) {
      const over = now - (this.#startedAt ?? now) >= (rule.forSeconds || this.#options.seconds) * 1000;
      return applies.flatMap((service) =>
        this.#sourcesOf(service).flatMap((source) => {
          const watch = this.#traffic.get(service.name)![source];
          if (!watch.judges(rule)) return [];
          const judgement = watch.judge(rule, now, over, this.#options.staleSeconds);
          return [{ service: service.name, source, judgement }];
        }),
      );
    }
    const named = applicationMetric(rule.metric);
    if (named && applies.length === 0 && this.#options.services.some(({ metrics }) => metrics)) {
      const kind = named.kind === "gauge" ? "gauge" : "counter";
      const reason = `no service shows a ${kind} ${named.name}`;
      return [{ service: null, judgement: { ...unmeasured, reason } }];
    }
    const judged = applies.map((service) => ({
      service: service.name,
      judgement: judge(rule, this.#readings(rule, service.name), now, this.#staleSeconds(rule)),
    }));
    // What has to rise rises in the service whose business it is; others may show it and stay at 0.
    const risen = hasToRise(rule) ? judged.find(({ judgement }) => judgement.state === "held") : undefined;
    return risen ? [risen] : judged;
  }

  /** The sources that a service owes: what is not measured at one of them is not made up for by another. */
  #sourcesOf({ name, metrics, asked }: WatchedService): Source[] {
    const { door, own } = this.#traffic.get(name)!;
    return [
      ...(metrics ? (["service"] as const) : []),
      ...(door.measured ? (["door"] as const) : []),
      ...(asked || own.measured || !metrics ? (["own"] as const) : []),
    ];
  }

  /** Traffic rules ask serving services, databaseFailures those that probe one, counters those with metrics. */
  #applies(rule: Rule, service: WatchedService): boolean {
    const { metric } = rule;
    if (isShare(metric)) return service.kind === "serving";
    if (metric === "databaseFailures") {
      // Whoever was asked answers for the release; before anybody was, every service still owes it.
      const asked = [...this.#seen.values()].some((seen) => seen.database.length > 0);
      return this.#options.database && (!asked || this.#seen.get(service.name)!.database.length > 0);
    }
    // Whoever shows the application's metric is asked for it.
    if (applicationMetric(metric)) return this.#readings(rule, service.name).length > 0;
    if (metric === "cpu") return service.metrics;
    return true;
  }

  #readings(rule: Rule, service: string): readonly Reading[] {
    const seen = this.#seen.get(service)!;
    switch (rule.metric) {
      case "healthFailures":
        return failureReadings(seen.health);
      case "databaseFailures":
        return failureReadings(seen.database);
      case "restarts":
        return seen.restarts;
      case "memoryGrowth":
        return slopeReadings(rule, seen.memory);
      case "cpu":
        return seen.cpu;
      default: {
        const named = applicationMetric(rule.metric);
        if (named?.kind === "gauge") return seen.gauges[named.name] ?? [];
        return increaseReadings(rule, seen.counters[named?.name ?? ""] ?? []);
      }
    }
  }

  /** A reading may be as old as the rule's window before the service counts as no longer measured. */
  #staleSeconds(rule: Rule): number {
    return Math.max(this.#options.staleSeconds, rule.forSeconds);
  }
}

/** The application's metrics that a table's rules name, for `readScrape`. */
export function namedMetrics(rules: RuleTable): { readonly counters: string[]; readonly gauges: string[] } {
  const named = rules.flatMap(({ metric }) => applicationMetric(metric) ?? []);
  const names = (gauge: boolean) => [
    ...new Set(named.flatMap(({ kind, name }) => ((kind === "gauge") === gauge ? [name] : []))),
  ];
  return { counters: names(false), gauges: names(true) };
}

const unmeasured = { state: "unmeasured", value: null, atLeast: false, brokenAt: null } as const;

function isBroken({ state, rule }: RuleLine): boolean {
  // What is only to be looked into needs no certainty: it is said, and nothing is taken back.
  return state === "broken" || (rule.decision === "investigate" && state === "unsettled");
}

/** A finding that changes nothing may be short of requests; it may not go without any. */
function isUnproved({ state, rule, requests }: RuleLine): boolean {
  if (rule.decision === "investigate") return state === "unmeasured" && requests === 0;
  return state === "unmeasured" || state === "unsettled";
}

function decided(decision: Verdict["decision"], line: RuleLine, lines: readonly RuleLine[]): Verdict {
  const { service, measured, allowed, brokenAt } = line;
  return { decision, rule: line.name, service, measured, allowed, brokenAt, lines };
}

function ok(lines: readonly RuleLine[]): Verdict {
  return { decision: "ok", rule: "", service: null, measured: "", allowed: "", brokenAt: null, lines };
}
