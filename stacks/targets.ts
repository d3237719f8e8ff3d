import { type Location, runVerb } from "../components/box/location.ts";
import { observeBox } from "../components/box/observe.ts";
import type { TargetObservation } from "../components/rollout/observation.ts";
import type { Observation, Targets, Unreachable } from "../operations/targets.ts";
import { box as boxField } from "./config/fields.ts";

/** Every system and the target of it that the stack's config names; for the command line, without the engine. */
export function targetsOf(_stack: string, config: Readonly<Record<string, unknown>>): Targets {
  const boxes = new Map<string, Location>();
  const chrono = boxField.safeParse(config["chrono:box"]);
  if (chrono.success) boxes.set("chrono", chrono.data);

  const ask = async (system: string, words: readonly string[], input: unknown, seconds: number) => {
    const location = boxes.get(system);
    if (!location)
      throw new Error(
        `${system} has no target in this stack's config; there are: ${[...boxes.keys()].join(", ")}`,
      );
    const { code, stderr } = await runVerb(location, words, JSON.stringify(input), seconds);
    if (code !== 0) throw new Error(stderr.trim() || `${words.join(" ")} exited ${code}`);
  };

  return {
    async observe() {
      const entries = [...boxes].map(
        async ([system, location]) => [system, await observeSystem(system, location)] as const,
      );
      return Object.fromEntries((await Promise.all(entries)).filter(([, found]) => found !== null)) as Record<
        string,
        Observation | Unreachable
      >;
    },
    flip: async (system, fingerprint, by) => ask(system, ["flip", system, "-", fingerprint], by, 300),
    arm: async (system, minutes) => ask(system, ["arm", system], { minutes }, 20),
    resolve: async (system) => ask(system, ["recover", system], {}, 120),
  };
}

async function observeSystem(system: string, location: Location): Promise<Observation | Unreachable | null> {
  try {
    const found = (await observeBox(location)).systems[system];
    return found ? observationOf(found) : null;
  } catch (error) {
    return { unreachable: (error as Error).message };
  }
}

function observationOf({ known, doors, ...state }: TargetObservation): Observation {
  const nameOf = (fingerprint: string | null) =>
    known.find((release) => release.fingerprint === fingerprint)?.release ?? fingerprint;
  return {
    ...state,
    placed: known.filter(({ placed }) => placed),
    serving: doors.map(({ door, fingerprint }) => ({ door, release: nameOf(fingerprint) })),
  };
}
