import { PassThrough } from "node:stream";
import { describe, expect, it } from "vitest";
import {
  type EngineEvent,
  failuresBySystem,
  RunEvents,
  stepResolver,
  touchedAnything,
} from "../../operations/events.ts";
import { liveLine, showProgress } from "../../operations/progress.ts";
import { createVoice } from "../../operations/voice.ts";

const resolve = stepResolver(["chrono", "chrono-edge", "pod"]);
const urn = (name: string) => `urn:pulumi:trial::switchyard::command:local:Command::${name}`;

function step(
  kind: "resourcePreEvent" | "resOutputsEvent" | "resOpFailedEvent",
  name: string,
  op = "create",
): EngineEvent {
  const state = { custom: true };
  const metadata = {
    op,
    urn: urn(name),
    type: "command:local:Command",
    old: state,
    new: op === "delete" ? null : state,
  };
  return { [kind]: { metadata } };
}

function play(events: readonly EngineEvent[], options: { json: boolean; terminal?: boolean }) {
  let now = 0;
  const clock = () => now;
  const stdout = Object.assign(new PassThrough(), { isTTY: options.terminal === true });
  const voice = createVoice(stdout, new PassThrough(), options);
  const run = new RunEvents(resolve, clock);
  const display = showProgress(voice, clock);
  for (const event of events) {
    now += 1500;
    const progress = run.take(event);
    if (progress) display.show(progress);
  }
  display.end();
  return { text: String(stdout.read() ?? ""), record: run.record };
}

const rollout: EngineEvent[] = [
  step("resourcePreEvent", "chrono-v2-rc.1-0123456789ab-place"),
  {
    diagnosticEvent: {
      message: "<{%fg 3%}>v1 renders differently now<{%reset%}>\n",
      severity: "warning",
      urn: urn("chrono-v1-aaaaaaaaaaaa"),
    },
  },
  { diagnosticEvent: { message: "noise", severity: "debug" } },
  step("resOutputsEvent", "chrono-v2-rc.1-0123456789ab-place"),
  step("resourcePreEvent", "chrono-cutover", "update"),
  step("resourcePreEvent", "pod-v1-bbbbbbbbbbbb-gates", "same"),
  { diagnosticEvent: { message: "error rate 23 %\n", severity: "error", urn: urn("chrono-cutover") } },
  step("resOpFailedEvent", "chrono-cutover", "update"),
  step("resourcePreEvent", "chrono-v0-cccccccccccc-place", "delete"),
  step("resOutputsEvent", "chrono-v0-cccccccccccc-place", "delete"),
  { diagnosticEvent: { message: "update failed", severity: "error", urn: urn("switchyard-trial") } },
];

describe("names of resources", () => {
  it("tell system, release, fingerprint and step, whatever dashes are in them", () => {
    const [system, release, fingerprint] = ["chrono", "v2-rc.1", "0123456789ab"];
    expect(resolve(urn("chrono-v2-rc.1-0123456789ab-place"))).toEqual({
      system,
      release,
      fingerprint,
      name: "place",
    });
    expect(resolve(urn("chrono-v2-rc.1-0123456789ab"))).toEqual({
      system,
      release,
      fingerprint,
      name: "release",
    });
    const none = { release: null, fingerprint: null };
    expect(resolve(urn("chrono-edge-cutover"))).toEqual({ ...none, system: "chrono-edge", name: "cutover" });
    expect(resolve(urn("chrono-cutover"))).toEqual({ ...none, system: "chrono", name: "cutover" });
    expect(resolve(urn("chronometer"))).toEqual({ ...none, system: null, name: "chronometer" });
  });
});

describe("progress", () => {
  it("is one line a finished step when nobody looks at a terminal", () => {
    expect(play(rollout, { json: false }).text).toBe(
      [
        "           warning chrono: v1 renders differently now",
        "    6.0 s  ✓ chrono   v2-rc.1 place                  4.5 s",
        "   12.0 s  ✗ chrono   cutover                        4.5 s  failed",
        "   15.0 s  ✓ chrono   v0 place removed               1.5 s",
        "",
      ].join("\n"),
    );
  });

  it("is one object a line for machines", () => {
    const lines = play(rollout, { json: true }).text.trim().split("\n");
    expect(lines.map((line) => JSON.parse(line))).toEqual([
      { type: "note", system: "chrono", severity: "warning", text: "v1 renders differently now" },
      {
        ...{ type: "step", system: "chrono", release: "v2-rc.1", fingerprint: "0123456789ab", name: "place" },
        ...{ op: "create", failed: false, seconds: 4.5, elapsed: 6 },
      },
      {
        ...{ type: "step", system: "chrono", release: null, fingerprint: null, name: "cutover" },
        ...{ op: "update", failed: true, seconds: 4.5, elapsed: 12 },
      },
      {
        ...{ type: "step", system: "chrono", release: "v0", fingerprint: "cccccccccccc", name: "place" },
        ...{ op: "delete", failed: false, seconds: 1.5, elapsed: 15 },
      },
    ]);
  });

  it("on a terminal shows what runs now, and takes that away at the end", () => {
    const { text } = play(rollout.slice(0, 1), { json: false, terminal: true });
    expect(text).toContain("… chrono v2-rc.1 place (0.0 s)");
    expect(text.split("\n").at(-1)).toContain("\u001b[2K\u001b[1A\u001b[2K");
    const running = { ...resolve(urn("pod-cutover")), urn: urn("pod-cutover"), op: "update", began: 1000 };
    expect(liveLine([running], 0, 4200)).toBe("    4.2 s  … pod cutover (3.2 s)");
    expect(liveLine([], 0, 100)).toBe("    0.1 s  … the engine thinks");
  });
});

describe("what a run leaves", () => {
  it("knows which system failed, why, and what is placed", () => {
    const { record } = play(rollout, { json: true });
    expect([...failuresBySystem(record)]).toEqual([["chrono", "error rate 23 %"]]);
    expect(record.placed).toEqual({ chrono: { "v2-rc.1": "0123456789ab" }, pod: { v1: "bbbbbbbbbbbb" } });
    expect(touchedAnything(record)).toBe(true);
  });

  it("knows an error that belongs to no system, and that nothing was touched", () => {
    const { record } = play(
      [
        {
          diagnosticEvent: {
            message: "the config has one problem",
            severity: "error",
            urn: urn("switchyard-trial"),
          },
        },
      ],
      { json: true },
    );
    expect([...failuresBySystem(record)]).toEqual([["", "the config has one problem"]]);
    expect(touchedAnything(record)).toBe(false);
  });

  it("has the stack's outputs and the summary", () => {
    const state = { custom: false, outputs: { chrono: { api: "http://127.0.0.1:8080" } } };
    const metadata = { op: "same", urn: urn("s"), type: "pulumi:pulumi:Stack", old: null, new: state };
    const summary = { durationSeconds: 1, resourceChanges: { same: 2 }, result: "succeeded" } as const;
    const { record } = play([{ resOutputsEvent: { metadata } }, { summaryEvent: summary }], { json: true });
    expect(record.outputs).toEqual({ chrono: { api: "http://127.0.0.1:8080" } });
    expect(record.summary).toEqual({ result: "succeeded", changes: { same: 2 } });
  });
});
