import type { CutoverRequest, Outcome } from "../../rollout/cutover/machine.ts";
import type { Failure } from "../../rollout/cutover/state.ts";
import type { ClusterRelease } from "../manifest.ts";
import type { ClusterPolicy } from "../policy.ts";

/** What the runner asks of a baker, in its Job. It holds all that it needs to know: it may read little else. */
export interface BakerRequest {
  /** Its own for each Job; what was taken up once is never taken up again. */
  readonly id: string;
  readonly work:
    | { readonly verb: "cutover"; readonly request: CutoverRequest }
    | { readonly verb: "withdraw"; readonly because: Failure | null }
    | { readonly verb: "recover" }
    | { readonly verb: "check"; readonly fingerprint: string };
  /** Every placed release of the system. */
  readonly releases: readonly ClusterRelease[];
  readonly policy: ClusterPolicy;
}

export interface BakerReport {
  readonly id: string;
  readonly outcome: Outcome | { readonly held: false; readonly error: string };
}

/** What a check says: one line a rule, or what it found wrong. Left as the pod's termination message. */
export interface CheckReport {
  readonly id: string;
  readonly lines: readonly string[];
  readonly finding: { readonly rule: string; readonly measured: string; readonly allowed: string } | null;
}
