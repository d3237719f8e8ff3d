import { expect, test } from "vitest";
import { type Failure, untouched } from "../../components/rollout/cutover/state.ts";
import type { TargetObservation } from "../../components/rollout/observation.ts";
import { combine } from "../../stacks/targets.ts";

/** What the legs of a system say, as the command line reads it. */

const failure: Failure = {
  ...{ fingerprint: "new", release: "v2", step: "bake", rule: "p95", measured: "3 s", allowed: "2 s" },
  ...{ at: "2026-11-21T09:00:00.000Z", verdictAt: "2026-11-21T09:00:00.000Z", journal: [], evidence: "" },
};

function leg(name: string, confirmed: string, lastFailure: Failure | null = null) {
  const known = ["old", "new"].map((fingerprint) => ({
    ...{ fingerprint, release: fingerprint === "old" ? "v1" : "v2", receipt: "r1", placed: true },
    manifest: {} as TargetObservation["known"][number]["manifest"],
  }));
  const doors = [{ door: "front", port: 1, fingerprint: confirmed }];
  const observed = { ...untouched, confirmed, lastFailure, running: false, intact: true, known, doors };
  return { name, observed };
}

test("legs that agree are one; each door is told with its leg", () => {
  expect(combine([leg("box", "new"), leg("edge", "new")])).toMatchObject({
    confirmed: "new",
    pending: null,
    serving: [
      { door: "box front", release: "v2" },
      { door: "edge front", release: "v2" },
    ],
  });
});

test("legs that confirm different releases are an unfinished cutover", () => {
  expect(combine([leg("box", "new"), leg("edge", "old")])).toMatchObject({
    confirmed: null,
    pending: { from: "old", to: "new" },
  });
});

test("a system takes as long as the longest of its legs, and says nothing where one leg does not say", () => {
  const [box, edge] = [leg("box", "new"), leg("edge", "new")];
  const within = (seconds: number, { name, observed }: typeof box) => ({
    name,
    observed: { ...observed, longestCutover: seconds },
  });
  expect(combine([within(900, box), within(15_540, edge)]).longestCutover).toBe(15_540);
  expect(combine([within(900, box), edge]).longestCutover).toBeUndefined();
});

test("a failure is that of the leg that failed, wherever else it is on record", () => {
  const own = combine([leg("box", "old"), leg("edge", "old", failure)]);
  expect(own.lastFailure).toMatchObject({ leg: "edge", rule: "p95" });
  const returned = { ...failure, leg: "edge" };
  const all = combine([leg("box", "old", returned), leg("edge", "old", failure)]);
  expect(all.lastFailure?.leg).toBe("edge");
  expect(combine([leg("box", "old", failure)]).lastFailure).toEqual(failure);
});
