import { readdirSync, readFileSync } from "node:fs";

/** A process that cannot be mistaken for a later one with the same number. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Start time in clock ticks since the machine's boot. */
  readonly started: string;
}

/** The identity of a running process; undefined when there is none (or only a zombie). */
export function identify(pid: number): ProcessIdentity | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The second field is the name in brackets and may hold spaces: count from behind it.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const started = fields[19];
    return fields[0] === "Z" || started === undefined ? undefined : { pid, started };
  } catch {
    return undefined;
  }
}

export function isAlive(one: ProcessIdentity): boolean {
  return identify(one.pid)?.started === one.started;
}

/** SIGKILLs the process, if it is still the one meant, and waits until it is gone. */
export async function end(one: ProcessIdentity, timeoutSeconds = 15): Promise<void> {
  if (!isAlive(one)) return;
  process.kill(one.pid, "SIGKILL");
  await until(() => !isAlive(one), timeoutSeconds, `process ${one.pid} does not end`);
}

export function children(pid: number): number[] {
  const found: number[] = [];
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, "utf8");
      if (Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]) === pid) found.push(Number(name));
    } catch {
      // It ended while the list was read.
    }
  }
  return found;
}

/** Its children and theirs and so on, each after its own. */
export function descendants(pid: number): number[] {
  return children(pid).flatMap((child) => [...descendants(child), child]);
}

/** The process's number in each pid namespace it is in, from this one's inwards; empty when it is gone. */
export function namespacePids(pid: number): number[] {
  try {
    const line = /^NSpid:\s+(.*)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    return line ? line.split(/\s+/).map(Number) : [];
  } catch {
    return [];
  }
}

/** Waits until `condition` holds, looking every `everyMs` (default 20); rejects with `otherwise` after the timeout. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  timeoutSeconds: number,
  otherwise: string,
  everyMs = 20,
): Promise<void> {
  const deadline = performance.now() + timeoutSeconds * 1000;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`${otherwise} (waited ${timeoutSeconds} s)`);
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}
