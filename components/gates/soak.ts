import { performance } from "node:perf_hooks";
import { setTimeout as wait } from "node:timers/promises";
import { ask } from "./ask.ts";
import type { GateReport } from "./gate-report.ts";
import type { SoakTest } from "./limits.ts";
import { type FindGenerator, type LoadGateArgs, loadGate } from "./load.ts";
import { readScrape } from "./metrics.ts";
import { type SoakSample, type SoakSampler, soakLines, type WatchedProcess } from "./soak-samples.ts";

export interface SoakGateArgs extends SoakTest, Pick<LoadGateArgs, "targets" | "timeoutSeconds"> {
  readonly services: readonly SoakedService[];
  /** @default a hundredth of the soak, between 0.2 s and 10 s */
  readonly scrapeSeconds?: number;
}

export interface SoakedService extends WatchedProcess {
  /** Where it tells its own figures, as Prometheus text. */
  readonly metrics: string;
}

/**
 * SAN-4: load for long, and meanwhile memory growth, CPU and crashes of every service.
 * @param sampler @default each service's own /metrics
 */
export async function soakGate(
  args: SoakGateArgs,
  find: FindGenerator,
  signal?: AbortSignal,
  sampler: SoakSampler = metricsSampler(args.services),
): Promise<GateReport> {
  const { services, limits, seconds } = args;
  const every = (args.scrapeSeconds ?? Math.min(10, Math.max(0.2, seconds / 100))) * 1000;
  // Found, and built where it is missing, before the first look.
  const generator = await find();
  const watch = new Watch(sampler, every);
  try {
    const load = await loadGate(args, async () => generator, signal);
    const samples = await watch.end();
    return {
      gate: args.name,
      lines: [...load.lines, ...soakLines(services, samples, limits)],
      evidence: { ...load.evidence, limits, samples: evidenceOf(samples) },
    };
  } finally {
    await watch.end();
  }
}

/** Samples at a steady pace until it is ended; a look that takes long delays the next one, and none overlap. */
class Watch {
  private readonly samples: SoakSample[] = [];
  private readonly stop = new AbortController();
  private readonly work: Promise<void>;
  private readonly sampler: SoakSampler;

  constructor(sampler: SoakSampler, everyMilliseconds: number) {
    this.sampler = sampler;
    this.work = this.run(everyMilliseconds);
  }

  /** Takes one more look, at the very end; safe to call again. */
  async end(): Promise<readonly SoakSample[]> {
    if (!this.stop.signal.aborted) {
      this.stop.abort();
      await this.work;
      await this.look();
    }
    return this.samples;
  }

  private async run(every: number): Promise<void> {
    while (!this.stop.signal.aborted) {
      await this.look();
      await wait(every, undefined, { signal: this.stop.signal }).catch(() => {});
    }
  }

  private async look(): Promise<void> {
    const services = await this.sampler();
    this.samples.push({ at: performance.now(), services });
  }
}

/** Each service's own /metrics; of several replicas behind one address whichever answers. */
export function metricsSampler(services: readonly SoakedService[]): SoakSampler {
  const began = new Map<string, number>();
  return async () => {
    const looks = services.map(
      async ({ name, metrics }) => [name, await lookAt(name, metrics, began)] as const,
    );
    return Object.fromEntries(await Promise.all(looks));
  };
}

async function lookAt(name: string, url: string, began: Map<string, number>) {
  const answer = await ask(url, { headers: { connection: "close" } });
  if (!answer.ok) return { failed: answer.status === 0 ? answer.detail : `status ${answer.status}` };
  try {
    const scrape = readScrape(answer.text, { ownPaths: [], counters: [] });
    // The server's own clock, where it tells it: the runner's may differ.
    const now = Date.parse(answer.headers.date ?? "") || Date.now();
    if (!began.has(name)) began.set(name, now / 1000);
    const { processStart, residentBytes, cpuSeconds } = scrape;
    if (processStart === null) return { failed: "it does not tell process_start_time_seconds" };
    // A date has whole seconds.
    const startedDuring = processStart > began.get(name)! + 1;
    return { process: String(processStart), startedDuring, residentBytes, cpuSeconds };
  } catch (error) {
    return { failed: (error as Error).message };
  }
}

function evidenceOf(samples: readonly SoakSample[]): object[] {
  const begin = samples[0]?.at ?? 0;
  return samples.map(({ at, services }) => ({ seconds: Math.round(at - begin) / 1000, services }));
}
