import { type BakeResult, bakeRelease, type Clock, type Sampler } from "../../components/gates/bake.ts";
import type { Scrape } from "../../components/gates/metrics.ts";
import { requestsPerSecond } from "../../components/gates/policy.ts";
import { minimumBakeSeconds, type Rule } from "../../components/gates/rules.ts";
import type { Probe, ServiceSample } from "../../components/gates/seen.ts";

/**
 * The product's own bake on a clock that only its pauses move, over a made-up release: so many requests of users, so
 * many of ours, and a share of them bad at each moment. Everything random comes from one seed.
 */

export interface SimulatedBake {
  /** Of errorRate, p95 or p99. */
  readonly rule: Rule;
  readonly seconds: number;
  readonly ownPerSecond: number;
  /** Requests of users a second, on average: they come when they like. */
  readonly usersPerSecond: number;
  /** Share of the requests that are bad, by the second of the bake. */
  readonly badAt: (second: number) => number;
}

export interface SimulatedVerdict extends Pick<BakeResult, "held" | "rule" | "measured"> {
  /** Seconds from the beginning of the bake. */
  readonly after: number;
}

const checkSeconds = 5;

/** As the runbooks have it in production. */
export function productionBake(table: readonly Rule[]): { seconds: number; ownPerSecond: number } {
  const seconds = minimumBakeSeconds(table, checkSeconds);
  return { seconds, ownPerSecond: requestsPerSecond(table, seconds) };
}

export async function simulate(bake: SimulatedBake, random: Random): Promise<SimulatedVerdict> {
  const release = new SimulatedRelease(bake, random);
  const { rule, seconds } = bake;
  const {
    held,
    measured,
    rule: deciding,
  } = await bakeRelease({
    rules: [rule],
    services: [{ name: "api", kind: "serving", health: "/health", metrics: true, asked: true }],
    database: false,
    seconds,
    scrapeSeconds: 1,
    checkSeconds,
    healthSeconds: 60,
    sampler: release,
    clock: release,
  });
  return { held, measured, rule: deciding, after: release.now() / 1000 };
}

class SimulatedRelease implements Sampler, Clock {
  private readonly bake: SimulatedBake;
  private readonly random: Random;
  private milliseconds = 0;
  private sampledAt = 0;
  private requests = 0;
  private bad = 0;

  constructor(bake: SimulatedBake, random: Random) {
    this.bake = bake;
    this.random = random;
  }

  now(): number {
    return this.milliseconds;
  }

  async pause(milliseconds: number): Promise<void> {
    this.milliseconds += milliseconds;
  }

  async sample(): Promise<Record<string, ServiceSample>> {
    const { ownPerSecond, usersPerSecond, badAt } = this.bake;
    const probes: Probe[] = [];
    // In slices of a tenth of a second: a burst need not begin with a round.
    for (; this.sampledAt < this.milliseconds; this.sampledAt += 100) {
      const share = badAt(this.sampledAt / 1000);
      const own = ownPerSecond / 10;
      const asked = Math.floor(own) + (this.random.next() < own % 1 ? 1 : 0);
      for (let one = 0; one < asked; one++) {
        const bad = this.random.next() < share;
        if (bad) this.bad += 1;
        probes.push(this.probe(bad));
      }
      const users = this.random.poisson(usersPerSecond / 10);
      for (let one = 0; one < users; one++) if (this.random.next() < share) this.bad += 1;
      this.requests += asked + users;
    }
    return { api: { probes, metrics: this.scrape() } };
  }

  close(): void {}

  private get errors(): boolean {
    return this.bake.rule.metric === "errorRate";
  }

  private probe(bad: boolean): Probe {
    const failed = bad && this.errors;
    const seconds = bad && !this.errors ? this.bake.rule.above * 2 : 0.01;
    return { kind: "request", ok: !failed, status: failed ? 500 : 200, seconds };
  }

  private scrape(): Scrape {
    const [requests, bad] = [this.requests, this.bad];
    const { errors } = this;
    const bounds = [this.bake.rule.above, this.bake.rule.above * 4, Number.POSITIVE_INFINITY];
    return {
      processStart: 1,
      requests,
      errors: errors ? bad : 0,
      latency: errors ? null : { bounds, counts: [requests - bad, requests, requests] },
      pathsTold: true,
      counters: {},
      gauges: {},
      cpuSeconds: null,
      residentBytes: null,
    };
  }
}

/** Xorshift, so that every run says the same. */
export class Random {
  private state: number;

  constructor(seed: number) {
    this.state = seed >>> 0 || 1;
  }

  /** From 0, below 1. */
  next(): number {
    let x = this.state;
    x ^= x << 13;
    x >>>= 0;
    x ^= x >>> 17;
    x ^= x << 5;
    this.state = x >>> 0;
    return this.state / 4_294_967_296;
  }

  poisson(mean: number): number {
    const limit = Math.exp(-mean);
    let count = 0;
    for (let product = this.next(); product > limit; product *= this.next()) count += 1;
    return count;
  }
}
