import { below, type GateLine, written } from "./gate-report.ts";
import type { SoakLimits } from "./limits.ts";

/**
 * What a soak says about the processes under it: memory growth, CPU, crashes (SAN-4). Pure; times are monotonic
 * milliseconds.
 */

/** One process at one moment; several may answer behind one address. */
export interface ProcessSample {
  /** Tells processes apart: process_start_time_seconds, or any name that stays with a process. */
  readonly process: string;
  /** It began after the soak did: something started it again. */
  readonly startedDuring: boolean;
  readonly residentBytes: number | null;
  readonly cpuSeconds: number | null;
}

export interface SoakSample {
  readonly at: number;
  /** By service name; `failed` where a service could not be measured. */
  readonly services: Readonly<Record<string, ProcessSample | { readonly failed: string }>>;
}

/** Looks at every service once; never throws for a sick one. */
export type SoakSampler = () => Promise<SoakSample["services"]>;

export interface WatchedProcess {
  readonly name: string;
  /** Cores that one process of it may use. @default 1 */
  readonly cores?: number;
}

/** Samples that a medians' comparison needs at least of a process. */
const fewestSamples = 5;

export function soakLines(
  services: readonly WatchedProcess[],
  samples: readonly SoakSample[],
  limits: SoakLimits,
): GateLine[] {
  return services.flatMap((service) => linesOf(service, samples, limits));
}

function linesOf(service: WatchedProcess, samples: readonly SoakSample[], limits: SoakLimits): GateLine[] {
  const { name, cores = 1 } = service;
  const looks = samples.flatMap(({ at, services }) => {
    const look = services[name];
    return look === undefined ? [] : [{ at, look }];
  });
  const seen = looks.flatMap(({ at, look }) => ("failed" in look ? [] : [{ at, ...look }]));
  const processes = [...Map.groupBy(seen, ({ process }) => process).values()];
  const followed = processes.filter((one) => one.length >= fewestSamples);
  const growth = worst(followed.map((one) => growthOf(one.map(({ residentBytes }) => residentBytes))));
  const cpu = worst(followed.map((one) => cpuOf(one, cores)));
  const started = new Set(seen.filter(({ startedDuring }) => startedDuring).map(({ process }) => process))
    .size;
  return [
    below(`${name} memory growth`, growth, limits.memoryGrowth, written.share),
    below(`${name} CPU on average`, cpu, limits.cpu, written.share),
    crashLine(name, started, seen.length, looks),
  ];
}

/** A service that did not answer at the end may have crashed just then; one that rarely did was not watched. */
function crashLine(
  name: string,
  started: number,
  answered: number,
  looks: readonly { look: ProcessSample | { readonly failed: string } }[],
): GateLine {
  const rule = `${name} crashes`;
  const allowed = "0";
  if (started > 0) return { rule, measured: String(started), allowed, state: "broken" };
  const last = looks.at(-1)?.look;
  if (last === undefined || answered === 0) {
    const why = last && "failed" in last ? ` (${last.failed})` : "";
    return { rule, measured: `not measured${why}`, allowed, state: "unmeasured" };
  }
  if ("failed" in last) {
    return { rule, measured: `no answer at the end (${last.failed})`, allowed, state: "broken" };
  }
  const share = answered / looks.length;
  if (share < 0.9) {
    const measured = `answered ${written.share(share)} of the looks`;
    return { rule, measured, allowed, state: "unmeasured" };
  }
  return { rule, measured: "0", allowed, state: "held" };
}

/** Median of the last fifth against that of the first: one collection of garbage more or less decides nothing. */
function growthOf(bytes: readonly (number | null)[]): number | null {
  if (bytes.some((one) => one === null)) return null;
  const known = bytes as readonly number[];
  const fifth = Math.max(1, Math.floor(known.length / 5));
  const [first, last] = [median(known.slice(0, fifth)), median(known.slice(-fifth))];
  return first <= 0 ? null : last / first - 1;
}

function cpuOf(samples: readonly { at: number; cpuSeconds: number | null }[], cores: number): number | null {
  const [first, last] = [samples[0]!, samples.at(-1)!];
  if (first.cpuSeconds === null || last.cpuSeconds === null || last.at <= first.at) return null;
  return (last.cpuSeconds - first.cpuSeconds) / ((last.at - first.at) / 1000) / cores;
}

/** The highest; null where one of them, or all, is not known. */
function worst(values: readonly (number | null)[]): number | null {
  if (values.length === 0 || values.some((value) => value === null)) return null;
  return Math.max(...(values as readonly number[]));
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
