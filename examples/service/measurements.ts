import type { IncomingMessage, ServerResponse } from "node:http";
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";

/** What /metrics says. */
export class Measurements {
  readonly submitted: Counter;
  readonly failedSubmissions: Counter;
  readonly #registry = new Registry();
  readonly #requests: Counter<"route" | "status">;
  readonly #duration: Histogram<"route">;
  readonly #active: Gauge;
  #inFlight = 0;

  constructor() {
    const registers = [this.#registry];
    collectDefaultMetrics({ register: this.#registry });
    this.#requests = new Counter({
      name: "http_requests_total",
      help: "Requests answered.",
      labelNames: ["route", "status"],
      registers,
    });
    this.#duration = new Histogram({
      name: "http_request_duration_seconds",
      help: "Time from a request's head to its answer's end.",
      labelNames: ["route"],
      buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
      registers,
    });
    this.#active = new Gauge({ name: "active_connections", help: "Requests in flight.", registers });
    this.submitted = new Counter({ name: "ftso_submissions_total", help: "Prices submitted.", registers });
    this.failedSubmissions = new Counter({
      name: "ftso_submissions_failed_total",
      help: "Prices that were not accepted.",
      registers,
    });
  }

  /** Counts and times a request until its answer is out or its client has gone. */
  watch(request: IncomingMessage, response: ServerResponse): void {
    const route = routeOf(request.url ?? "/");
    const end = this.#duration.startTimer({ route });
    this.#active.set(++this.#inFlight);
    response.once("close", () => {
      end();
      this.#active.set(--this.#inFlight);
      this.#requests.inc({ route, status: String(response.statusCode) });
    });
  }

  /** Requests in flight, the one that asks among them. */
  get activeConnections(): number {
    return this.#inFlight;
  }

  async text(): Promise<{ type: string; text: string }> {
    return { type: this.#registry.contentType, text: await this.#registry.metrics() };
  }
}

/** Few values, whatever is asked for. */
function routeOf(url: string): string {
  const path = url.replace(/[?#].*$/, "");
  if (["/", "/health", "/health/detailed", "/health/db", "/metrics"].includes(path)) return path;
  return path.startsWith("/api") ? "/api" : "other";
}
