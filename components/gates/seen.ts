import { increaseBetween, type Scrape } from "./metrics.ts";
import type { Latency, Point, Traffic } from "./readings.ts";
import type { Reading } from "./rules.ts";

/** One sample of a service, and what a watch keeps of it. Pure; times are monotonic milliseconds. */

export interface WatchedService {
  readonly name: string;
  readonly kind: "serving" | "singleton";
  /** Whether it has a metrics path. Without one, our own requests through the door are all the traffic there is. */
  readonly metrics: boolean;
}

/** One request of our own. */
export interface Probe {
  /**
   * What it measures, and nothing else: "health" asks the health path of the process (healthFailures), "database" the
   * database (databaseFailures), "request" something that users ask for, through the front door. Only the last one is
   * traffic: a release that nothing but health checks talk to has shown nothing.
   */
  readonly kind: "health" | "database" | "request";
  readonly ok: boolean;
  /** HTTP status; null when no answer came. */
  readonly status: number | null;
  readonly seconds: number;
}

export interface ServiceSample {
  /** Absent when not scraped this time. */
  readonly metrics?: Scrape | { readonly failed: string };
  readonly probes?: readonly Probe[];
  readonly unit?: {
    readonly active: "running" | "starting" | "stopping" | "gone" | "failed";
    readonly restarts: number;
    readonly memoryBytes: number;
  };
}

export interface Sample {
  /** Milliseconds of a monotonic clock. */
  readonly at: number;
  /** By service name. The first sample is the baseline: take it before the first request moves. */
  readonly services: Readonly<Record<string, ServiceSample>>;
}

/** What is kept of one service. */
export interface Seen {
  scrape: { at: number; scrape: Scrape } | null;
  scrapeFailures: { at: number; error: string }[];
  probesSinceScrape: number;
  traffic: Traffic[];
  counters: Record<string, Reading[]>;
  cpu: Reading[];
  memory: Point[];
  restarts: Reading[];
  firstRestarts: number | null;
  health: { at: number; ok: boolean }[];
  database: { at: number; ok: boolean }[];
  requestProbes: number;
  failedRequestProbes: number;
}

export function nothingSeen(): Seen {
  return {
    scrape: null,
    scrapeFailures: [],
    probesSinceScrape: 0,
    traffic: [],
    counters: {},
    cpu: [],
    memory: [],
    restarts: [],
    firstRestarts: null,
    health: [],
    database: [],
    requestProbes: 0,
    failedRequestProbes: 0,
  };
}

/** @param from time of the sample before this one */
export function addSample(
  seen: Seen,
  sample: ServiceSample,
  from: number,
  at: number,
  service: WatchedService,
): void {
  addProbes(seen, sample.probes ?? [], { from, at }, service);
  addScrape(seen, sample.metrics, at);
  addUnit(seen, sample.unit, at);
}

function addProbes(
  seen: Seen,
  probes: readonly Probe[],
  time: { from: number; at: number },
  service: WatchedService,
): void {
  const { from, at } = time;
  for (const probe of probes) {
    if (probe.kind === "health") seen.health.push({ at, ok: probe.ok });
    if (probe.kind === "database") seen.database.push({ at, ok: probe.ok });
    if (probe.kind !== "request") seen.probesSinceScrape += 1;
  }
  const requests = probes.filter((probe) => probe.kind === "request");
  const errors = requests.filter((probe) => !probe.ok);
  seen.requestProbes += requests.length;
  seen.failedRequestProbes += errors.length;
  if (service.metrics || requests.length === 0) return;
  const latency: Latency = { kind: "exact", seconds: requests.map((probe) => probe.seconds) };
  seen.traffic.push({ from, to: at, requests: requests.length, own: 0, errors: errors.length, latency });
}

function addScrape(seen: Seen, metrics: ServiceSample["metrics"], at: number): void {
  if (metrics === undefined) return;
  if ("failed" in metrics) {
    seen.scrapeFailures.push({ at, error: metrics.failed });
    return;
  }
  const before = seen.scrape;
  const own = metrics.pathsTold ? 0 : seen.probesSinceScrape + 1;
  seen.scrape = { at, scrape: metrics };
  seen.probesSinceScrape = 0;
  if (!before) return;
  const span = { from: before.at, to: at };
  const increase = increaseBetween(before.scrape, metrics);
  if (increase.requests !== null) {
    const { requests, errors } = increase;
    const latency: Latency | null = increase.latency && { kind: "histogram", histogram: increase.latency };
    seen.traffic.push({ ...span, requests, errors, own: Math.min(own, requests), latency });
  }
  for (const [name, value] of Object.entries(increase.counters)) {
    seen.counters[name] ??= [];
    seen.counters[name].push({ ...span, value });
  }
  if (increase.cpuSeconds !== null && at > before.at) {
    seen.cpu.push({ ...span, value: increase.cpuSeconds / ((at - before.at) / 1000) });
  }
}

function addUnit(seen: Seen, unit: ServiceSample["unit"], at: number): void {
  if (unit === undefined) return;
  seen.firstRestarts ??= unit.restarts;
  const ended = unit.active === "failed" || unit.active === "gone";
  const value = Math.max(0, unit.restarts - seen.firstRestarts) + (ended ? 1 : 0);
  const before = seen.restarts.at(-1);
  // A process that began anew starts its memory anew: growth is not measured across its end.
  if (value > (before?.value ?? 0)) seen.memory = [];
  if (!ended) seen.memory.push({ at, value: unit.memoryBytes });
  seen.restarts.push({ from: before?.to ?? at, to: at, value });
}

/** As plain JSON. */
export function evidenceOf(seen: Seen, seconds: (at: number) => number): object {
  const times = <T extends { from: number; to: number }>(one: T) => ({
    ...one,
    from: seconds(one.from),
    to: seconds(one.to),
  });
  const failed = (checks: readonly { at: number; ok: boolean }[]) => ({
    made: checks.length,
    failedAt: checks.filter((check) => !check.ok).map((check) => seconds(check.at)),
  });
  return {
    traffic: seen.traffic.map((traffic) => ({
      ...times(traffic),
      latency: latencyEvidence(traffic.latency),
    })),
    counters: Object.fromEntries(Object.entries(seen.counters).map(([name, all]) => [name, all.map(times)])),
    cpu: seen.cpu.map(times),
    memory: seen.memory.map((point) => ({ at: seconds(point.at), bytes: point.value })),
    restarts: seen.restarts.at(-1)?.value ?? null,
    health: failed(seen.health),
    database: failed(seen.database),
    requestProbes: { made: seen.requestProbes, failed: seen.failedRequestProbes },
    scrapeFailures: seen.scrapeFailures.map((failure) => ({ at: seconds(failure.at), error: failure.error })),
  };
}

function latencyEvidence(latency: Latency | null): object | null {
  if (latency === null) return null;
  if (latency.kind === "exact") return latency.seconds;
  const { bounds, counts } = latency.histogram;
  return Object.fromEntries(bounds.map((bound, index) => [String(bound), counts[index]]));
}
