import { readdir, readFile } from "node:fs/promises";
import { performance } from "node:perf_hooks";
import { setTimeout as pause } from "node:timers/promises";
import { isAlive, type ProcessIdentity } from "../toolkit/process-identity.ts";
import { run } from "../toolkit/run.ts";

/** A process the supervisor starts leads a process group of its own; what it starts stays in that group. */

export interface Member {
  readonly pid: number;
  readonly residentBytes: number;
}

/** Seconds a group gets to vanish after SIGKILL. */
const killSeconds = 10;

/** The living processes of a group. */
export async function membersOf(group: number): Promise<Member[]> {
  return process.platform === "linux" ? membersByProc(group) : membersByPs(group);
}

/**
 * Ends a process and its group: SIGTERM to the process, at most `graceSeconds` for it to end (0: none), then SIGKILL
 * to what is left. Returns when none is left. A later process that got the same pid is not touched.
 */
export async function endGroup(leader: ProcessIdentity, graceSeconds: number): Promise<void> {
  if (graceSeconds > 0 && (await isAlive(leader))) {
    signal(leader.pid, "SIGTERM");
    await waitUntil(async () => !(await isAlive(leader)), graceSeconds);
  }
  if (!(await isAlive(leader)) && exists(leader.pid) && !(await isZombie(leader.pid))) return;
  const gone = await waitUntil(async () => {
    const members = await membersOf(leader.pid);
    if (members.length > 0) signal(-leader.pid, "SIGKILL");
    return members.length === 0;
  }, killSeconds);
  if (!gone) throw new Error(`the processes of group ${leader.pid} do not end after SIGKILL`);
}

/** Looks every 10 to 50 ms. Returns whether the condition came to hold within the time. */
export async function waitUntil(condition: () => Promise<boolean>, seconds: number): Promise<boolean> {
  const deadline = performance.now() + seconds * 1000;
  for (let wait = 10; ; wait = Math.min(50, wait + 10)) {
    if (await condition()) return true;
    if (performance.now() >= deadline) return false;
    await pause(wait);
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It ended between the look and the signal.
  }
}

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

async function membersByProc(group: number): Promise<Member[]> {
  const members: Member[] = [];
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const stat = await readFile(`/proc/${name}/stat`, "utf8").catch(() => "");
    const [state, , pgrp] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    if (Number(pgrp) !== group || state === "Z") continue;
    const status = await readFile(`/proc/${name}/status`, "utf8").catch(() => "");
    const kibibytes = Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0);
    members.push({ pid: Number(name), residentBytes: kibibytes * 1024 });
  }
  return members;
}

async function membersByPs(group: number): Promise<Member[]> {
  const { stdout } = await run(["ps", "-A", "-o", "pid=,pgid=,rss=,stat="], { seconds: 10 });
  return stdout.split("\n").flatMap((line) => {
    const [pid, pgid, kibibytes, state = "Z"] = line.trim().split(/\s+/);
    if (Number(pgid) !== group || state.startsWith("Z")) return [];
    return [{ pid: Number(pid), residentBytes: Number(kibibytes) * 1024 }];
  });
}

/** Ended, and not yet taken note of by its parent: its pid cannot belong to anybody else. */
async function isZombie(pid: number): Promise<boolean> {
  if (process.platform === "linux") {
    const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
    return stat.slice(stat.lastIndexOf(")") + 2).startsWith("Z");
  }
  return (await run(["ps", "-o", "stat=", "-p", String(pid)], { seconds: 10 })).stdout.trim().startsWith("Z");
}
