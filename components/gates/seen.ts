import { addHistograms, type Histogram, type Increase, increaseBetween, type Scrape } from "./metrics.ts";
import type { Latency, Point, Span, Traffic } from "./readings.ts";
import type { Reading } from "./rules.ts";
import type { Source } from "./traffic-watch.ts";

/** One sample of a service, and what a watch keeps of it. Pure; times are monotonic milliseconds. */

export interface WatchedService {
  readonly name: string;
  readonly kind: "serving" | "singleton";
  /** Whether it has a metrics path. Without one, our own requests through the door are all the traffic there is. */
  readonly metrics: boolean;
  /** Requests of our own reach it through its front door. @default false */
  readonly asked?: boolean;
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
  /** Of `seconds`, how many may be the asking process' own. @default 0 */
  readonly ownSeconds?: number;
  /** Why it is not ok, for messages. */
  readonly detail?: string;
}

type ScrapeResult = Scrape | { readonly failed: string };

/** Scrapes of a service's replicas, by any name that stays with a process (its address, say). */
export interface InstanceScrapes {
  readonly instances: Readonly<Record<string, ScrapeResult>>;
}

export interface ServiceSample {
  /** Absent when not scraped this time. Replicas are added up; of cpu the busiest counts. */
  readonly metrics?: ScrapeResult | InstanceScrapes;
  readonly probes?: readonly Probe[];
  /** What the front door counted of this service since it began, where the target has one that counts. */
  readonly door?: DoorTotals;
  readonly unit?: {
    readonly active: "running" | "starting" | "stopping" | "gone" | "failed";
    readonly restarts: number;
    /** Null: unknown to the target; then the processes' own process_resident_memory_bytes count. */
    readonly memoryBytes: number | null;
  };
}

/** Requests that users made at a front door, and those that they got no good answer to: 5xx, or a broken one. */
export interface DoorTotals {
  readonly requests: number;
  readonly errors: number;
}

export interface Sample {
  /** Milliseconds of a monotonic clock. */
  readonly at: number;
  /** By service name. The first sample is the baseline: take it before the first request moves. */
  readonly services: Readonly<Record<string, ServiceSample>>;
}

/** What is kept of one service. */
export interface Seen {
  scrapes: Map<string, { at: number; scrape: Scrape }>;
  scrapeFailures: { at: number; error: string }[];
  probesSinceScrape: number;
  door: { at: number; totals: DoorTotals } | null;
  /** Requests over time as each source counted them, for the evidence. */
  traffic: Record<Source, TrafficPoint[]>;
  counters: Record<string, Reading[]>;
  gauges: Record<string, Reading[]>;
  cpu: Reading[];
  memory: Point[];
  /** Names of the replicas that `memory` is of. */
  processes: string;
  restarts: Reading[];
  firstRestarts: number | null;
  health: { at: number; ok: boolean }[];
  database: { at: number; ok: boolean }[];
  requestProbes: number;
  failedRequestProbes: number;
}

type TrafficPoint = Pick<Traffic, "from" | "to" | "requests" | "errors">;

/** Requests that one sample adds, by who counted them. */
export type NewTraffic = Partial<Record<Source, Traffic>>;

export function nothingSeen(): Seen {
  return {
    scrapes: new Map(),
    scrapeFailures: [],
    probesSinceScrape: 0,
    door: null,
    traffic: { service: [], door: [], own: [] },
    counters: {},
    gauges: {},
    cpu: [],
    memory: [],
    processes: "",
    restarts: [],
    firstRestarts: null,
    health: [],
    database: [],
    requestProbes: 0,
    failedRequestProbes: 0,
  };
}

/** @param from time of the sample before this one */
export function addSample(seen: Seen, sample: ServiceSample, from: number, at: number): NewTraffic {
  const own = addProbes(seen, sample.probes ?? [], from, at);
  const service = addScrape(seen, sample.metrics, at);
  const door = addDoor(seen, sample.door, at);
  addUnit(seen, sample.unit, at);
  addMemory(seen, sample, at);
  const added: NewTraffic = { ...(own && { own }), ...(service && { service }), ...(door && { door }) };
  for (const [source, traffic] of Object.entries(added) as [Source, Traffic][]) {
    const { from, to, requests, errors } = traffic;
    seen.traffic[source] = thinned([...seen.traffic[source], { from, to, requests, errors }]);
  }
  return added;
}

/** Evidence stays of a size: of a long bake two neighbouring points become one. */
function thinned(points: readonly TrafficPoint[]): TrafficPoint[] {
  if (points.length < 600) return [...points];
  return points.flatMap((point, index) => {
    if (index % 2 === 1) return [];
    const next = points[index + 1];
    if (!next) return [point];
    const errors = point.errors === null || next.errors === null ? null : point.errors + next.errors;
    return [{ from: point.from, to: next.to, requests: point.requests + next.requests, errors }];
  });
}

function addProbes(seen: Seen, probes: readonly Probe[], from: number, at: number): Traffic | null {
  for (const probe of probes) {
    if (probe.kind === "health") seen.health.push({ at, ok: probe.ok });
    if (probe.kind === "database") seen.database.push({ at, ok: probe.ok });
    if (probe.kind !== "request") seen.probesSinceScrape += 1;
  }
  const requests = probes.filter((probe) => probe.kind === "request");
  const errors = requests.filter((probe) => !probe.ok);
  seen.requestProbes += requests.length;
  seen.failedRequestProbes += errors.length;
  if (requests.length === 0) return null;
  const latency: Latency = { kind: "exact", seconds: requests.map(spanOf) };
  return { from, to: at, requests: requests.length, own: 0, errors: errors.length, latency };
}

function spanOf({ seconds, ownSeconds = 0 }: Probe): Span {
  return { atLeast: seconds - ownSeconds, atMost: seconds };
}

/** Totals that fall are those of a front door that was started again. */
function addDoor(seen: Seen, totals: DoorTotals | undefined, at: number): Traffic | null {
  if (totals === undefined) return null;
  const before = seen.door;
  seen.door = { at, totals };
  if (!before) return null;
  const again = totals.requests < before.totals.requests || totals.errors < before.totals.errors;
  const was = again ? { requests: 0, errors: 0 } : before.totals;
  const errors = totals.errors - was.errors;
  return { from: before.at, to: at, requests: totals.requests - was.requests, own: 0, errors, latency: null };
}

function addScrape(seen: Seen, metrics: ServiceSample["metrics"], at: number): Traffic | null {
  if (metrics === undefined) return null;
  const instances = "instances" in metrics ? metrics.instances : { "": metrics };
  const seenAnew = Object.entries(instances).flatMap(([name, scrape]) => addInstance(seen, name, scrape, at));
  for (const name of [...seen.scrapes.keys()]) if (!(name in instances)) seen.scrapes.delete(name);
  if (Object.values(instances).some((scrape) => !("failed" in scrape))) seen.probesSinceScrape = 0;
  addGauges(seen, Object.values(instances), at);
  if (seenAnew.length === 0) return null;
  const span = { from: Math.min(...seenAnew.map(({ from }) => from)), to: at };
  const increases = seenAnew.map(({ increase }) => increase);
  for (const name of new Set(increases.flatMap(({ counters }) => Object.keys(counters)))) {
    seen.counters[name] ??= [];
    const value = total(increases.map(({ counters }) => counters[name] ?? 0)) ?? 0;
    seen.counters[name].push({ ...span, value });
  }
  const busy = seenAnew.flatMap(({ from, increase }) =>
    increase.cpuSeconds === null || at <= from ? [] : [increase.cpuSeconds / ((at - from) / 1000)],
  );
  if (busy.length > 0) seen.cpu.push({ ...span, value: Math.max(...busy) });
  const requests = total(increases.map((one) => one.requests));
  if (requests === null) return null;
  const own = Math.min(total(seenAnew.map((one) => one.own)) ?? 0, requests);
  const errors = total(increases.map((one) => one.errors));
  return { ...span, requests, errors, own, latency: latencyOf(increases) };
}

/** Of replicas the one with the highest gauge counts. */
function addGauges(seen: Seen, scrapes: readonly ScrapeResult[], at: number): void {
  const shown = scrapes.flatMap((scrape) => ("failed" in scrape ? [] : Object.entries(scrape.gauges)));
  for (const name of new Set(shown.map(([name]) => name))) {
    const values = shown.flatMap(([one, value]) => (one === name && value !== null ? [value] : []));
    if (values.length === 0) continue;
    seen.gauges[name] ??= [];
    const from = seen.gauges[name].at(-1)?.to ?? at;
    seen.gauges[name].push({ from, to: at, value: Math.max(...values) });
  }
}

/** What one replica did since its last scrape; nothing of one that is scraped for the first time. */
function addInstance(seen: Seen, name: string, scrape: ScrapeResult, at: number) {
  if ("failed" in scrape) {
    seen.scrapeFailures.push({ at, error: name === "" ? scrape.failed : `${name}: ${scrape.failed}` });
    return [];
  }
  const before = seen.scrapes.get(name);
  seen.scrapes.set(name, { at, scrape });
  if (!before) return [];
  const own = scrape.pathsTold ? 0 : seen.probesSinceScrape + 1;
  return [{ from: before.at, own, increase: increaseBetween(before.scrape, scrape) }];
}

/** Null where one of them is not known. */
function total(values: readonly (number | null)[]): number | null {
  return values.reduce<number | null>(
    (sum, value) => (sum === null || value === null ? null : sum + value),
    0,
  );
}

function latencyOf(increases: readonly Increase[]): Latency | null {
  const histograms = increases.map(({ latency }) => latency);
  if (histograms.some((one) => one === null)) return null;
  return { kind: "histogram", histogram: (histograms as Histogram[]).reduce(addHistograms) };
}

function addUnit(seen: Seen, unit: ServiceSample["unit"], at: number): void {
  if (unit === undefined) return;
  seen.firstRestarts ??= unit.restarts;
  const ended = unit.active === "failed" || unit.active === "gone";
  const value = Math.max(0, unit.restarts - seen.firstRestarts) + (ended ? 1 : 0);
  const before = seen.restarts.at(-1);
  // A process that began anew starts its memory anew: growth is not measured across its end.
  if (value > (before?.value ?? 0)) seen.memory = [];
  seen.restarts.push({ from: before?.to ?? at, to: at, value });
}

/** Memory of all processes of the service; measured anew where other processes are counted than before. */
function addMemory(seen: Seen, { unit, metrics }: ServiceSample, at: number): void {
  const ended = unit?.active === "failed" || unit?.active === "gone";
  if (ended) return;
  const processes = metrics && "instances" in metrics ? Object.keys(metrics.instances).sort().join(" ") : "";
  if (processes !== seen.processes) seen.memory = [];
  seen.processes = processes;
  const bytes = unit?.memoryBytes ?? residentBytes(metrics);
  if (bytes !== null) seen.memory.push({ at, value: bytes });
}

function residentBytes(metrics: ServiceSample["metrics"]): number | null {
  if (metrics === undefined) return null;
  const scrapes = Object.values("instances" in metrics ? metrics.instances : { "": metrics });
  if (scrapes.length === 0) return null;
  return total(scrapes.map((scrape) => ("failed" in scrape ? null : scrape.residentBytes)));
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
    traffic: seen.traffic.service.map(times),
    trafficAtTheDoor: seen.traffic.door.map(times),
    ownRequests: seen.traffic.own.map(times),
    gauges: Object.fromEntries(Object.entries(seen.gauges).map(([name, all]) => [name, all.map(times)])),
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
