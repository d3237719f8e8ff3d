import { randomUUID } from "node:crypto";
import { longestOfAnyCutover, longestWaitSeconds } from "../rollout/cutover/longest.ts";
import type { CutoverRequest, Outcome } from "../rollout/cutover/machine.ts";
import { type Failure, untouched } from "../rollout/cutover/state.ts";
import { type LegAddress, type LegDriver, UnreachableError } from "../rollout/leg.ts";
import type { TargetObservation } from "../rollout/observation.ts";
import { type Loss, redialing as ordinary, type Redialing, redialed } from "../rollout/redial.ts";
import { describe, type Keepalive, type Location, LostConnectionError, runVerb } from "./location.ts";
import { observeBox } from "./observe.ts";
import type { Checked } from "./toolkit/verbs/check.ts";
import type { BoxObservation } from "./toolkit/verbs/observe.ts";

/** A system that a box has never heard of. */
const unknown: TargetObservation = { ...untouched, running: false, intact: false, known: [], doors: [] };

const lossOf = (error: unknown): Loss | null => (error instanceof LostConnectionError ? error.loss : null);

/**
 * What a box said of one system.
 * @throws UnreachableError where the box cannot read what it keeps of the system
 */
export function systemOn(observed: BoxObservation, system: string): TargetObservation {
  const why = observed.unreadable?.[system];
  if (why !== undefined)
    throw new UnreachableError(`${system} on its box`, `what the box keeps of it: ${why}`);
  return observed.systems[system] ?? unknown;
}

/** In the place of production's, for tests. */
export interface Patience {
  readonly keepalive?: Keepalive;
  readonly redialing?: Redialing;
}

/**
 * Drives a leg on a box by its toolkit's verbs. A cutover is bounded by the box itself, and here by what the box says
 * that one takes. Where the connection is lost it is dialled again, and the same cutover asked for: the box knows it by
 * its attempt, and gives the verdict that it came to.
 */
export function boxDriver(
  { system, location: where }: Extract<LegAddress, { kind: "box" }>,
  { keepalive, redialing = ordinary }: Patience = {},
): LegDriver {
  const location = where as Location;
  const ask = async <T>(words: readonly string[], input: unknown, seconds: number): Promise<T> => {
    const { code, stdout, stderr } = await runVerb(
      location,
      words,
      JSON.stringify(input),
      seconds,
      keepalive,
    );
    if (code !== 0)
      throw new Error(stderr.trim() || `${words.join(" ")} exited ${code} on ${describe(location)}`);
    return JSON.parse(stdout) as T;
  };
  const askPersistently = async <T>(
    words: readonly string[],
    input: unknown,
    seconds: number,
  ): Promise<T> => {
    try {
      return await redialed(() => ask<T>(words, input, seconds), lossOf, redialing);
    } catch (error) {
      if (!(error instanceof LostConnectionError)) throw error;
      const why =
        `it has not answered again for ${redialing.seconds} s (${error.why}); what was begun there comes to its ` +
        "end by itself: `switchyard status` says what serves";
      throw new UnreachableError(describe(location), why);
    }
  };
  const observe = async () => systemOn(await observeBox(location), system);
  return {
    observe,
    check: async (fingerprint) => {
      const { finding } = await askPersistently<{ finding: Checked | null }>(
        ["check", system, "-", fingerprint],
        {},
        300,
      );
      if (!finding) return null;
      const { journal, evidence, ...rest } = finding;
      return { ...rest, explain: async () => ({ journal, evidence }) };
    },
    cutOver: async (request: CutoverRequest) => {
      const seconds = longestWaitSeconds((await observe()).longestCutover ?? longestOfAnyCutover) + 60;
      return askPersistently<Outcome>(["attempt", system], { ...request, attempt: randomUUID() }, seconds);
    },
    withdraw: async (because?: Failure) => {
      await askPersistently(["withdraw", system], because ? { because } : {}, 300);
    },
    arm: async (minutes) => {
      await ask(["arm", system], { minutes }, 20);
    },
    stop: async (stop) => {
      await ask(["stop", system], stop, 20);
    },
    recover: async () => {
      await ask(["recover", system], {}, 120);
    },
  };
}
