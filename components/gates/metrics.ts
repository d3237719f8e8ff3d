import parsePrometheusTextFormat from "parse-prometheus-text-format";

/**
 * Reads a service's own /metrics (Prometheus text) into what the rules ask for, and subtracts two scrapes.
 * Nothing here knows the time.
 */

/** Cumulative counts by upper bound in seconds, ascending; the last bound is Infinity. */
export interface Histogram {
  readonly bounds: readonly number[];
  readonly counts: readonly number[];
}

/** Totals of one process since it began; null where the service does not report the figure. */
export interface Scrape {
  /** process_start_time_seconds: a change means another process answers, whatever the totals say. */
  readonly processStart: number | null;
  /** Requests answered, own paths (health, metrics) left out where a label tells them apart. */
  readonly requests: number | null;
  /** Of these, answered 5xx. Null without a status label. */
  readonly errors: number | null;
  readonly latency: Histogram | null;
  /** Whether every request series names its path, so that probes and scrapes are not among `requests`. */
  readonly pathsTold: boolean;
  /**
   * Every counter asked for, summed over its labels. One that is declared (`# TYPE`) and has no series yet is 0; null:
   * this process does not show it, or shows a gauge of that name.
   */
  readonly counters: Readonly<Record<string, number | null>>;
  /** Every gauge asked for, the highest of its labels; null: this process does not show it. */
  readonly gauges: Readonly<Record<string, number | null>>;
  readonly cpuSeconds: number | null;
  readonly residentBytes: number | null;
}

export interface ScrapeOptions {
  /** Paths that only the watcher asks for, @example ["/health", "/metrics"] */
  readonly ownPaths: readonly string[];
  /** Application counters that rules name, @example ["ftso_submissions_failed_total"] */
  readonly counters: readonly string[];
  /** Application gauges that rules name, @example ["queue_length"]; default none. */
  readonly gauges?: readonly string[];
}

interface Series {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

const requestCounter = "http_requests_total";
const latencyHistogram = "http_request_duration_seconds";
const statusLabels = ["status", "status_code", "code", "statusCode"];
const pathLabels = ["route", "path", "handler", "endpoint", "uri", "url"];

/** @throws when the text is not Prometheus text (an HTML page, say), with the offending line. */
export function readScrape(text: string, options: ScrapeOptions): Scrape {
  const all = parseSeries(text);
  const isOwn = (series: Series) => {
    const path = firstLabel(series, pathLabels);
    return (
      path !== undefined && options.ownPaths.includes(path.replace(/[?#].*$/, "").replace(/(.)\/$/, "$1"))
    );
  };
  const named = (name: string) => all.filter((series) => series.name === name);
  const types = declaredTypes(text);
  const counterOf = (name: string): number | null => {
    const type = types.get(name);
    if (type !== undefined && type !== "counter" && type !== "untyped") return null;
    const series = named(name);
    return series.length === 0 && type === undefined ? null : sum(series);
  };
  const gaugeOf = (name: string): number | null => {
    const values = named(name).map(({ value }) => value);
    return values.length === 0 ? null : Math.max(...values);
  };
  const buckets = named(`${latencyHistogram}_bucket`).filter((series) => !isOwn(series));
  const byStatus = [named(requestCounter), named(`${latencyHistogram}_count`)];
  const requests = byStatus.find((found) => found.length > 0) ?? [];
  const withStatus = byStatus.find((found) => found.some((series) => firstLabel(series, statusLabels)));
  const errors = withStatus?.filter((series) => !isOwn(series) && isServerError(series));
  const started = named("process_start_time_seconds");
  const cpu = named("process_cpu_seconds_total");
  const resident = named("process_resident_memory_bytes");
  return {
    processStart: started[0]?.value ?? null,
    requests: requests.length === 0 ? null : sum(requests.filter((series) => !isOwn(series))),
    errors: errors ? sum(errors) : null,
    latency: buckets.length === 0 ? null : histogramOf(buckets),
    pathsTold: requests.every((series) => firstLabel(series, pathLabels) !== undefined),
    counters: Object.fromEntries(options.counters.map((name) => [name, counterOf(name)])),
    gauges: Object.fromEntries((options.gauges ?? []).map((name) => [name, gaugeOf(name)])),
    cpuSeconds: cpu.length === 0 ? null : sum(cpu),
    residentBytes: resident.length === 0 ? null : sum(resident),
  };
}

/** What happened between two scrapes of one service. */
export interface Increase {
  readonly requests: number | null;
  readonly errors: number | null;
  readonly latency: Histogram | null;
  /** Counters that the process shows. */
  readonly counters: Readonly<Record<string, number>>;
  readonly cpuSeconds: number | null;
  /** Another process answered the second time: what it counted since it began is all that is known. */
  readonly reset: boolean;
}

export function increaseBetween(before: Scrape, after: Scrape): Increase {
  const reset = wasReset(before, after);
  const since = (was: number | null, is: number | null) =>
    is === null ? null : is - (reset || is < (was ?? 0) ? 0 : (was ?? 0));
  return {
    requests: since(before.requests, after.requests),
    errors: since(before.errors, after.errors),
    latency:
      after.latency && before.latency && !reset ? subtract(after.latency, before.latency) : after.latency,
    counters: Object.fromEntries(
      Object.entries(after.counters).flatMap(([name, is]) => {
        const increase = since(before.counters[name] ?? 0, is);
        return increase === null ? [] : [[name, increase]];
      }),
    ),
    cpuSeconds: since(before.cpuSeconds, after.cpuSeconds),
    reset,
  };
}

/** Adds two histograms of the same service; bounds that only one of them has count in both. */
export function addHistograms(one: Histogram, other: Histogram): Histogram {
  const bounds = [...new Set([...one.bounds, ...other.bounds])].sort((a, b) => a - b);
  return { bounds, counts: bounds.map((bound) => countWithin(one, bound) + countWithin(other, bound)) };
}

/** Observations no slower than `seconds`, as far as the bounds can tell (the largest bound not above it). */
export function countWithin(histogram: Histogram, seconds: number): number {
  const index = histogram.bounds.findLastIndex((bound) => bound <= seconds);
  return index < 0 ? 0 : histogram.counts[index]!;
}

/**
 * How many of the observations took longer than `seconds`, linear within the bucket it falls into, as `quantile` is.
 * `unknown`: so many more are in the last, open bucket, whose lower bound is not above `seconds`.
 */
export function slowerThan(
  { bounds, counts }: Histogram,
  seconds: number,
): { readonly slower: number; readonly unknown: number } {
  const total = counts.at(-1) ?? 0;
  const index = bounds.findIndex((bound) => bound >= seconds);
  const upper = bounds[index] ?? Number.POSITIVE_INFINITY;
  const within = counts[index] ?? total;
  if (upper === seconds) return { slower: total - within, unknown: 0 };
  const lower = index > 0 ? bounds[index - 1]! : 0;
  const below = index > 0 ? counts[index - 1]! : 0;
  if (upper === Number.POSITIVE_INFINITY) return { slower: 0, unknown: total - below };
  const share = (upper - seconds) / (upper - lower);
  return { slower: total - within + (within - below) * share, unknown: 0 };
}

/**
 * The quantile in seconds, linear within its bucket as Prometheus' own histogram_quantile has it. In the last,
 * open bucket only its lower bound is known: `atLeast` says that the true value may be anything above.
 */
export function quantile(histogram: Histogram, q: number): { value: number; atLeast: boolean } | null {
  const total = histogram.counts.at(-1) ?? 0;
  if (total <= 0) return null;
  const rank = q * total;
  const index = histogram.counts.findIndex((count) => count >= rank);
  const upper = histogram.bounds[index]!;
  const lower = index === 0 ? 0 : histogram.bounds[index - 1]!;
  if (upper === Number.POSITIVE_INFINITY) return { value: lower, atLeast: true };
  const below = index === 0 ? 0 : histogram.counts[index - 1]!;
  const within = histogram.counts[index]! - below;
  return { value: lower + (upper - lower) * ((rank - below) / within), atLeast: false };
}

/**
 * The package is fed bare samples, one family a name: given TYPE lines it folds a histogram's label sets into one
 * another (the last one wins), it throws on a HELP without text, loses the last line when the text does not end in a
 * newline, and refuses a space after a comma between labels.
 */
function parseSeries(text: string): Series[] {
  const lines = text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => line.replace(/("(?:[^"\\]|\\.)*")\s*,\s+/g, "$1,").replace(/^([^\s{]+\{)\s+/, "$1"));
  const series: Series[] = [];
  for (const family of parsePrometheusTextFormat(`${lines.join("\n")}\n`)) {
    for (const sample of family.metrics) {
      const value = numberOf(sample.value);
      if (!/^[a-zA-Z_:][a-zA-Z0-9_:]*$/.test(family.name) || value === null) {
        const found = `${family.name} ${sample.value ?? ""}`.slice(0, 80);
        throw new Error(`not Prometheus text: found "${found}", expected "name{label="value"} number"`);
      }
      if (!Number.isNaN(value)) series.push({ name: family.name, labels: sample.labels ?? {}, value });
    }
  }
  return series;
}

/** What `# TYPE` lines say, by name. prom-client declares a counter with labels before it has its first series. */
function declaredTypes(text: string): Map<string, string> {
  const declared = text.matchAll(/^#[ \t]+TYPE[ \t]+(\S+)[ \t]+(\S+)/gm);
  return new Map([...declared].map(([, name = "", type = ""]) => [name, type.trim()]));
}

function numberOf(text: string | undefined): number | null {
  if (text === undefined || text === "") return null;
  // prom-client writes "Nan".
  if (/^[+-]?nan$/i.test(text)) return Number.NaN;
  const infinite = /^([+-]?)Inf(inity)?$/i.exec(text);
  if (infinite) return infinite[1] === "-" ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  const value = Number(text);
  return Number.isNaN(value) ? null : value;
}

function histogramOf(buckets: readonly Series[]): Histogram {
  const byBound = new Map<number, number>();
  for (const bucket of buckets) {
    const bound = numberOf(bucket.labels.le);
    if (bound === null) continue;
    byBound.set(bound, (byBound.get(bound) ?? 0) + bucket.value);
  }
  const bounds = [...byBound.keys()].sort((a, b) => a - b);
  return { bounds, counts: bounds.map((bound) => byBound.get(bound)!) };
}

function subtract(after: Histogram, before: Histogram): Histogram {
  const was = new Map(before.bounds.map((bound, index) => [bound, before.counts[index]!]));
  return {
    bounds: after.bounds,
    counts: after.counts.map((count, index) => count - (was.get(after.bounds[index]!) ?? 0)),
  };
}

/**
 * Totals of the process itself that fall say that another one answers. One of the application's own that falls says so
 * of nothing but itself.
 */
function wasReset(before: Scrape, after: Scrape): boolean {
  if (before.processStart !== null && after.processStart !== null) {
    if (before.processStart !== after.processStart) return true;
  }
  const fell = (was: number | null, is: number | null) => was !== null && is !== null && is < was;
  return (
    fell(before.requests, after.requests) ||
    fell(before.errors, after.errors) ||
    fell(before.cpuSeconds, after.cpuSeconds) ||
    fell(before.latency?.counts.at(-1) ?? null, after.latency?.counts.at(-1) ?? null)
  );
}

function isServerError(series: Series): boolean {
  return /^5(\d\d|xx)?$/i.test(firstLabel(series, statusLabels) ?? "");
}

function firstLabel(series: Series, names: readonly string[]): string | undefined {
  const name = names.find((candidate) => series.labels[candidate] !== undefined);
  return name === undefined ? undefined : series.labels[name];
}

function sum(series: readonly Series[]): number {
  return series.reduce((total, one) => total + one.value, 0);
}
