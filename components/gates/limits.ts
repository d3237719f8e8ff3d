/** What load and soak gates allow, as the deployment documents have it. A value has to stay below its limit. */

export interface LoadLimits {
  /** Share of the requests that were answered badly, late, or not at all; 0.02 is 2 %. */
  readonly errors: number;
  /** Seconds, from the moment a request was due. */
  readonly p95: number;
  readonly p99?: number;
}

export interface SoakLimits extends LoadLimits {
  /** Share by which a process' memory may grow from the first to the last fifth of the soak. */
  readonly memoryGrowth: number;
  /** Share of what a process may use, on average. */
  readonly cpu: number;
}

export interface LoadTest {
  readonly name: string;
  /** Requests a second, whatever the answers do. */
  readonly rate: number;
  readonly seconds: number;
  /** Size of each request's body. */
  readonly bodyBytes: number;
  readonly limits: LoadLimits;
}

export interface SoakTest extends Omit<LoadTest, "limits"> {
  readonly limits: SoakLimits;
}

const kibibyte = 1024;

/** SAN-3: errors < 2 %, p95 < 1.5 s; the document's table of load SLOs adds p99 < 3 s. */
const sanctumLoad: LoadLimits = { errors: 0.02, p95: 1.5, p99: 3 };

export const sanctumTests = {
  load: [
    { name: "load-1KiB", rate: 1000, seconds: 120, bodyBytes: kibibyte, limits: sanctumLoad },
    { name: "load-64KiB", rate: 1000, seconds: 120, bodyBytes: 64 * kibibyte, limits: sanctumLoad },
  ],
  /** SAN-4: memory growth < 10 %, CPU < 70 % on average, no crash, beside the limits of load. */
  soak: {
    name: "soak",
    rate: 500,
    seconds: 900,
    bodyBytes: kibibyte,
    limits: { ...sanctumLoad, memoryGrowth: 0.1, cpu: 0.7 },
  },
} as const satisfies { load: readonly LoadTest[]; soak: SoakTest };
