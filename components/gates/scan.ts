import { spawn } from "node:child_process";
import { onPath } from "../../engine/programs.ts";
import { type GateLine, type GateReport, holds } from "./gate-report.ts";

/** Programs on the runner that look at what is to be deployed, and exit 0 when they find nothing (POD-11, TRD-11). */
export interface ScanGateArgs {
  readonly name: string;
  readonly scans: readonly Scan[];
}

export interface Scan {
  /** @example "vulnerabilities" */
  readonly name: string;
  /** Program and arguments, no shell. `{subject}` stands for each subject. */
  readonly command: readonly string[];
  /** Images by digest, folders; one run each. Absent: one run. */
  readonly subjects?: readonly string[];
  /** Bound of each run. @default 600 */
  readonly seconds?: number;
  /** Config key that names the command, for errors. @example "pod:scans" */
  readonly key: string;
}

/** @throws where a scanner is not on this machine: nothing that was not looked at is deployed */
export async function scanGate({ name, scans }: ScanGateArgs, signal?: AbortSignal): Promise<GateReport> {
  await Promise.all(scans.map(requireScanner));
  const lines: GateLine[] = [];
  const runs: object[] = [];
  for (const scan of scans) {
    for (const subject of scan.subjects ?? [null]) {
      const run = await runScan(scan, subject, signal);
      lines.push(lineOf(scan, subject, run));
      runs.push({ scan: scan.name, subject, ...run });
    }
  }
  return { gate: name, lines, evidence: { runs } };
}

async function requireScanner({ name, command, key }: Scan): Promise<void> {
  const [program] = command;
  if (program === undefined) throw new Error(`${key}: ${name} has no command`);
  const found = program.includes("/") || (await onPath(program, process.env)).length > 0;
  if (found) return;
  throw new Error(
    `${key}: "${program}", which scans for ${name}, is not on this machine: install it or change ${key}`,
  );
}

interface Run {
  readonly exit: number | string;
  readonly seconds: number;
  /** The last lines of what it said. */
  readonly summary: readonly string[];
}

function runScan(scan: Scan, subject: string | null, signal?: AbortSignal): Promise<Run> {
  const { command, seconds = 600, key } = scan;
  const [program = "", ...words] = command.map((word) =>
    subject === null ? word : word.replaceAll("{subject}", subject),
  );
  const began = performance.now();
  return new Promise((resolve, reject) => {
    const child = spawn(program, words, { stdio: ["ignore", "pipe", "pipe"], detached: true });
    // Scanners start others: all of them end with the bound, and with this gate.
    const stop = () => {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
      } catch {}
    };
    let why: string | null = null;
    const timer = setTimeout(() => {
      why = `no end within ${seconds} s`;
      stop();
    }, seconds * 1000);
    process.once("exit", stop);
    signal?.addEventListener("abort", stop, { once: true });
    let text = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (more: string) => {
        text = (text + more).slice(-20_000);
      });
    }
    const settle = () => {
      clearTimeout(timer);
      process.removeListener("exit", stop);
      signal?.removeEventListener("abort", stop);
    };
    child.once("error", (error) => {
      settle();
      reject(new Error(`${key}: "${program}" cannot be run: ${error.message}`));
    });
    child.once("close", (code, killedBy) => {
      settle();
      if (signal?.aborted) return reject(signal.reason);
      const summary = text
        .split("\n")
        .map((line) => line.trimEnd())
        .filter(Boolean)
        .slice(-20);
      const exit = why ?? code ?? killedBy ?? "?";
      resolve({ exit, seconds: Math.round(performance.now() - began) / 1000, summary });
    });
  });
}

function lineOf({ name }: Scan, subject: string | null, { exit, summary }: Run): GateLine {
  const rule = subject === null ? name : `${name} of ${subject}`;
  const last = summary.at(-1)?.trim().slice(0, 160) ?? "it said nothing";
  const ended = typeof exit === "number" ? `exit ${exit}` : exit;
  return holds(rule, exit === 0, `${ended}: ${last}`, "exit 0");
}
