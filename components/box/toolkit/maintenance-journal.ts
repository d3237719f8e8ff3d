import { performance } from "node:perf_hooks";
import { setTimeout as pause } from "node:timers/promises";
import type { Finding } from "../../rollout/cutover/machine.ts";
import { keepEvidence } from "./evidence.ts";
import type { Host } from "./host.ts";
import { type ReleaseRecord, readSecrets } from "./records.ts";
import { redactor } from "./redact.ts";
import { doorsOf, unitName } from "./units.ts";

/** The first seconds of a process that has just been started: no error in its journal (DEI-3, step 3.4). */

const readLines = 200;

/** What the journals of a release end with before it is started; what was there then is not held against it. */
export async function journalsBefore(host: Host, release: ReleaseRecord): Promise<Map<string, string[]>> {
  const units = doorsOf(release).map(({ service }) => unitName(release, service));
  const journals = await Promise.all(
    units.map(async (unit) => [unit, await host.journal(unit, readLines)] as const),
  );
  return new Map(journals);
}

/** Watches the journals for `seconds`; ends at the first line that says error, and when a process ends by itself. */
export async function watchJournals(
  host: Host,
  release: ReleaseRecord,
  before: ReadonlyMap<string, readonly string[]>,
  seconds: number,
): Promise<Finding | null> {
  const redact = redactor(Object.values(await readSecrets(host, release)));
  const deadline = performance.now() + seconds * 1000;
  for (;;) {
    const last = performance.now() >= deadline;
    for (const { service } of doorsOf(release)) {
      const unit = unitName(release, service);
      const lines = newLines(before.get(unit) ?? [], await host.journal(unit, readLines));
      const [error] = errorLines(lines);
      const { active, restarts } = await host.unitState(unit);
      if (error === undefined && active === "running" && restarts === 0) continue;
      return {
        rule: `${service.name} logs no error in its first ${seconds} s`,
        measured: redact(error ?? `the process is ${active} after ${restarts} restarts`),
        allowed: "none",
        at: new Date(),
        explain: () => keepEvidence(host, release, "journal", { lines: lines.map(redact) }),
      };
    }
    if (last) return null;
    await pause(Math.min(500, Math.max(1, deadline - performance.now())));
  }
}

/** Lines that were logged after `before` was read; both are the last lines of one journal. */
export function newLines(before: readonly string[], now: readonly string[]): string[] {
  for (let kept = Math.min(before.length, now.length); kept > 0; kept--) {
    const end = before.slice(-kept);
    if (end.every((line, index) => line === now[index])) return now.slice(kept);
  }
  return [...now];
}

/** Also TypeError, UnhandledPromiseRejection and what systemd says of a process that failed. */
const says = /\berrors?\b|\b\w+Error\b|\b(fatal|panic|uncaught|unhandled|traceback)|exception\b|\bFAILURE\b/i;
const saysNone = /\b(no|0|zero|without( any)?) errors?\b/gi;

/** Lines that tell of an error, and not of there being none. */
export function errorLines(lines: readonly string[]): string[] {
  return lines.filter((line) => says.test(line.replace(saysNone, "")));
}
