/** How a client treats its connection: a new one for each request, or one kept as long as the server allows. */
export type ConnectionKind = "new" | "keepAlive";

/** One request. Times are milliseconds since the epoch, by the clock the box shares. */
export interface RequestRecord {
  readonly connection: ConnectionKind;
  readonly url: string;
  /** When the request was made, before a connection was opened for it. */
  readonly start: number;
  /** When the last byte of the answer, or the failure, was there. */
  readonly end: number;
  /** Absent when there was no answer. */
  readonly status?: number;
  /** The answer's header `x-release`; "none" when the answer had none, absent when there was no answer. */
  readonly release?: string;
  /** Absent when all was well: `ECONNREFUSED`, `ECONNRESET`, …, `timeout`, `cut short`, or `status 503`. */
  readonly failure?: string;
  /** The failed request went over a connection that had carried others before. */
  readonly reused?: boolean;
}

/** What one release answered to one kind of client. */
export interface ReleaseTally {
  answered: number;
  /** Of these, with a status that is a failure. */
  failed: number;
  /** The earliest and latest start and end of the requests it answered. */
  firstStart: number;
  lastStart: number;
  firstEnd: number;
  lastEnd: number;
}

export interface LoadSummary {
  /** When the load began, and when this summary was made. */
  readonly from: number;
  readonly to: number;
  readonly total: number;
  readonly failed: number;
  readonly byConnection: Record<ConnectionKind, { total: number; failed: number }>;
  /** Failed requests by their `failure`. */
  readonly failures: Record<string, number>;
  /** The first 20 failed requests. */
  readonly firstFailures: readonly RequestRecord[];
  /** By release; a kind that it never answered is absent. */
  readonly releases: Record<string, Partial<Record<ConnectionKind, ReleaseTally>>>;
  readonly slowestMs: number;
}

const firstFailuresKept = 20;
const recentKept = 2000;

/** Counts requests in bounded memory: aggregates, the first failures, and the last 2,000 requests. */
export class Tally {
  readonly #from = Date.now();
  readonly #byConnection = { new: { total: 0, failed: 0 }, keepAlive: { total: 0, failed: 0 } };
  readonly #failures: Record<string, number> = {};
  readonly #firstFailures: RequestRecord[] = [];
  readonly #releases: LoadSummary["releases"] = {};
  readonly #recent: RequestRecord[] = [];
  #next = 0;
  #slowestMs = 0;

  add(record: RequestRecord): void {
    const counts = this.#byConnection[record.connection];
    counts.total += 1;
    this.#slowestMs = Math.max(this.#slowestMs, record.end - record.start);
    this.#recent[this.#next] = record;
    this.#next = (this.#next + 1) % recentKept;
    if (record.failure !== undefined) {
      counts.failed += 1;
      this.#failures[record.failure] = (this.#failures[record.failure] ?? 0) + 1;
      if (this.#firstFailures.length < firstFailuresKept) this.#firstFailures.push(record);
    }
    if (record.release !== undefined) this.#addToRelease(record.release, record);
  }

  summary(): LoadSummary {
    const { new: fresh, keepAlive } = this.#byConnection;
    return {
      from: this.#from,
      to: Date.now(),
      total: fresh.total + keepAlive.total,
      failed: fresh.failed + keepAlive.failed,
      byConnection: this.#byConnection,
      failures: this.#failures,
      firstFailures: this.#firstFailures,
      releases: this.#releases,
      slowestMs: this.#slowestMs,
    };
  }

  /** The last requests in the order they ended. */
  recent(): RequestRecord[] {
    return [...this.#recent.slice(this.#next), ...this.#recent.slice(0, this.#next)];
  }

  #addToRelease(release: string, { connection, start, end, failure }: RequestRecord): void {
    this.#releases[release] ??= {};
    const kinds = this.#releases[release];
    kinds[connection] ??= {
      answered: 0,
      failed: 0,
      firstStart: start,
      lastStart: start,
      firstEnd: end,
      lastEnd: end,
    };
    const tally = kinds[connection];
    tally.answered += 1;
    if (failure !== undefined) tally.failed += 1;
    tally.firstStart = Math.min(tally.firstStart, start);
    tally.lastStart = Math.max(tally.lastStart, start);
    tally.firstEnd = Math.min(tally.firstEnd, end);
    tally.lastEnd = Math.max(tally.lastEnd, end);
  }
}
