import { describe, expect, it } from "vitest";
import { bakeSight, longestBakeSeconds } from "../../components/gates/policy.ts";
import { measuredLine, ruleName } from "../../components/gates/report.ts";
import {
  allowedShare,
  fitTable,
  isShare,
  judge,
  minimumBakeSeconds,
  type Reading,
  type Rule,
  type RuleTable,
} from "../../components/gates/rules.ts";
import { visible } from "../../components/gates/share-test.ts";
import {
  chronoRules,
  deiaRules,
  podRules,
  sanctumRules,
  traiderRules,
} from "../../components/gates/tables.ts";
import { bakePolicy } from "../../stacks/config/bake.ts";

const busy: Rule = { metric: "cpu", above: 0.05, forSeconds: 60, decision: "rollback" };

/** One reading every ten seconds. */
function everyTen(...values: number[]): Reading[] {
  return values.map((value, i) => ({ from: i * 10_000, to: (i + 1) * 10_000, value }));
}

function judged(rule: Rule, readings: Reading[], now = readings.at(-1)?.to ?? 0) {
  return judge(rule, readings, now, 30);
}

describe("a rule with a window", () => {
  it("is broken when every reading was above over the whole window, and not a reading earlier", () => {
    const above = Array.from({ length: 6 }, () => 0.0501);
    expect(judged(busy, everyTen(0, ...above.slice(1))).state).not.toBe("broken");
    expect(judged(busy, everyTen(0, ...above))).toEqual({
      state: "broken",
      value: 0.0501,
      atLeast: false,
      brokenAt: 70_000,
      reason: null,
    });
  });

  it("is not broken by one reading in between that was not above, however bad the others", () => {
    expect(judged(busy, everyTen(0, 1, 1, 1, 0.05, 1, 1, 1)).state).toBe("unsettled");
  });

  it("stays broken once it was", () => {
    expect(judged(busy, everyTen(1, 1, 1, 1, 1, 1, 0, 0, 0)).state).toBe("broken");
  });

  it("held at exactly what is allowed, and says the highest value that lasted for the window", () => {
    expect(judged(busy, everyTen(0.05, 0.05, 0.05, 0.05, 0.05, 0.05))).toMatchObject({
      state: "held",
      value: 0.05,
    });
    expect(judged(busy, everyTen(0, 0.9, 0.9, 0.01, 0.9, 0.9, 0.01, 0.02))).toMatchObject({
      state: "held",
      value: 0.01,
    });
  });

  it("is unsettled while above for less than its window: that never confirms a release", () => {
    expect(judged(busy, everyTen(0, 0, 0, 0, 0, 0, 1, 1))).toMatchObject({
      state: "unsettled",
      reason: "above for 20 s at this moment",
    });
  });

  it("is unmeasured before its window has passed, without readings, and when they stop", () => {
    expect(judged(busy, everyTen(0, 0, 0))).toMatchObject({
      state: "unmeasured",
      reason: "measured for 30 s of 60 s",
    });
    expect(judged(busy, [])).toMatchObject({ state: "unmeasured", value: null, reason: "not measured" });
    expect(judged(busy, everyTen(0, 0, 0, 0, 0, 0), 95_000)).toMatchObject({
      state: "unmeasured",
      reason: "not measured for the last 35 s",
    });
  });
});

describe("a rule at once", () => {
  const crash: Rule = { metric: "restarts", above: 0, forSeconds: 0, decision: "rollback" };

  it("is broken by one reading", () => {
    expect(judged(crash, everyTen(0, 0, 0))).toMatchObject({ state: "held", value: 0 });
    expect(judged(crash, everyTen(0, 0, 1))).toMatchObject({ state: "broken", value: 1, brokenAt: 30_000 });
  });

  it("that has to rise gives no verdict until it has, and is never broken", () => {
    const rises: Rule = {
      metric: "rises:ftso_submissions_total",
      above: 0,
      forSeconds: 0,
      decision: "rollback",
    };
    expect(judged(rises, [])).toMatchObject({ state: "unmeasured", reason: "not measured" });
    expect(judged(rises, everyTen(0, 0, 0))).toMatchObject({
      state: "unmeasured",
      reason: "it has not risen yet",
    });
    expect(judged(rises, everyTen(0, 0, 1))).toMatchObject({ state: "held", value: 1 });
  });
});

describe("the bake", () => {
  it("lasts at least the longest window and one scrape", () => {
    expect(
      [chronoRules, traiderRules, podRules, deiaRules].map((rules) => minimumBakeSeconds(rules, 5)),
    ).toEqual([65, 305, 305, 305]);
    expect(minimumBakeSeconds([], 5)).toBe(5);
  });

  const fitted = (rules: RuleTable, seconds: number, checkSeconds = 1) =>
    fitTable(rules, { seconds, checkSeconds, proved: false }).rules;

  it("fits a table to a shorter bake: a third of it for the longest window, two checks for the shortest", () => {
    const windows: RuleTable = [
      { metric: "healthFailures", above: 0, forSeconds: 300, decision: "rollback" },
      { metric: "cpu", above: 0.7, forSeconds: 180, decision: "rollback" },
      { metric: "restarts", above: 0, forSeconds: 0, decision: "rollback" },
    ];
    expect(fitted(windows, 30).map((rule) => rule.forSeconds)).toEqual([10, 6, 0]);
    expect(fitted(windows, 9).map((rule) => rule.forSeconds)).toEqual([3, 2, 0]);
    expect(fitted(windows, 3).map((rule) => rule.forSeconds)).toEqual([1, 1, 0]);
    expect(fitted(deiaRules, 1).map((rule) => rule.forSeconds)).toEqual([300, 0, 0, 0, 0.5, 0, 0, 0]);
  });

  it("says that the table was fitted, and fits none to a bake that is long enough", () => {
    const time = { checkSeconds: 5, proved: false };
    expect(fitTable(traiderRules, { ...time, seconds: 305 })).toEqual({ rules: traiderRules, fitted: false });
    expect(fitTable(traiderRules, { ...time, seconds: 304 }).fitted).toBe(true);
  });

  it("asks a release that has served a whole bake for no increase again: it has shown that", () => {
    const rises = (proved: boolean) =>
      fitTable(chronoRules, { seconds: 15, checkSeconds: 5, proved }).rules.some(({ metric }) =>
        metric.startsWith("rises:"),
      );
    expect([rises(false), rises(true)]).toEqual([true, false]);
  });

  it("keeps what is allowed, and the bytes that a process may grow by", () => {
    const leak = fitted(deiaRules, 30).find((rule) => rule.metric === "memoryGrowth")!;
    expect(leak.forSeconds).toBe(15);
    expect((leak.above * leak.forSeconds) / 60).toBeCloseTo(200_000_000);
    expect(fitted(deiaRules, 30)[0]!.above).toBe(0.05);
  });

  it("lets no single failed check of a short bake undo a rollback: two in a row do", () => {
    const [health] = fitted(podRules, 15, 5);
    expect(health).toEqual({ metric: "healthFailures", above: 1, forSeconds: 5, decision: "rollback" });
    const failed = (value: number, at: number) => ({ from: (at - 5) * 1000, to: at * 1000, value });
    const judged = (...counts: number[]) =>
      judge(
        health!,
        counts.map((count, index) => failed(count, (index + 1) * 5)),
        counts.length * 5000,
        15,
      ).state;
    expect(judged(0, 1, 0)).toBe("held");
    expect(judged(0, 1, 2)).toBe("broken");
  });
});

describe("the line of a rule", () => {
  it("names the rule", () => {
    expect([...chronoRules, ...deiaRules].map(ruleName)).toEqual([
      "errorRate > 1 % for 60 s",
      "p99 > 1000 ms for 60 s",
      "counter:ftso_submissions_failed_total > 0",
      "rises:ftso_submissions_total by more than 0",
      "restarts > 0",
      "healthFailures > 2 in a row",
      "errorRate > 5 % for 300 s",
      "p95 > 5000 ms",
      "restarts > 0",
      "databaseFailures > 1 in a row",
      "memoryGrowth > 100 MB/min over 120 s",
      "healthFailures > 2 in a row",
      "errorRate > 1 %",
      "p95 > 2000 ms",
    ]);
  });

  it("says measured against allowed", () => {
    const line = (values: number[]) =>
      measuredLine(busy, { service: "api", judgement: judged(busy, everyTen(...values)) });
    const bad = Array.from({ length: 6 }, () => 0.2);
    expect(line([0.002, 0.002, 0.002, 0.002, 0.002, 0.002]).text).toBe("cpu 0.2 % ≤ 5 % over 60 s (api)");
    expect(line(bad).text).toBe("cpu 20 % > 5 % over 60 s (api, rollback)");
    expect(line(bad)).toMatchObject({ measured: "20 % (api)", allowed: "≤ 5 % over 60 s" });
    expect(line([0, 0, 0, 0, 0, 0, 0.2]).text).toBe(
      "cpu 0 % ≤ 5 % over 60 s (api, above for 10 s at this moment, unsettled)",
    );
    expect(line([]).text).toBe("cpu – ≤ 5 % over 60 s (api, not measured, unmeasured)");
    expect(measuredLine(busy, null).text).toBe("cpu – ≤ 5 % over 60 s: not applicable");
  });

  it("of a share says of how many requests, who counted them, and what so many can show", () => {
    const errors: Rule = { metric: "errorRate", above: 0.01, forSeconds: 60, decision: "rollback" };
    const judgement = { state: "held", value: 0.002, atLeast: false, brokenAt: null, reason: null } as const;
    const counted = { ...judgement, requests: 2535, bad: 5, sees: () => 0.0163 };
    expect(measuredLine(errors, { service: "api", source: "service", judgement: counted })).toMatchObject({
      measured: "0.2 %, 5 of 2535 requests (api)",
      text: "errorRate 0.2 % ≤ 1 % over 60 s (api, 5 of 2535 requests, sees 1.63 % with 99 %)",
    });
    const door = measuredLine(errors, { service: "api", source: "door", judgement: counted });
    expect(door.measured).toBe("0.2 %, 5 of 2535 requests (api at the front door)");
    const few = {
      ...counted,
      state: "unmeasured",
      reason: "too few requests to tell",
      sees: () => null,
    } as const;
    expect(measuredLine(errors, { service: "api", source: "own", judgement: few }).text).toBe(
      "errorRate 0.2 % ≤ 1 % over 60 s (api by our own requests, 5 of 2535 requests, sees nothing yet, " +
        "too few requests to tell, unmeasured)",
    );
  });
});

describe("what a bake sees with nothing but its own requests", () => {
  const policy = (rules: RuleTable, environment: "staging" | "production") =>
    bakePolicy(environment, { bake: {} }, { rules, probes: ["/"] });

  it("follows from the table and the bake's time, and is said", () => {
    expect(bakeSight(policy(chronoRules, "production"))).toBe(
      "65 s, 39 requests/s of our own; with 99 % it sees 1.5 % of errors (allowed 1 %), " +
        "1.5 % of requests slower than 1 s (allowed 1 %)",
    );
    expect(bakeSight(policy(traiderRules, "production"), true)).toBe(
      "15 s, 30 requests/s of our own; with 99 % it sees 8.6 % of errors (allowed 5 %), " +
        "8.6 % of requests slower than 1 s (allowed 5 %)",
    );
    expect(bakeSight({ ...policy(chronoRules, "staging"), bakeSeconds: 10, probesPerSecond: 1 })).toBe(
      "10 s, 1 requests/s of our own; too few requests to see errors, requests slower than 1 s",
    );
  });

  it("is at most twice what is allowed, in the first bake of every system in production", () => {
    for (const rules of [chronoRules, sanctumRules, podRules, traiderRules, deiaRules]) {
      const { bakeSeconds: seconds, probesPerSecond } = policy(rules, "production");
      for (const rule of rules.filter(({ metric, decision }) => isShare(metric) && decision === "rollback")) {
        const allowed = allowedShare(rule);
        const sees = visible({ requests: probesPerSecond * seconds, seconds, allowed, fitted: false });
        expect(sees).toBeLessThanOrEqual(2 * allowed);
      }
    }
  });

  it("may take as long again, ten seconds at least and ten minutes at most, and a minute more", () => {
    const longest = (bakeSeconds: number) => longestBakeSeconds({ bakeSeconds });
    expect([3, 65, 305, 86_400].map(longest)).toEqual([73, 190, 670, 87_060]);
  });
});
