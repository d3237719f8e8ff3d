import type { CutoverState, Failure, Pending } from "../components/rollout/cutover/state.ts";

/** What a system's target says of itself, without the engine and without its lock. */
export interface Observation {
  /** A cutover runs on the target at this moment. */
  readonly running: boolean;
  /** Seconds from a cutover's start to its verdict on the target, at most; absent where it does not say. */
  readonly longestCutover?: number | undefined;
  /** What is confirmed really serves: every door leads to it, every process of it runs. */
  readonly intact: boolean;
  readonly confirmed: string | null;
  readonly pending: Pending | null;
  readonly receipt: string | null;
  readonly placed: readonly {
    readonly fingerprint: string;
    readonly release: string;
    readonly receipt: string;
  }[];
  readonly lastFailure: Failure | null;
  readonly stuck: string | null;
  readonly flipped: CutoverState["flipped"];
  /** What each door answers with now: the name of a release, or null for 503. */
  readonly serving: readonly { readonly door: string; readonly release: string | null }[];
}

/** The target could not be asked in time. */
export interface Unreachable {
  readonly unreachable: string;
}

/** Everything the command line asks of the machines that serve. Each call is bounded. */
export interface Targets {
  /** All systems of the stack at once; a system that was never deployed may be absent. */
  observe(): Promise<Readonly<Record<string, Observation | Unreachable>>>;
  /**
   * Moves the system to a release that is placed there, on the target itself.
   * @throws Error when the target refuses (not placed, unhealthy, stuck) or does not answer.
   */
  flip(
    system: string,
    fingerprint: string,
    by: { readonly by: string; readonly reason: string },
  ): Promise<void>;
  /**
   * The release that bakes at this moment goes back at once, wherever it bakes.
   * @throws Error where nothing of the system bakes.
   */
  stop(system: string, by: { readonly by: string; readonly reason: string }): Promise<void>;
  /** Lets `destroy` through for that many minutes. */
  arm(system: string, minutes: number): Promise<void>;
  /** Brings an unfinished cutover to its end, and clears what a failed taking back left. Does nothing where there is none. */
  resolve(system: string): Promise<void>;
}

export const isReachable = (found: Observation | Unreachable | undefined): found is Observation =>
  found !== undefined && !("unreachable" in found);

/** Name of the release that the target confirms; null when none, undefined when that cannot be said. */
export function confirmedRelease(found: Observation | Unreachable | undefined): string | null | undefined {
  if (!isReachable(found)) return undefined;
  if (found.confirmed === null) return null;
  return found.placed.find(({ fingerprint }) => fingerprint === found.confirmed)?.release;
}

/** What serves, in words, for reports. */
export function servingText(found: Observation | Unreachable | undefined): string {
  if (found === undefined) return "nothing was ever deployed (503)";
  if (!isReachable(found)) return `unknown, the target does not answer: ${found.unreachable}`;
  const release = confirmedRelease(found);
  const name = release ?? found.confirmed ?? null;
  const doors = found.serving.map(({ door, release }) => `${door} ${release ?? "503"}`).join(", ");
  const base = name === null ? "nothing (503)" : `${name}, confirmed`;
  return doors === "" ? base : `${base} (${doors})`;
}

/** The real targets of a stack. Loaded late: it brings the SSH library, which most commands do without. */
export async function connectTargets(
  stack: string,
  config: Readonly<Record<string, unknown>>,
): Promise<Targets> {
  const { targetsOf } = await import("../stacks/targets.ts");
  return targetsOf(stack, config);
}
