/**
 * What a constant-rate generator's results say. Pure. Latency is counted from the moment a request was DUE by the
 * schedule, not from when it was sent: neither a server that stalls nor a generator that falls behind can hide waiting.
 */

/** One request as the generator reports it; times in nanoseconds. */
export interface Shot {
  /** Number in the schedule, from 0. */
  readonly number: number;
  readonly sentAt: number;
  readonly latency: number;
  /** HTTP status, 0 without an answer. */
  readonly status: number;
  /** Why it is an error; "" when it is none. */
  readonly error: string;
  readonly url: string;
}

export interface LoadSummary {
  /** Requests that the schedule asked for. */
  readonly due: number;
  readonly sent: number;
  readonly errors: number;
  /** Requests a second that were really sent, over the time they were sent in. */
  readonly rate: number;
  /** Seconds, of all requests that were sent, errors included. */
  readonly latency: Percentiles | null;
  /** How late the generator itself was. */
  readonly lateness: Percentiles | null;
  readonly statuses: Readonly<Record<string, number>>;
  /** The most frequent reasons, at most ten. */
  readonly reasons: Readonly<Record<string, number>>;
  readonly byUrl: Readonly<
    Record<string, { readonly sent: number; readonly errors: number; readonly p95: number }>
  >;
}

export interface Percentiles {
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  readonly max: number;
}

const nanosecond = 1e-9;

/** Takes the results in any order, and keeps of each what the summary needs. */
export class LoadResults {
  private readonly rate: number;
  private readonly due: number;
  private readonly sentAt: number[] = [];
  private readonly numbers: number[] = [];
  private readonly latencies: number[] = [];
  private readonly urls = new Map<string, { errors: number; indices: number[] }>();
  private readonly statuses = new Map<string, number>();
  private readonly reasons = new Map<string, number>();
  private origin = Number.POSITIVE_INFINITY;
  private firstSent = Number.POSITIVE_INFINITY;
  private errors = 0;

  constructor({ rate, seconds }: { readonly rate: number; readonly seconds: number }) {
    this.rate = rate;
    this.due = Math.round(rate * seconds);
  }

  add({ number, sentAt, latency, status, error, url }: Shot): void {
    // Nanoseconds since 1970 need more digits than a number holds: they are counted from the first one seen.
    if (this.firstSent === Number.POSITIVE_INFINITY) this.firstSent = sentAt;
    const sent = sentAt - this.firstSent;
    // The earliest moment that fits the schedule is its beginning: nobody sends too early.
    this.origin = Math.min(this.origin, sent - this.offset(number));
    const index = this.sentAt.push(sent) - 1;
    this.numbers.push(number);
    this.latencies.push(latency);
    const bad = error !== "";
    if (bad) this.errors += 1;
    count(this.statuses, status === 0 ? "no answer" : String(status));
    if (bad) count(this.reasons, error.slice(0, 120));
    const target = this.urls.get(url) ?? { errors: 0, indices: [] };
    this.urls.set(url, target);
    target.indices.push(index);
    if (bad) target.errors += 1;
  }

  summary(): LoadSummary {
    const lateness = this.sentAt.map(
      (sent, index) => (sent - this.offset(this.numbers[index]!) - this.origin) * nanosecond,
    );
    const waits = lateness.map((late, index) => late + this.latencies[index]! * nanosecond);
    const last = this.sentAt.reduce((latest, sent) => Math.max(latest, sent), Number.NEGATIVE_INFINITY);
    const sent = this.sentAt.length;
    // The last request's own slot counts: n requests take n intervals.
    const spanned = sent === 0 ? 0 : (last - this.origin) * nanosecond + 1 / this.rate;
    const byUrl = [...this.urls].map(([url, { errors, indices }]) => {
      const own = percentiles(indices.map((index) => waits[index]!));
      return [url, { sent: indices.length, errors, p95: own?.p95 ?? 0 }] as const;
    });
    return {
      due: this.due,
      sent,
      errors: this.errors,
      rate: spanned === 0 ? 0 : sent / spanned,
      latency: percentiles(waits),
      lateness: percentiles(lateness),
      statuses: Object.fromEntries([...this.statuses].sort()),
      reasons: Object.fromEntries([...this.reasons].sort((a, b) => b[1] - a[1]).slice(0, 10)),
      byUrl: Object.fromEntries(byUrl.sort()),
    };
  }

  private offset(number: number): number {
    return (number / this.rate) * 1e9;
  }
}

/** Nearest rank. */
export function percentiles(values: readonly number[]): Percentiles | null {
  if (values.length === 0) return null;
  const sorted = Float64Array.from(values).sort();
  const at = (share: number) => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]!;
  return { p50: at(0.5), p95: at(0.95), p99: at(0.99), max: at(1) };
}

function count(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
