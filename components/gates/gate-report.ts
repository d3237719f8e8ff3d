import { mkdir, readdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** What a gate on the runner found: one line a rule, measured against allowed, and the file that holds all of it. */

export interface GateLine {
  /** @example "errors" */
  readonly rule: string;
  /** @example "0.4 %" */
  readonly measured: string;
  /** @example "< 2 %" */
  readonly allowed: string;
  /** unmeasured: there is no saying; as good as broken, never ok. */
  readonly state: "held" | "broken" | "unmeasured";
}

export interface GateReport {
  readonly gate: string;
  readonly lines: readonly GateLine[];
  /** Everything the lines rest on, as plain JSON without secrets. */
  readonly evidence: object;
}

/** A gate is passed when it measured something and every line of it held. */
export function passed({ lines }: GateReport): boolean {
  return lines.length > 0 && lines.every(({ state }) => state === "held");
}

/** @example "✗ errors 3 %, allowed < 2 %" */
export function lineText({ rule, measured, allowed, state }: GateLine): string {
  const mark = state === "held" ? "✓" : "✗";
  const note = state === "unmeasured" ? " (no verdict)" : "";
  return `${mark} ${rule}: ${measured}, allowed ${allowed}${note}`;
}

/** A line that compares one number with a limit it has to stay below; null was not measured. */
export function below(
  rule: string,
  value: number | null,
  limit: number,
  written: (value: number) => string,
): GateLine {
  const allowed = `< ${written(limit)}`;
  if (value === null || Number.isNaN(value)) {
    return { rule, measured: "not measured", allowed, state: "unmeasured" };
  }
  return { rule, measured: written(value), allowed, state: value < limit ? "held" : "broken" };
}

/** A line about something that holds or does not. */
export function holds(rule: string, ok: boolean, measured: string, allowed: string): GateLine {
  return { rule, measured, allowed, state: ok ? "held" : "broken" };
}

const keptFiles = 200;

/** Writes a gate's evidence to a file of its own and forgets the oldest; @returns its path */
export async function keepEvidence(folder: string, report: GateReport, at = new Date()): Promise<string> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const name = `${at.toISOString().replaceAll(":", "")}-${report.gate.replace(/[^A-Za-z0-9._-]/g, "_")}.json`;
  const path = join(folder, name);
  const { gate, lines, evidence } = report;
  const whole = { gate, at: at.toISOString(), passed: passed(report), lines, evidence };
  await writeFile(`${path}.draft`, `${JSON.stringify(whole, null, 2)}\n`, { mode: 0o600 });
  await rename(`${path}.draft`, path);
  const files = (await readdir(folder)).filter((file) => file.endsWith(".json")).sort();
  for (const file of files.slice(0, -keptFiles)) await rm(join(folder, file), { force: true });
  return path;
}

export const written = {
  share: (value: number) => `${round(value * 100)} %`,
  seconds: (value: number) => (value < 10 ? `${round(value * 1000)} ms` : `${round(value)} s`),
  perSecond: (value: number) => `${round(value)}/s`,
  count: (value: number) => String(value),
};

function round(value: number): number {
  return Number(value.toPrecision(4));
}
