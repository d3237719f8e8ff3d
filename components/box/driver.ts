import { longestOfAnyCutover, longestWaitSeconds } from "../rollout/cutover/longest.ts";
import type { CutoverRequest, Outcome } from "../rollout/cutover/machine.ts";
import { type Failure, untouched } from "../rollout/cutover/state.ts";
import type { LegAddress, LegDriver } from "../rollout/leg.ts";
import type { TargetObservation } from "../rollout/observation.ts";
import { describe, type Location, runVerb } from "./location.ts";
import { observeBox } from "./observe.ts";
import type { Checked } from "./toolkit/verbs/check.ts";
import type { BoxObservation } from "./toolkit/verbs/observe.ts";

/** A system that a box has never heard of. */
const unknown: TargetObservation = { ...untouched, running: false, intact: false, known: [], doors: [] };

/** What a box said of one system. */
export function systemOn(observed: BoxObservation, system: string): TargetObservation {
  return observed.systems[system] ?? unknown;
}

/**
 * Drives a leg on a box by its toolkit's verbs. A cutover is bounded by the box itself, and here by what the box says
 * that one takes.
 */
export function boxDriver({ system, location: where }: Extract<LegAddress, { kind: "box" }>): LegDriver {
  const location = where as Location;
  const ask = async <T>(words: readonly string[], input: unknown, seconds: number): Promise<T> => {
    const { code, stdout, stderr } = await runVerb(location, words, JSON.stringify(input), seconds);
    if (code !== 0)
      throw new Error(stderr.trim() || `${words.join(" ")} exited ${code} on ${describe(location)}`);
    return JSON.parse(stdout) as T;
  };
  const observe = async () => systemOn(await observeBox(location), system);
  return {
    observe,
    check: async (fingerprint) => {
      const { finding } = await ask<{ finding: Checked | null }>(
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
      return ask<Outcome>(["attempt", system], request, seconds);
    },
    withdraw: async (because?: Failure) => {
      await ask(["withdraw", system], because ? { because } : {}, 300);
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
