/** What a target remembers of a system's traffic: the only place that says where taking back goes. */

/** A cutover that has begun and is neither confirmed nor taken back. Written before the first request moves. */
export interface Pending {
  readonly from: string | null;
  readonly to: string;
  readonly receipt: string;
  /** Wall-clock start, for people; never used to decide. */
  readonly startedAt: string;
}

/** Why a cutover did not hold, for the person who reads it at three in the morning. */
export interface Failure {
  readonly fingerprint: string;
  readonly release: string;
  /** Leg that failed, on record at the others too; absent where a system has one leg, and at the leg itself. */
  readonly leg?: string;
  /** The step that failed: health, switch, verify, bake, confirm, killed, reboot, flip. */
  readonly step: string;
  readonly rule: string;
  readonly measured: string;
  readonly allowed: string;
  readonly at: string;
  /** ISO time at which the verdict fell; traffic left the release within two seconds of it (ALL-4). */
  readonly verdictAt: string;
  /** Last journal lines of the failing service, secrets redacted. */
  readonly journal: readonly string[];
  /** File on the target that holds the evidence. */
  readonly evidence: string;
}

export interface CutoverState {
  /** Fingerprint that serves and has proved itself; null before the first release. */
  readonly confirmed: string | null;
  /** Receipt of the engine's call that left this state; the program compares it (see heal). */
  readonly receipt: string | null;
  readonly pending: Pending | null;
  /** Fingerprints that have served a whole bake; they get a short one when they come back. */
  readonly baked: readonly string[];
  /** Left by `switchyard flip`: a later cutover back to `from` is refused until the pins agree or say so. */
  readonly flipped: {
    readonly from: string;
    readonly at: string;
    readonly by: string;
    readonly reason: string;
  } | null;
  /** Set when taking back failed; blocks every later cutover until resolved. */
  readonly stuck: string | null;
  readonly lastFailure: Failure | null;
}

export const untouched: CutoverState = {
  confirmed: null,
  receipt: null,
  pending: null,
  baked: [],
  flipped: null,
  stuck: null,
  lastFailure: null,
};
