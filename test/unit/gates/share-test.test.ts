import { describe, expect, it } from "vitest";
import {
  requestsToTell,
  type ShareJudgement,
  ShareTest,
  visible,
} from "../../../components/gates/share-test.ts";

/** Seconds of so many requests, of which so many are bad. */
function watched(
  allowed: number,
  seconds: readonly (readonly [requests: number, bad: number])[],
  { over = true, fitted = false, rounds = 1 } = {},
): ShareJudgement {
  const test = new ShareTest({ allowed, fitted });
  for (const [second, [requests, bad]] of seconds.entries()) {
    for (let round = 0; round < rounds; round++) {
      const from = second * 1000 + (round * 1000) / rounds;
      test.add({ from, to: from + 1000 / rounds, requests: requests / rounds, bad: bad / rounds });
    }
  }
  return test.judge(over);
}

function times(count: number, requests: number, bad: number): [number, number][] {
  return Array.from({ length: count }, () => [requests, bad]);
}

/** So many seconds of 40 requests, one bad one every `every` seconds. */
function everySeconds(count: number, every: number): [number, number][] {
  return Array.from({ length: count }, (_, second) => [40, second % every === 0 ? 1 : 0]);
}

describe("a share of requests, 1 % allowed", () => {
  it("held: half of it over a minute at 40 requests a second", () => {
    expect(watched(0.01, everySeconds(60, 5))).toMatchObject({ state: "held", requests: 2400, bad: 12 });
  });

  it("is broken by twice of it, before the minute is over", () => {
    const judged = watched(0.01, everySeconds(60, 1), { over: false });
    expect(judged).toMatchObject({ state: "broken", requests: 2400, bad: 60 });
    expect(judged.brokenAt).toBeLessThan(30_000);
  });

  it("is broken in the fifth second when half of all fails, however often one looks", () => {
    for (const rounds of [1, 2, 10]) {
      const judged = watched(0.01, [...times(20, 40, 0), ...times(10, 40, 20)], { over: false, rounds });
      expect(judged.state).toBe("broken");
      expect(judged.brokenAt).toBeGreaterThan(23_000);
      expect(judged.brokenAt).toBeLessThanOrEqual(25_000);
    }
  });

  it("is not broken by one second in which everything fails, whichever way it falls into two rounds", () => {
    const bursts: [number, number][][] = [
      [[240, 240]],
      [
        [240, 120],
        [240, 120],
      ],
      [
        [240, 30],
        [240, 210],
      ],
    ];
    for (const burst of bursts) {
      expect(watched(0.01, [...times(20, 240, 1), ...burst, ...times(40, 240, 1)]).state).toBe("held");
    }
  });

  it("is not broken by one round of two seconds in which everything was late: a stalled machine is one burst", () => {
    const test = new ShareTest({ allowed: 0.05, fitted: true });
    const rounds = [
      { from: 0, to: 1000, requests: 60, bad: 0 },
      { from: 1000, to: 3000, requests: 35, bad: 34 },
      ...Array.from({ length: 10 }, (_, second) => ({
        from: 3000 + second * 1000,
        to: 4000 + second * 1000,
        requests: 60,
        bad: 0,
      })),
    ];
    for (const round of rounds) {
      test.add(round);
      expect(test.judge(false).brokenAt).toBeNull();
    }
    expect(test.judge(true).state).toBe("held");
  });

  it("is not held by a watch that is no longer than one burst: every fifth request may be bad for good", () => {
    const test = new ShareTest({ allowed: 0.05, fitted: true });
    test.add({ from: 0, to: 2000, requests: 60, bad: 12 });
    expect(test.judge(true).state).toBe("too few");
    test.add({ from: 2000, to: 4000, requests: 60, bad: 12 });
    expect(test.judge(true).state).toBe("broken");
  });

  it("is broken by one round of five seconds in which everything failed: it is too long for a burst", () => {
    const test = new ShareTest({ allowed: 0.05, fitted: false });
    test.add({ from: 0, to: 5000, requests: 150, bad: 150 });
    expect(test.judge(false).state).toBe("broken");
  });

  it("is broken by two such seconds apart from each other: one of them is forgiven", () => {
    const seconds = [
      ...times(20, 240, 0),
      [240, 240],
      ...times(20, 240, 0),
      [240, 240],
      ...times(20, 240, 0),
    ] as const;
    expect(watched(0.01, seconds)).toMatchObject({ state: "broken", brokenAt: 62_000 });
  });

  it("has no verdict when there are too few requests, and none when the last seconds turn bad", () => {
    expect(watched(0.01, times(60, 2, 0)).state).toBe("too few");
    expect(watched(0.01, [...times(60, 40, 0), ...times(2, 40, 3)]).state).toBe("above");
  });

  it("says what is measured above it over the whole watch, though a sequential test would go on", () => {
    // 1.05 %: nearer to half of it than a test of half against twice can tell from below.
    const seconds = Array.from({ length: 300 }, (_, second): [number, number] => [
      200,
      second % 10 === 0 ? 3 : 2,
    ]);
    expect(watched(0.01, seconds, { over: false }).state).not.toBe("held");
    expect(watched(0.01, seconds, { over: true }).state).toBe("broken");
  });

  it("is told by fewer requests where a short bake may exclude only a larger share", () => {
    expect(watched(0.01, times(8, 40, 0)).state).toBe("too few");
    expect(watched(0.01, times(8, 40, 0), { fitted: true }).state).toBe("held");
    expect(watched(0.01, times(15, 40, 0), { fitted: true }).state).toBe("held");
    expect(watched(0.01, times(15, 40, 4), { fitted: true }).state).toBe("broken");
    expect(watched(0.01, times(1, 15, 0), { fitted: true }).state).toBe("too few");
  });
});

describe("what a watch sees", () => {
  it("follows from its requests: 2289 tell 2 % from half a per cent, 451 tell 10 % from 2.5 %", () => {
    expect([0.01, 0.02, 0.05].map(requestsToTell)).toEqual([2289, 1141, 451]);
  });

  it("is the smallest share that it would hold less than once in a hundred times", () => {
    const sees = (requests: number, seconds: number, allowed: number, fitted = false) =>
      visible({ requests, seconds, allowed, fitted })?.toFixed(3) ?? null;
    expect(sees(2535, 65, 0.01)).toBe("0.015");
    expect(sees(130, 65, 0.01)).toBe(null);
    expect(sees(9150, 305, 0.05)).toBe("0.060");
    expect(sees(585, 15, 0.01, true)).toBe("0.036");
  });
});
