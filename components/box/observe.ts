import { UnreachableError } from "../rollout/leg.ts";
import { describe, type Location, runVerb } from "./location.ts";
import type { BoxObservation } from "./toolkit/verbs/observe.ts";

const neverPrepared: BoxObservation = { ground: null, systems: {} };

/**
 * What a box remembers and serves, asked before anything is decided; at most 20 s. A box without the toolkit was
 * never prepared, or is a fresh one in the place of a lost one.
 *
 * @throws UnreachableError when it gives no answer
 */
export function observeBox(location: Location): Promise<BoxObservation> {
  const key = JSON.stringify(location);
  const asked = asking.get(key) ?? ask(location).finally(() => asking.delete(key));
  asking.set(key, asked);
  return asked;
}

/** Systems that share a box are asked for at the same moment: one answer serves them all. */
const asking = new Map<string, Promise<BoxObservation>>();

async function ask(location: Location): Promise<BoxObservation> {
  const { code, stdout, stderr } = await runVerb(location, ["observe"]);
  if (code === 127) return neverPrepared;
  if (code !== 0)
    throw new UnreachableError(describe(location), `its toolkit answered: ${stderr.trim().slice(-500)}`);
  try {
    return JSON.parse(stdout) as BoxObservation;
  } catch {
    throw new Error(
      `${describe(location)} answered something else than an observation: ${stdout.slice(0, 200)}`,
    );
  }
}
