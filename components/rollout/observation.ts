import type { CutoverState } from "./cutover/state.ts";
import type { ReleaseManifest } from "./manifest.ts";

/** What a target answers for one system, before the first resource and to the command line. */
export interface TargetObservation<Manifest extends object = ReleaseManifest> extends CutoverState {
  /** A cutover runs at this moment, whoever asked for it. */
  readonly running: boolean;
  /**
   * Seconds from a cutover's start to its verdict here, at most, by the policy that the target has. Absent where it was
   * never prepared, and from a toolkit that does not say it.
   */
  readonly longestCutover?: number;
  /** What is confirmed really serves: every door leads to it, every process of it runs. */
  readonly intact: boolean;
  readonly known: readonly KnownRelease<Manifest>[];
  /** What each front door answers with at this moment; null is 503. */
  readonly doors: readonly {
    readonly door: string;
    readonly port: number;
    readonly fingerprint: string | null;
  }[];
}

export interface KnownRelease<Manifest extends object = ReleaseManifest> {
  readonly fingerprint: string;
  readonly release: string;
  readonly receipt: string;
  readonly placed: boolean;
  readonly manifest: Manifest;
}

/** A target that gave no answer within its bound, and why. */
export interface Unreachable {
  readonly unreachable: string;
}
