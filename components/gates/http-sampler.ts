import { ask } from "./ask.ts";
import type { Sampler } from "./bake.ts";
import { readScrape, type ScrapeOptions } from "./metrics.ts";
import { namedMetrics } from "./observation.ts";
import { asProbe, RequestProbes } from "./request-probes.ts";
import type { RuleTable } from "./rules.ts";
import type { DoorTotals, InstanceScrapes, Probe, ServiceSample } from "./seen.ts";

/** Samples services that answer over HTTP: health and metrics of each process, requests through the front door. */
export interface HttpSamplerArgs {
  readonly services: readonly SampledService[];
  readonly rules: RuleTable;
  readonly scrapeSeconds: number;
  /** Seconds between two checks of health and database. @default every sample makes one */
  readonly checkSeconds?: number;
  readonly probes: {
    /** Paths asked in turn through each service's door. */
    readonly paths: readonly string[];
    readonly perSecond: number;
    /** @example a Worker's version override */
    readonly headers?: Readonly<Record<string, string>>;
  };
}

export interface SampledService {
  readonly name: string;
  /**
   * Origins at which its processes answer at this moment, without a slash at the end: one on a box, one a replica on
   * a cluster. With none the service is not healthy.
   */
  readonly processes: () => readonly string[] | Promise<readonly string[]>;
  /** Path on each process. */
  readonly health: string;
  readonly metrics?: string;
  /** Origin at which users ask it; absent: nobody does. */
  readonly door?: string;
  /** What that door has answered since it began; null: it cannot be asked at this moment. */
  readonly doorTotals?: () => Promise<DoorTotals | null>;
  /** What the target knows of its processes: crashes and memory; replicas summed. */
  readonly unit?: () => Promise<NonNullable<ServiceSample["unit"]>>;
  /** Asks the database it depends on; see database-probe.ts. */
  readonly database?: () => Promise<Probe>;
}

export class HttpSampler implements Sampler {
  private readonly args: HttpSamplerArgs;
  private readonly requests: RequestProbes;
  /** When each service is checked again; absent until it has been well once, because a process may still be starting. */
  private readonly nextCheck = new Map<string, number>();

  constructor(args: HttpSamplerArgs) {
    this.args = args;
    const doors = args.services.flatMap(({ name, door }) => (door === undefined ? [] : [{ name, door }]));
    this.requests = new RequestProbes({ doors, ...args.probes });
  }

  async sample(): Promise<Readonly<Record<string, ServiceSample>>> {
    const { services } = this.args;
    return Object.fromEntries(
      await Promise.all(services.map(async (one) => [one.name, await this.one(one)] as const)),
    );
  }

  close(): void {
    this.requests.close();
  }

  private async one(service: SampledService): Promise<ServiceSample> {
    const processes = await service.processes();
    const due = performance.now() >= (this.nextCheck.get(service.name) ?? 0);
    const [unit, health, database, metrics, door] = await Promise.all([
      service.unit?.(),
      due ? this.health(service, processes) : undefined,
      due ? service.database?.() : undefined,
      service.metrics === undefined ? undefined : this.metrics(service, service.metrics, processes),
      service.doorTotals?.(),
    ]);
    const { checkSeconds } = this.args;
    const known = health?.ok || this.nextCheck.has(service.name);
    if (due && known && checkSeconds !== undefined) {
      this.nextCheck.set(service.name, performance.now() + checkSeconds * 1000);
    }
    return {
      probes: [
        ...(health ? [health] : []),
        ...(database ? [database] : []),
        ...this.requests.take(service.name),
      ],
      ...(unit ? { unit } : {}),
      ...(metrics ? { metrics } : {}),
      ...(door ? { door } : {}),
    };
  }

  /** One check, however many replicas: as good as the worst of them. */
  private async health({ health }: SampledService, processes: readonly string[]): Promise<Probe> {
    const seconds = Math.max(1, this.args.scrapeSeconds);
    const answers = await Promise.all(processes.map((origin) => ask(`${origin}${health}`, { seconds })));
    const worst = answers.find(({ ok }) => !ok) ?? answers[0];
    if (!worst) return { kind: "health", ok: false, status: null, seconds: 0, detail: "no process runs" };
    return asProbe("health", worst);
  }

  private async metrics(
    service: SampledService,
    path: string,
    processes: readonly string[],
  ): Promise<InstanceScrapes> {
    // Where our own requests ask the health path for want of another, it is traffic.
    const options: ScrapeOptions = {
      ownPaths: [service.health, path].filter((one) => !this.args.probes.paths.includes(one)),
      ...namedMetrics(this.args.rules),
    };
    const scrapes = await Promise.all(
      processes.map(async (origin) => [origin, await scrapeOf(`${origin}${path}`, options)] as const),
    );
    return { instances: Object.fromEntries(scrapes) };
  }
}

/** One scrape of a process, or why there is none. */
export async function scrapeOf(url: string, options: ScrapeOptions) {
  const answer = await ask(url);
  if (!answer.ok) {
    const path = new URL(url).pathname;
    return { failed: answer.status ? `${path} answered ${answer.status}` : answer.detail };
  }
  try {
    return readScrape(answer.text, options);
  } catch (error) {
    return { failed: (error as Error).message };
  }
}
