import { performance } from "node:perf_hooks";
import { setTimeout as pause } from "node:timers/promises";
import { type Finding, KilledError } from "./machine.ts";

/** Where users come in, as a target is able to ask it: a box's front door, a Service, a Worker's deployment. */
export interface DoorToAsk {
  /** As the finding names it. @example "the front door chrono-api-8080" */
  readonly name: string;
  /** Whom it has to serve, in the target's own terms (a fingerprint, the shares of versions); null: nobody. */
  readonly wanted: string | null;
  /** Whom it serves at this moment. Throws while it gives no answer. */
  readonly serves: () => Promise<string | null>;
}

/** How long a door may give no answer: an HAProxy that was killed is there again within a second. */
const restartSeconds = 5;

/**
 * Asks each door whom it serves. One that serves anybody else is a finding at once: it does not change by itself. One
 * that gives no answer is asked again for `patienceSeconds`, and is a finding after that.
 *
 * @param tell how people know what a door serves. @example async (fingerprint) => "v2.4.0"
 */
export async function askDoors(
  doors: readonly DoorToAsk[],
  tell: (served: string) => Promise<string>,
  patienceSeconds = restartSeconds,
): Promise<Finding | null> {
  const deadline = performance.now() + patienceSeconds * 1000;
  const found = await Promise.all(
    doors.map(async (door) => {
      const answer = await answerOf(door, deadline);
      if ("served" in answer && answer.served === door.wanted) return null;
      const wanted = door.wanted === null ? "nothing" : await tell(door.wanted);
      const at = new Date();
      if (!("served" in answer)) {
        const measured = `${door.name} gave no answer for ${patienceSeconds} s: ${answer.error}`;
        return { rule, measured, allowed: wanted, at };
      }
      const told = answer.served === null ? "nothing" : await tell(answer.served);
      // Two releases of one name are told apart by what the target knows them by.
      const served = told === wanted ? `${told} (${answer.served})` : told;
      const allowed = told === wanted ? `${wanted} (${door.wanted})` : wanted;
      return { rule, measured: `${door.name} serves ${served}, not ${allowed}`, allowed, at };
    }),
  );
  return found.find((finding) => finding !== null) ?? null;
}

const rule = "every front door serves what the cutover has put there";

async function answerOf(
  { serves }: DoorToAsk,
  deadline: number,
): Promise<{ readonly served: string | null } | { readonly error: string }> {
  for (;;) {
    try {
      return { served: await serves() };
    } catch (error) {
      if (error instanceof KilledError) throw error;
      if (performance.now() > deadline) return { error: (error as Error).message };
      await pause(100);
    }
  }
}
