import { describe, expect, it } from "vitest";
import { measuredLine, ruleName } from "../../components/gates/report.ts";
import {
  fitTable,
  judge,
  minimumBakeSeconds,
  type Reading,
  type Rule,
} from "../../components/gates/rules.ts";
import { chronoRules, deiaRules, podRules, traiderRules } from "../../components/gates/tables.ts";

const errors: Rule = { metric: "errorRate", above: 0.05, forSeconds: 60, decision: "rollback" };

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
    expect(judged(errors, everyTen(0, ...above.slice(1))).state).not.toBe("broken");
    expect(judged(errors, everyTen(0, ...above))).toEqual({
      state: "broken",
      value: 0.0501,
      atLeast: false,
      brokenAt: 70_000,
      aboveSeconds: 60,
      reason: null,
    });
  });

  it("is not broken by one reading in between that was not above, however bad the others", () => {
    expect(judged(errors, everyTen(0, 1, 1, 1, 0.05, 1, 1, 1)).state).toBe("unsettled");
  });

  it("stays broken once it was", () => {
    expect(judged(errors, everyTen(1, 1, 1, 1, 1, 1, 0, 0, 0)).state).toBe("broken");
  });

  it("held at exactly what is allowed, and says the highest value that lasted for the window", () => {
    expect(judged(errors, everyTen(0.05, 0.05, 0.05, 0.05, 0.05, 0.05))).toMatchObject({
      state: "held",
      value: 0.05,
    });
    expect(judged(errors, everyTen(0, 0.9, 0.9, 0.01, 0.9, 0.9, 0.01, 0.02))).toMatchObject({
      state: "held",
      value: 0.01,
    });
  });

  it("is unsettled while above for less than its window: that never confirms a release", () => {
    expect(judged(errors, everyTen(0, 0, 0, 0, 0, 0, 1, 1))).toMatchObject({
      state: "unsettled",
      aboveSeconds: 20,
      reason: "above for 20 s at this moment",
    });
  });

  it("is unmeasured before its window has passed, without readings, and when they stop", () => {
    expect(judged(errors, everyTen(0, 0, 0))).toMatchObject({
      state: "unmeasured",
      reason: "measured for 30 s of 60 s",
    });
    expect(judged(errors, [])).toMatchObject({ state: "unmeasured", value: null, reason: "not measured" });
    expect(judged(errors, everyTen(0, 0, 0, 0, 0, 0), 95_000)).toMatchObject({
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

  it("is unmeasured where the histogram ends below what is allowed", () => {
    const slow: Rule = { metric: "p95", above: 5, forSeconds: 0, decision: "rollback" };
    const readings = [{ from: 0, to: 10_000, value: 1, atLeast: true }];
    expect(judged(slow, readings)).toMatchObject({ state: "unmeasured", atLeast: true });
    expect(judged({ ...slow, above: 0.5 }, readings)).toMatchObject({ state: "broken", value: 1 });
  });
});

describe("the bake", () => {
  it("lasts at least the longest window and one scrape", () => {
    expect(
      [chronoRules, traiderRules, podRules, deiaRules].map((rules) => minimumBakeSeconds(rules, 5)),
    ).toEqual([65, 305, 305, 305]);
    expect(minimumBakeSeconds([], 5)).toBe(5);
  });

  it("fits a table to a shorter bake: a third of it for the longest window, two scrapes for the shortest", () => {
    expect(fitTable(traiderRules, 30, 1).map((rule) => rule.forSeconds)).toEqual([10, 6, 0, 0]);
    expect(fitTable(podRules, 9, 1).map((rule) => rule.forSeconds)).toEqual([3, 2, 2, 0, 0]);
    expect(fitTable(traiderRules, 305, 5)).toBe(traiderRules);
    expect(fitTable(podRules, 305, 5)).toBe(podRules);
    expect(fitTable(traiderRules, 3, 1).map((rule) => rule.forSeconds)).toEqual([1, 1, 0, 0]);
    expect(fitTable(deiaRules, 1, 1).map((rule) => rule.forSeconds)).toEqual([0, 0, 0, 0, 0.5, 0, 0, 0]);
  });

  it("keeps what is allowed, and the bytes that a process may grow by", () => {
    const leak = fitTable(deiaRules, 30, 1).find((rule) => rule.metric === "memoryGrowth")!;
    expect(leak.forSeconds).toBe(15);
    expect((leak.above * leak.forSeconds) / 60).toBeCloseTo(200_000_000);
    expect(fitTable(deiaRules, 30, 1)[0]!.above).toBe(0.05);
  });

  it("lets no single failed check of a short bake undo a rollback: two in a row do", () => {
    const [health] = fitTable(podRules, 15, 5);
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
    const line = (values: number[]) => measuredLine(errors, "api", judged(errors, everyTen(...values)));
    const bad = Array.from({ length: 6 }, () => 0.2);
    expect(line([0.002, 0.002, 0.002, 0.002, 0.002, 0.002]).text).toBe(
      "errorRate 0.2 % ≤ 5 % over 60 s (api)",
    );
    expect(line(bad).text).toBe("errorRate 20 % > 5 % over 60 s (api, rollback)");
    expect(line(bad)).toMatchObject({ measured: "20 % (api)", allowed: "≤ 5 % over 60 s" });
    expect(line([0, 0, 0, 0, 0, 0, 0.2]).text).toBe(
      "errorRate 0 % ≤ 5 % over 60 s (api, above for 10 s at this moment, unsettled)",
    );
    expect(line([]).text).toBe("errorRate – ≤ 5 % over 60 s (api, not measured, unmeasured)");
    expect(measuredLine(errors, null, null).text).toBe("errorRate – ≤ 5 % over 60 s: not applicable");
  });
});
