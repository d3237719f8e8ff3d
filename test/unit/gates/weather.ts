import { readScrape } from "../../../components/gates/metrics.ts";
import type { Rule } from "../../../components/gates/rules.ts";
import type { Probe, ServiceSample } from "../../../components/gates/seen.ts";

/** Made-up releases of one service for the tests of the bake: what a scrape finds, as good or bad as a test wants. */

export const scrapeSeconds = 5;
export const counter = "ftso_submissions_failed_total";
export const submitted = "ftso_submissions_total";

/** How one scrape's worth of time goes for a service; what is not said is fine. */
export interface Weather {
  readonly requests?: number;
  readonly errors?: number;
  /** Requests that fell into the bucket that ends here: 0.1, 0.5, 1, 2.5, 5, 10 or Infinity. */
  readonly slow?: { readonly bucket: number; readonly requests: number };
  readonly failedSubmissions?: number;
  /** Submissions that succeeded. */
  readonly submissions?: number;
  readonly queue?: number;
  readonly grows?: number;
  readonly restarts?: number;
  readonly health?: boolean;
  readonly database?: boolean;
  readonly scrape?: false;
}

/** Totals of one service as scrapes see them. */
export class Totals {
  readonly #totals = { requests: 0, errors: 0, failed: 0, submissions: 0, cpu: 0, memory: 50e6, restarts: 0 };
  readonly #slow = new Map([0.1, 0.5, 1, 2.5, 5, 10, Number.POSITIVE_INFINITY].map((bound) => [bound, 0]));

  /** What a sample finds after one scrape's worth of such weather. */
  sample(weather: Weather): ServiceSample {
    const totals = this.#totals;
    const requests = weather.requests ?? 1000;
    totals.requests += requests;
    totals.errors += weather.errors ?? 0;
    totals.failed += weather.failedSubmissions ?? 0;
    totals.submissions += weather.submissions ?? 1;
    totals.cpu += 1;
    totals.memory += weather.grows ?? 0;
    totals.restarts += weather.restarts ?? 0;
    const slow = weather.slow ?? { bucket: 0.1, requests: 0 };
    this.#slow.set(slow.bucket, this.#slow.get(slow.bucket)! + slow.requests);
    this.#slow.set(0.1, this.#slow.get(0.1)! + requests - slow.requests);
    return {
      metrics:
        weather.scrape === false ? { failed: "connect ECONNREFUSED" } : this.#scrape(weather.queue ?? 0),
      probes: [probe("health", weather.health ?? true), probe("database", weather.database ?? true)],
      unit: { active: "running", restarts: totals.restarts, memoryBytes: totals.memory },
    };
  }

  #scrape(queue: number) {
    const totals = this.#totals;
    let within = 0;
    const buckets = [...this.#slow].map(([bound, count]) => {
      within += count;
      const le = bound === Number.POSITIVE_INFINITY ? "+Inf" : String(bound);
      return `http_request_duration_seconds_bucket{route="/",le="${le}"} ${within}`;
    });
    const text = `http_requests_total{route="/",status="200"} ${totals.requests - totals.errors}
http_requests_total{route="/",status="500"} ${totals.errors}
${counter} ${totals.failed}
${submitted} ${totals.submissions}
queue_length ${queue}
process_cpu_seconds_total ${totals.cpu}
${buckets.join("\n")}`;
    return readScrape(text, {
      ownPaths: ["/health"],
      counters: [counter, submitted],
      gauges: ["queue_length"],
    });
  }
}

export function probe(kind: Probe["kind"], ok: boolean, seconds = 0.01): Probe {
  return { kind, ok, status: ok ? 200 : 503, seconds };
}

/** Weather that is just above what a rule allows, and just at it; shares of requests have tests of their own. */
export function weatherFor(rule: Rule): { above: Weather; at: Weather } {
  switch (rule.metric) {
    case "healthFailures":
      return { above: { health: false }, at: {} };
    case "databaseFailures":
      return { above: { database: false }, at: {} };
    case "restarts":
      return { above: { restarts: 1 }, at: {} };
    case "memoryGrowth": {
      const perScrape = (rule.above / 60) * scrapeSeconds;
      return { above: { grows: perScrape + 1 }, at: { grows: perScrape } };
    }
    case `counter:${counter}`:
      return { above: { failedSubmissions: 1 }, at: {} };
    default:
      throw new Error(`no weather for ${rule.metric}`);
  }
}

/** Seconds of bad weather that break a rule: its window, or as many checks as have to fail in a row. */
export function secondsToBreak(rule: Rule): number {
  if (rule.metric === "memoryGrowth") return rule.forSeconds;
  if (rule.metric !== "healthFailures" && rule.metric !== "databaseFailures") {
    return Math.max(rule.forSeconds, scrapeSeconds);
  }
  // A failing run begins at its first failure, so its window takes one check more.
  return rule.forSeconds > 0 ? rule.forSeconds + scrapeSeconds : (rule.above + 1) * scrapeSeconds;
}
