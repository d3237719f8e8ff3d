import { nothingBakes } from "../components/gates/emergency-stop.ts";
import { type LegDriver, UnreachableError } from "../components/rollout/leg.ts";
import { cutOverLegs, type NamedDriver } from "../components/rollout/legs/cutover.ts";
import { driverOf } from "../components/rollout/legs/drivers.ts";
import type { TargetObservation } from "../components/rollout/observation.ts";
import type { Observation, Targets, Unreachable } from "../operations/targets.ts";
import { legAddresses } from "./addresses.ts";

/** Every system and the targets of it that the stack's config names; for the command line, without the engine. */
export function targetsOf(stack: string, config: Readonly<Record<string, unknown>>): Targets {
  const addresses = legAddresses(stack, config);

  const driversOf = (system: string): Promise<NamedDriver[]> => {
    const legs = addresses.get(system);
    if (legs)
      return Promise.all(legs.map(async ({ name, address }) => ({ name, driver: await driverOf(address) })));
    const known = [...addresses.keys()].join(", ");
    throw new Error(`${system} has no target in this stack's config; there are: ${known}`);
  };
  const onEach = async (system: string, work: (driver: LegDriver) => Promise<void>) => {
    for (const { driver } of await driversOf(system)) await work(driver);
  };

  return {
    async observe() {
      const entries = [...addresses.keys()].map(
        async (system) => [system, await observeSystem(await driversOf(system))] as const,
      );
      return Object.fromEntries(await Promise.all(entries));
    },
    async flip(system, fingerprint, flip) {
      await cutOverLegs(await driversOf(system), { to: fingerprint, receipt: `flip-${Date.now()}`, flip });
    },
    async stop(system, by) {
      const legs = await driversOf(system);
      const found = await Promise.all(legs.map(({ driver }) => driver.observe()));
      const baking = legs.filter((_, index) => found[index]?.pending);
      if (baking.length === 0) throw nothingBakes(system);
      for (const { driver } of baking) await driver.stop(by);
    },
    arm: (system, minutes) => onEach(system, (driver) => driver.arm(minutes)),
    resolve: (system) => onEach(system, (driver) => driver.recover()),
  };
}

async function observeSystem(legs: readonly NamedDriver[]): Promise<Observation | Unreachable> {
  try {
    const found = await Promise.all(
      legs.map(async ({ name, driver }) => ({ name, observed: await driver.observe() })),
    );
    return combine(found);
  } catch (error) {
    if (!(error instanceof UnreachableError)) throw error;
    return { unreachable: error.message };
  }
}

/**
 * The legs of a system as one: confirmed is what all of them confirm, placed what all of them hold; what is open on one
 * is open. Legs that confirm different releases are an unfinished cutover from the last one's to the first one's.
 */
export function combine(
  legs: readonly { readonly name: string; readonly observed: TargetObservation }[],
): Observation {
  const all = legs.map(({ observed }) => observed);
  const [first] = all;
  if (!first) throw new Error("a system has at least one leg");
  const agreed = all.every(({ confirmed }) => confirmed === first.confirmed);
  const { known: _, doors: __, ...state } = first;
  const failures = legs.flatMap(({ name, observed: { lastFailure } }) =>
    lastFailure ? [legs.length > 1 ? { leg: name, ...lastFailure } : lastFailure] : [],
  );
  return {
    ...state,
    confirmed: agreed ? first.confirmed : null,
    pending: all.find(({ pending }) => pending)?.pending ?? (agreed ? null : halfWay(all)),
    running: all.some(({ running }) => running),
    longestCutover: longestOf(all),
    intact: all.every(({ intact }) => intact),
    stuck: all.find(({ stuck }) => stuck)?.stuck ?? null,
    flipped: all.find(({ flipped }) => flipped)?.flipped ?? null,
    lastFailure: failures.sort((a, b) => a.at.localeCompare(b.at)).at(-1) ?? null,
    placed: first.known.filter(({ fingerprint }) =>
      all.every(({ known }) => known.some((one) => one.fingerprint === fingerprint && one.placed)),
    ),
    serving: legs.flatMap(({ name, observed: { doors, known } }) =>
      doors.map(({ door, fingerprint }) => ({
        door: legs.length > 1 ? `${name} ${door}` : door,
        release: known.find((release) => release.fingerprint === fingerprint)?.release ?? fingerprint,
      })),
    ),
  };
}

/** The longest of their cutovers; undefined where one of them does not say. */
function longestOf(all: readonly TargetObservation[]): number | undefined {
  const each = all.map(({ longestCutover }) => longestCutover);
  return each.every((seconds) => seconds !== undefined) ? Math.max(...each) : undefined;
}

function halfWay(all: readonly TargetObservation[]): Observation["pending"] {
  const [first, last] = [all[0], all.at(-1)];
  return { from: last?.confirmed ?? null, to: first?.confirmed ?? "nothing", receipt: "", startedAt: "" };
}
