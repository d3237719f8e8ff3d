import { describe, expect, it } from "vitest";
import { badReason, type Fall, failureReport } from "../../operations/report.ts";

const fall: Fall = {
  system: "chrono",
  release: "v3",
  failure: {
    fingerprint: "333333333333",
    release: "v3",
    step: "bake",
    rule: "error rate",
    measured: "23.1 %",
    allowed: "5 % over 10 s",
    at: "2026-11-21T09:00:11.000Z",
    verdictAt: "2026-11-21T09:00:12.000Z",
    journal: ["started", "GET / 500", "GET / 500 \n  at handler", "exited with 1"],
    evidence: "/var/lib/switchyard/evidence/chrono-v3.json",
  },
  error: "command failed",
  errorStep: "cutover",
  outcome: "taken back to v2",
  serves: "v2, confirmed (chrono-api-8080 v2)",
  markedBad: true,
  files: ".switchyard/runs/1",
};

describe("the report of a release that did not hold", () => {
  it("is the journal, and five lines: the rule, measured against allowed, the journal's end, the evidence, what serves", () => {
    expect(failureReport(fall).join("\n")).toBe(
      `chrono: last 4 journal lines of v3
  started
  GET / 500
  GET / 500 
  at handler
  exited with 1
chrono: v3 broke the rule "error rate" in bake; taken back to v2
  measured  23.1 %, allowed 5 % over 10 s (verdict 2026-11-21T09:00:12.000Z)
  journal   GET / 500 ⏎ GET / 500 ⏎ at handler ⏎ exited with 1
  evidence  /var/lib/switchyard/evidence/chrono-v3.json
  serves    v2, confirmed (chrono-api-8080 v2); v3 is marked bad, refused until --allow-bad`,
    );
  });

  it("names the leg of a system that has several", () => {
    const failure = fall.failure && { ...fall.failure, leg: "edge" };
    expect(failureReport({ ...fall, failure })).toContain(
      'chrono edge: v3 broke the rule "error rate" in bake; taken back to v2',
    );
  });

  it("is five lines too for what failed before the target had a say", () => {
    const early = {
      ...fall,
      failure: null,
      errorStep: "place",
      error: "the build broke\nexit 1",
      markedBad: false,
    };
    expect(failureReport(early).join("\n")).toBe(
      `chrono: v3 failed in place; taken back to v2
  measured  the build broke ⏎ exit 1
  journal   no lines
  evidence  .switchyard/runs/1
  serves    v2, confirmed (chrono-api-8080 v2)`,
    );
  });

  it("takes the journal out of what a gate said, every line of it (CHR-7)", () => {
    const lines = Array.from({ length: 100 }, (_, index) => `  api: line ${index + 1}`);
    const said = ["gate: api answers", "measured: 503", "last 100 journal lines:", ...lines, "evidence: /e"];
    const report = failureReport({ ...fall, failure: null, errorStep: "gates", error: said.join("\n") });
    expect(report).toEqual([
      "chrono: last 100 journal lines of v3",
      ...lines,
      "chrono: v3 failed in gates; taken back to v2",
      "  measured  gate: api answers ⏎ measured: 503 ⏎ evidence: /e",
      "  journal   api: line 98 ⏎ api: line 99 ⏎ api: line 100",
      "  evidence  .switchyard/runs/1",
      expect.stringMatching(/^ {2}serves {4}v2/),
    ]);
    const reason = badReason({ failure: null, errorStep: "gates", error: said.join("\n") });
    expect(reason).toBe("gates: gate: api answers ⏎ measured: 503 ⏎ evidence: /e");
  });

  it("leaves out the command line that the engine puts before what a step said", () => {
    const error = 'exit status 1: running "sh -c \\"x\\" place":\nno space left';
    expect(failureReport({ ...fall, failure: null, error })[1]).toBe("  measured  no space left");
  });

  it("cuts what is long: the end of a journal, the beginning of an error", () => {
    const long = { ...fall, failure: { ...fall.failure!, journal: [`${"a".repeat(300)}end`] } };
    expect(failureReport(long)).toContain(`  ${"a".repeat(300)}end`);
    expect(failureReport(long)).toContain(`  journal   …${"a".repeat(156)}end`);
    expect(failureReport({ ...fall, failure: null, error: "b".repeat(300) })[1]).toBe(
      `  measured  ${"b".repeat(159)}…`,
    );
  });
});

describe("the reason that the pins keep", () => {
  it("is one line with the rule, or with the step and its error", () => {
    expect(badReason(fall)).toBe("bake: error rate, measured 23.1 %, allowed 5 % over 10 s");
    expect(badReason({ ...fall, failure: null, error: "no space\nleft" })).toBe("cutover: no space ⏎ left");
  });
});
