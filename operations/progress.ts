import { createLogUpdate } from "log-update";
import colours from "picocolors";
import type { FinishedStep, Progress, RunningStep } from "./events.ts";
import type { Voice } from "./voice.ts";

/**
 * One line a step, by system, with the time it took and the time since the command began. On a terminal what runs now
 * stands in one live line below; elsewhere there are finished lines only.
 */
export interface ProgressDisplay {
  show(progress: Progress): void;
  /** Takes the live line away; nothing may be shown afterwards. */
  end(): void;
}

const REDRAW_MILLISECONDS = 250;

export function showProgress(voice: Voice, now: () => number = Date.now): ProgressDisplay {
  const began = now();
  const running = new Map<string, RunningStep>();
  const live = voice.terminal ? createLogUpdate(voice.stdout) : null;
  const draw = () => live?.(liveLine([...running.values()], began, now()));
  const timer = live ? setInterval(draw, REDRAW_MILLISECONDS) : null;
  const say = (text: string) => {
    live?.clear();
    voice.line(text);
    draw();
  };
  return {
    show(progress) {
      if (progress.kind === "began") {
        running.set(progress.step.urn, progress.step);
        draw();
      } else if (progress.kind === "ended") {
        running.delete(progress.step.urn);
        say(finishedLine(progress.step, began, voice.terminal));
        const { urn: _urn, began: from, ended, ...step } = progress.step;
        voice.emit("step", { ...step, seconds: (ended - from) / 1000, elapsed: (ended - began) / 1000 });
      } else {
        say(noteLine(progress));
        voice.emit("note", { system: progress.system, severity: progress.severity, text: progress.text });
      }
    },
    end() {
      if (timer) clearInterval(timer);
      live?.clear();
      live?.done();
    },
  };
}

/** `  12.4 s  ✓ chrono   v3 place      4.2 s`; a failed one says so in words too, for readers without colours. */
export function finishedLine(step: FinishedStep, began: number, coloured = false): string {
  const { green, red } = colours.createColors(coloured);
  const mark = step.failed ? red("✗") : green("✓");
  const took = seconds(step.ended - step.began);
  const line = `${seconds(step.ended - began).padStart(9)}  ${mark} ${stepText(step).padEnd(36)} ${took.padStart(8)}`;
  return step.failed ? `${line}  ${red("failed")}` : line;
}

export function liveLine(running: readonly RunningStep[], began: number, now: number): string {
  const steps = running.map((step) => `${stepText(step).replace(/ +/g, " ")} (${seconds(now - step.began)})`);
  return `${seconds(now - began).padStart(9)}  … ${steps.join(" · ") || "the engine thinks"}`;
}

function noteLine({ text, system, severity }: Progress & { kind: "note" }): string {
  const word = severity === "warning" ? "warning" : "note";
  return `           ${word}${system ? ` ${system}` : ""}: ${text.replaceAll("\n", "\n           ")}`;
}

function stepText({ system, release, name, op }: RunningStep): string {
  const what = [release, name].filter((part) => part !== null).join(" ");
  const removed = op.startsWith("delete") || op === "discard" ? " removed" : "";
  return `${(system ?? "stack").padEnd(8)} ${what}${removed}`;
}

export const seconds = (milliseconds: number): string => `${(Math.max(0, milliseconds) / 1000).toFixed(1)} s`;
