import type { CutoverState, Failure } from "./state.ts";

/**
 * The cutover, once for every target: health → pending → switch → verify → bake → confirm, and the way back.
 * It runs on the target, so that killing the engine, the runner or the network in between changes nothing.
 *
 * Three rules carry it. Taking back goes to `confirmed`, never to what the front door happens to name. `pending` is
 * written before the first request moves and cleared in the same write that confirms or takes back, so that whoever
 * finds a `pending` without a living baker knows what to do. And nothing is believed of a front door: it is asked whom
 * it serves before a release is confirmed, and once more when a restart would bring the release back.
 */

/** What a check found wrong; absent when nothing is. */
export interface Finding extends Pick<Failure, "rule" | "measured" | "allowed"> {
  /** When the verdict fell; absent: when it is taken up. */
  readonly at?: Date;
  /** Gathers journal and evidence; called once traffic is where it belongs, because that may take seconds. */
  readonly explain?: () => Promise<Pick<Failure, "journal" | "evidence">>;
}

export interface CutoverTarget {
  readState(): Promise<CutoverState>;
  /** Durable and atomic: a reader sees the old state or the new one, also after a power cut. */
  writeState(state: CutoverState): Promise<void>;
  /** Waits, bounded, until the release is ready to take traffic. */
  checkHealth(fingerprint: string): Promise<Finding | null>;
  /**
   * New requests go to `to` (null: nothing, 503) and to nothing else; singletons of every other release are gone
   * before those of `to` start. `back` moves the requests first, `forward` when the old singletons are gone, so that
   * an unproved release serves no moment longer than it is watched. Safe to repeat, and safe after dying half way.
   */
  moveTraffic(to: string | null, direction: "forward" | "back"): Promise<void>;
  /** Makes the system's checks from outside, through the front doors; bounded (see verifyFromOutside). */
  verify(fingerprint: string): Promise<Finding | null>;
  /**
   * Watches the release under traffic for its bake, and asks the doors each round; `short` when it has served a whole
   * one before.
   */
  bake(fingerprint: string, short: boolean): Promise<Finding | null>;
  /**
   * Asks every door of the system whom it serves (see askDoors): a finding where one serves anything but the release
   * (null: nothing), or gives no answer for longer than a restart takes.
   */
  lookAtDoors(fingerprint: string | null): Promise<Finding | null>;
  /** What a reboot brings back is the release given. */
  remember(fingerprint: string | null): Promise<void>;
  /** Requests in flight on releases that no longer serve end, bounded. */
  drain(): Promise<void>;
  releaseName(fingerprint: string): Promise<string>;
  now(): Date;
}

export interface CutoverRequest {
  readonly to: string;
  readonly receipt: string;
  /** An emergency flip: neither checks from outside nor a bake, health only, and the release left is remembered as left on purpose. */
  readonly flip?: { readonly by: string; readonly reason: string };
  /** Another leg of the system failed: back to what served before, health only, that failure kept on record. */
  readonly returning?: Failure;
}

export type Outcome = { readonly held: true } | { readonly held: false; readonly failure: Failure };

export const steps = ["health", "pending", "switch", "verify", "bake", "confirm", "remember"] as const;
export type Step = (typeof steps)[number];

/** Called before each step: the baker's heartbeat, and the place where tests kill it. */
export type AtStep = (step: Step) => Promise<void> | void;

/** Runs one cutover to its end. Throws only when taking back itself failed; the state then says `stuck`. */
export async function cutOver(
  target: CutoverTarget,
  request: CutoverRequest,
  atStep: AtStep = () => {},
): Promise<Outcome> {
  const { to, receipt } = request;
  if ((await target.readState()).pending) await takeBack(target, ended.killed);
  const before = await target.readState();
  if (before.stuck) throw new StuckError(before.stuck);
  if (before.confirmed === to) return hold(target, before, request);
  if (before.flipped?.from === to && !request.flip && !request.returning) {
    return fail(target, await failure(target, to, "flip", leftOnPurpose(before.flipped)));
  }

  await atStep("health");
  const unhealthy = await target.checkHealth(to);
  if (unhealthy) return fail(target, await failure(target, to, "health", unhealthy));

  await atStep("pending");
  await target.writeState({
    ...before,
    pending: { from: before.confirmed, to, receipt, startedAt: target.now().toISOString() },
  });
  try {
    await atStep("switch");
    await target.moveTraffic(to, "forward");
    const isEmergency = request.flip !== undefined || request.returning !== undefined;
    await atStep("verify");
    const wrong = isEmergency ? null : await target.verify(to);
    if (wrong) return takeBack(target, { step: "verify", ...wrong });
    await atStep("bake");
    const bad = isEmergency ? null : await target.bake(to, before.baked.includes(to));
    if (bad) return takeBack(target, { step: "bake", ...bad });
    await atStep("confirm");
    const elsewhere = await target.lookAtDoors(to);
    if (elsewhere) return takeBack(target, { step: "confirm", ...elsewhere });
  } catch (error) {
    if (error instanceof KilledError) throw error;
    return takeBack(target, { step: "switch", ...brokenSwitch(error) });
  }
  await confirm(target, before, request);
  await atStep("remember");
  await keep(target, to);
  await drain(target);
  return { held: true };
}

/**
 * Ends a cutover that nobody drives any more, or that somebody stopped: traffic goes back to what is confirmed.
 * Returns null where nothing was pending; what serves and what a reboot brings back is made to agree in either case.
 */
export async function resolve(
  target: CutoverTarget,
  why: "killed" | "reboot" | Finding,
): Promise<Failure | null> {
  const state = await target.readState();
  if (!state.pending && !state.stuck) {
    await keep(target, state.confirmed);
    return null;
  }
  const outcome = await takeBack(
    target,
    why === "killed" || why === "reboot" ? ended[why] : { step: "bake", ...why },
  );
  return outcome.held ? null : outcome.failure;
}

/** Traffic leaves the system altogether: before `destroy` deletes anything, or because another leg of its first release failed. */
export async function withdraw(target: CutoverTarget, because: Failure | null = null): Promise<void> {
  const state = await target.readState();
  await target.moveTraffic(null, "back");
  const nothing = { confirmed: null, receipt: null, pending: null, flipped: null };
  await target.writeState({ ...state, ...nothing, lastFailure: because ?? state.lastFailure });
  await keep(target, null);
  await drain(target);
}

async function hold(target: CutoverTarget, before: CutoverState, request: CutoverRequest): Promise<Outcome> {
  const { to, receipt, returning } = request;
  await target.moveTraffic(to, "back");
  const kept = returning ? { flipped: before.flipped, lastFailure: returning } : { flipped: null };
  await target.writeState({ ...before, receipt, ...kept });
  await keep(target, to);
  return { held: true };
}

/**
 * What a restart brings back is the release, and what the doors serve is the release. A door that was started again
 * between the last look at it and `remember` came back with what it remembered until then: it is pointed once more.
 * One that starts after this look starts with what is remembered now.
 */
async function keep(target: CutoverTarget, fingerprint: string | null): Promise<void> {
  await target.remember(fingerprint);
  if (await target.lookAtDoors(fingerprint)) await target.moveTraffic(fingerprint, "back");
}

async function confirm(target: CutoverTarget, before: CutoverState, request: CutoverRequest): Promise<void> {
  const { to, receipt, flip, returning } = request;
  await target.writeState({
    ...before,
    confirmed: to,
    receipt,
    pending: null,
    lastFailure: returning ?? null,
    baked:
      flip || returning ? before.baked : [...before.baked.filter((known) => known !== to), to].slice(-20),
    flipped:
      flip && before.confirmed
        ? { from: before.confirmed, at: target.now().toISOString(), by: flip.by, reason: flip.reason }
        : null,
  });
}

type FailureOfStep = Finding & { readonly step: Failure["step"] };

async function takeBack(target: CutoverTarget, why: FailureOfStep): Promise<Outcome> {
  const state = await target.readState();
  const blamed = state.pending?.to ?? state.lastFailure?.fingerprint ?? "unknown";
  const verdict = { ...why, at: why.at ?? target.now() };
  let last: unknown;
  for (let attempt = 1; attempt <= 3; attempt++) {
    try {
      await target.moveTraffic(state.confirmed, "back");
      await keep(target, state.confirmed);
      const what = await failure(target, blamed, why.step, verdict);
      await target.writeState({ ...state, pending: null, stuck: null, lastFailure: what });
      await drain(target);
      return { held: false, failure: what };
    } catch (error) {
      if (error instanceof KilledError) throw error;
      last = error;
    }
  }
  const stuck = `taking traffic back to ${state.confirmed ?? "nothing"} failed three times: ${message(last)}`;
  await target.writeState({ ...state, stuck, lastFailure: await failure(target, blamed, why.step, verdict) });
  throw new StuckError(stuck);
}

/** Requests in flight end or are cut; traffic is where it belongs in either case, so this decides nothing. */
async function drain(target: CutoverTarget): Promise<void> {
  await target.drain().catch(() => {});
}

async function fail(target: CutoverTarget, what: Failure): Promise<Outcome> {
  await target.writeState({ ...(await target.readState()), lastFailure: what });
  return { held: false, failure: what };
}

async function failure(
  target: CutoverTarget,
  fingerprint: string,
  step: Failure["step"],
  finding: Finding,
): Promise<Failure> {
  const { rule, measured, allowed } = finding;
  const { journal, evidence } = (await finding.explain?.().catch(() => null)) ?? {
    journal: [],
    evidence: "",
  };
  const release = await target.releaseName(fingerprint);
  const verdictAt = (finding.at ?? target.now()).toISOString();
  const at = target.now().toISOString();
  return { fingerprint, release, step, rule, measured, allowed, journal, evidence, at, verdictAt };
}

const notLived = { rule: "the baker lives until its verdict", allowed: "no end before the verdict" };
/** Of a cutover that nobody drives any more. */
const ended = {
  killed: { step: "killed", ...notLived, measured: "it was ended before" },
  reboot: { step: "reboot", ...notLived, measured: "the machine was started again" },
} as const;

function leftOnPurpose(flip: NonNullable<CutoverState["flipped"]>): Finding {
  return {
    rule: "a release that a flip has left does not come back by itself",
    measured: `${flip.by} flipped away from it at ${flip.at}: ${flip.reason}`,
    allowed: "pins that name what serves (`switchyard rollback`), or `switchyard flip` back to it",
  };
}

function brokenSwitch(error: unknown): Finding {
  if (error instanceof FindingError) return error.finding;
  return {
    rule: "traffic can be moved",
    measured: message(error),
    allowed: "no error",
  };
}

function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Thrown by a target that finds a release wanting while traffic moves: the finding is what is said of it. */
export class FindingError extends Error {
  readonly finding: Finding;

  constructor(finding: Finding) {
    super(`${finding.rule}: ${finding.measured} (allowed: ${finding.allowed})`);
    this.name = "FindingError";
    this.finding = finding;
  }
}

/** Taking back failed: nothing moves any more until a person has looked (`switchyard recover`). */
export class StuckError extends Error {
  constructor(what: string) {
    super(`${what}; later cutovers are blocked until \`switchyard recover\` has put traffic back`);
    this.name = "StuckError";
  }
}

/** Thrown by a test's AtStep in the place of SIGKILL: no step may catch it. */
export class KilledError extends Error {}
