import { afterEach, expect, it, vi } from "vitest";
import { longestBakeSeconds } from "../../components/gates/policy.ts";
import {
  longestCutoverSeconds,
  longestOfAnyCutover,
  longestWaitSeconds,
} from "../../components/rollout/cutover/longest.ts";
import type { Session } from "../../operations/session.ts";
import type { StackFile } from "../../operations/stackfile.ts";
import { observeVerdicts } from "../../operations/takeback.ts";
import type { Observation } from "../../operations/targets.ts";

/** Whoever waits for a cutover waits as long as its bake is, on a clock of the test's own. */

const clock = vi.hoisted(() => ({ seconds: 0 }));
vi.mock("node:timers/promises", async (original) => ({
  ...(await original<typeof import("node:timers/promises")>()),
  setTimeout: async (milliseconds: number) => {
    clock.seconds += milliseconds / 1000;
  },
}));

afterEach(() => {
  vi.restoreAllMocks();
});

const hour = 3600;

it("a bake goes on for as long again and a minute, where it could not see enough", () => {
  expect(longestBakeSeconds({ bakeSeconds: 305 })).toBe(670);
});

it.each([
  ["two hours", { bakeSeconds: 2 * hour, healthSeconds: 60 }, 8_940],
  ["a day", { bakeSeconds: 24 * hour, healthSeconds: 60 }, 88_140],
  [
    "two hours, after an hour at a share",
    { bakeSeconds: 2 * hour, healthSeconds: 60, steps: [{ seconds: hour }] },
    13_200,
  ],
])("a cutover with a bake of %s is given its bake, its patience and all around it", (_, policy, seconds) => {
  expect(longestCutoverSeconds(policy)).toBe(seconds);
  expect(longestCutoverSeconds(policy, 100)).toBe(seconds + 200);
  expect(longestWaitSeconds(seconds)).toBe(2 * seconds);
});

it("a target that does not say how long it takes is given a bake of a day", () => {
  expect(longestOfAnyCutover).toBeGreaterThan(24 * hour);
});

/** Waits for the verdicts of two systems, and says how many seconds that took on the test's clock. */
async function waitFor(longestCutover: number | undefined, endsAfter: number): Promise<number> {
  clock.seconds = 0;
  vi.spyOn(performance, "now").mockImplementation(() => clock.seconds * 1000);
  const at = (running: boolean) => ({ running, longestCutover }) as Observation;
  const session = {
    stack: "production",
    signal: new AbortController().signal,
    voice: { line: () => {} },
    targets: async () => ({
      observe: async () => ({ chrono: at(clock.seconds < endsAfter), deia: at(false) }),
    }),
  } as unknown as Session;
  await observeVerdicts(session, { pins: {}, config: {} } as unknown as StackFile, ["chrono", "deia"]);
  return clock.seconds;
}

it("taking back waits for a bake of two hours that outlived its engine", async () => {
  const longest = longestCutoverSeconds({ bakeSeconds: 2 * hour, healthSeconds: 60 });
  expect(await waitFor(longest, 2 * hour + 30)).toBe(2 * hour + 30);
});

it("and no longer than a cutover may take: one that never ends is left", async () => {
  expect(await waitFor(900, Number.POSITIVE_INFINITY)).toBe(901);
});

it("and a target with an older toolkit, which does not say how long, gets its verdict too", async () => {
  expect(await waitFor(undefined, 20 * hour)).toBe(20 * hour);
});
