import { performance } from "node:perf_hooks";
import { setTimeout as wait } from "node:timers/promises";
import type { EmergencyStop } from "./emergency-stop.ts";
import { Observation, type Verdict } from "./observation.ts";
import { fitTable, patienceSeconds, type RuleTable } from "./rules.ts";
import type { Probe, ServiceSample, WatchedService } from "./seen.ts";

/**
 * The bake, once for every target: watches a release that takes traffic and judges it by its system's rule table. A
 * broken rule ends it at once, so does an emergency stop. One that has seen too little to judge when its time is over
 * goes on, bounded, and no verdict by then is a bad one.
 */

export interface BakeArgs {
  /** The system's whole table (tables.ts); it is fitted to a bake that is shorter than its windows. */
  readonly rules: RuleTable;
  readonly services: readonly BakedService[];
  /** Whether the release depends on a database: then the samples have to carry "database" probes. */
  readonly database: boolean;
  readonly seconds: number;
  readonly scrapeSeconds: number;
  /** Seconds between two checks of health and database. @default scrapeSeconds */
  readonly checkSeconds?: number;
  /** The release has served a whole bake before. @default false */
  readonly proved?: boolean;
  /** How long a singleton, which the cutover has only just started, may take until it answers for the first time. */
  readonly healthSeconds: number;
  readonly sampler: Sampler;
  /** The manual handle (TRD-6), asked for several times a second; null: nobody has pulled it. */
  readonly emergencyStop?: () => Promise<EmergencyStop | null>;
  /** Asks the front doors whom they serve, each round: a finding ends the bake. Bounded by itself. */
  readonly doors?: () => Promise<Pick<BakeResult, "rule" | "measured" | "allowed"> | null>;
  /** @default this process' own monotonic clock */
  readonly clock?: Clock;
}

export interface BakedService extends WatchedService {
  /** Path of its health check, for messages. */
  readonly health: string;
}

/** What a target knows how to do: look at every service of a release once. */
export interface Sampler {
  /** One sample of each service, by name, with the probes made since the last one. Never throws for a sick release. */
  sample(): Promise<Readonly<Record<string, ServiceSample>>>;
  /** Ends the requests of its own; called once, whatever the verdict. */
  close(): void;
}

export interface Clock {
  /** Milliseconds; never runs backwards. */
  now(): number;
  pause(milliseconds: number): Promise<void>;
}

export interface BakeResult {
  /** ok or investigate: the release may be confirmed. */
  readonly held: boolean;
  /** What decided; of a release that held, "" or the rule to look into. */
  readonly rule: string;
  readonly measured: string;
  readonly allowed: string;
  /** One line a rule, measured against allowed. */
  readonly lines: readonly string[];
  /** Everything the verdict rests on, as plain JSON. */
  readonly evidence: object;
}

export async function bakeRelease(args: BakeArgs): Promise<BakeResult> {
  const { clock = ownClock, sampler, seconds, scrapeSeconds, proved = false } = args;
  const { checkSeconds = scrapeSeconds } = args;
  const observation = new Observation({
    ...fitTable(args.rules, { seconds, checkSeconds, proved }),
    seconds,
    services: args.services.map(({ health: _, ...watched }) => watched),
    database: args.database,
    staleSeconds: Math.max(5, checkSeconds * 3),
  });
  // Until a singleton has answered once, its health is a question of time.
  const starting = new Map(args.services.filter(isSingleton).map((service) => [service.name, service]));
  const begin = clock.now();
  const end = begin + seconds * 1000;
  const patience = end + patienceSeconds(seconds) * 1000;
  try {
    for (;;) {
      const taken = await inTime(sampler.sample(), longestSample(scrapeSeconds));
      if (taken === null) return unmeasurable(observation, scrapeSeconds);
      const late = settle(taken, starting);
      observation.add({ at: clock.now(), services: withoutStarting(taken, starting) });
      const elsewhere = await args.doors?.();
      if (elsewhere) return { held: false, ...elsewhere, ...shownBy(observation) };
      const now = clock.now();
      const verdict = observation.verdict();
      const proved = starting.size === 0 && ["ok", "investigate"].includes(verdict.decision);
      if (verdict.decision === "rollback" || (starting.size === 0 && now >= patience && !proved)) {
        return resultOf(false, verdict, observation);
      }
      if (late && now - begin > args.healthSeconds * 1000) {
        return { ...neverHealthy(late, args.healthSeconds), ...shownBy(observation) };
      }
      if (now >= end && proved) return resultOf(true, verdict, observation);
      if (await stopped(args, clock, observation)) return resultOf(false, observation.verdict(), observation);
    }
  } finally {
    sampler.close();
  }
}

/** Waits for the next scrape; true when somebody pulled the handle meanwhile. */
async function stopped(args: BakeArgs, clock: Clock, observation: Observation): Promise<boolean> {
  const next = clock.now() + args.scrapeSeconds * 1000;
  for (;;) {
    const stop = await args.emergencyStop?.();
    if (stop) {
      observation.emergencyStop({ at: clock.now(), ...stop });
      return true;
    }
    const left = next - clock.now();
    if (left <= 0) return false;
    await clock.pause(args.emergencyStop ? Math.min(left, 250) : left);
  }
}

interface Late {
  readonly service: BakedService;
  readonly answer: Probe | undefined;
}

/** Takes those that answered off `starting`; returns one that has not. */
function settle(
  taken: Readonly<Record<string, ServiceSample>>,
  starting: Map<string, BakedService>,
): Late | null {
  let late: Late | null = null;
  for (const service of [...starting.values()]) {
    const answer = taken[service.name]?.probes?.find(({ kind }) => kind === "health");
    if (answer?.ok) starting.delete(service.name);
    else late ??= { service, answer };
  }
  return late;
}

/** A process that is still starting fails no health check yet. */
function withoutStarting(
  taken: Readonly<Record<string, ServiceSample>>,
  starting: ReadonlyMap<string, BakedService>,
): Record<string, ServiceSample> {
  const entries = Object.entries(taken).map(([name, sample]): [string, ServiceSample] => {
    if (!starting.has(name)) return [name, sample];
    return [name, { ...sample, probes: (sample.probes ?? []).filter(({ kind }) => kind !== "health") }];
  });
  return Object.fromEntries(entries);
}

function neverHealthy({ service, answer }: Late, seconds: number) {
  const { status = null, detail = "" } = answer ?? {};
  const said = status === null ? `no answer${detail ? ` (${detail})` : ""}` : `${status} ${detail}`.trim();
  const allowed = "200 to 299";
  return {
    held: false,
    rule: `${service.name} answers 2xx on ${service.health} within ${seconds} s`,
    measured: said,
    allowed,
  };
}

/** A sample is bounded by its own waits; one that hangs all the same must not hold a release for ever. */
function longestSample(scrapeSeconds: number): number {
  return Math.max(30, scrapeSeconds * 6);
}

function unmeasurable(observation: Observation, scrapeSeconds: number): BakeResult {
  const seconds = longestSample(scrapeSeconds);
  const measured = `no sample within ${seconds} s`;
  const rule = "the release can be measured";
  return { held: false, rule, measured, allowed: `one every ${scrapeSeconds} s`, ...shownBy(observation) };
}

async function inTime<T>(work: Promise<T>, seconds: number): Promise<T | null> {
  let timer: NodeJS.Timeout | undefined;
  const bound = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), seconds * 1000);
  });
  return Promise.race([work, bound]).finally(() => clearTimeout(timer));
}

function resultOf(held: boolean, verdict: Verdict, observation: Observation): BakeResult {
  const { rule, measured, allowed } = verdict;
  return { held, rule, measured, allowed, ...shownBy(observation) };
}

function shownBy(observation: Observation): Pick<BakeResult, "lines" | "evidence"> {
  return {
    lines: observation.verdict().lines.map(({ text }) => text),
    evidence: observation.evidence(),
  };
}

function isSingleton({ kind }: WatchedService): boolean {
  return kind === "singleton";
}

const ownClock: Clock = {
  now: () => performance.now(),
  pause: async (milliseconds) => {
    await wait(milliseconds);
  },
};
