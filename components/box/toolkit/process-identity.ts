import { readFile } from "node:fs/promises";
import { performance } from "node:perf_hooks";
import { setTimeout as pause } from "node:timers/promises";
import { run } from "./run.ts";

/** A process that can be told from a later one with the same pid. */
export interface ProcessIdentity {
  readonly pid: number;
  /** When it started, as the system tells it. */
  readonly started: string;
}

export async function identify(pid: number): Promise<ProcessIdentity | null> {
  const started = await startTime(pid);
  return started === null ? null : { pid, started };
}

export async function isAlive({ pid, started }: ProcessIdentity): Promise<boolean> {
  return (await startTime(pid)) === started;
}

/** Kills the process, if it is still the same one, and waits until it is gone. */
export async function endProcess(identity: ProcessIdentity, seconds: number): Promise<void> {
  const deadline = performance.now() + seconds * 1000;
  while (await isAlive(identity)) {
    try {
      process.kill(identity.pid, "SIGKILL");
    } catch {
      // It ended between the look and the signal.
    }
    if (performance.now() > deadline) throw new Error(`process ${identity.pid} does not end`);
    await pause(20);
  }
}

async function startTime(pid: number): Promise<string | null> {
  if (process.platform === "linux") {
    try {
      const stat = await readFile(`/proc/${pid}/stat`, "utf8");
      const [state, ...fields] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      return state === "Z" ? null : (fields[18] ?? null);
    } catch {
      return null;
    }
  }
  const { code, stdout } = await run(["ps", "-o", "lstart=", "-p", String(pid)], { seconds: 5 });
  return code === 0 ? stdout.trim() : null;
}
