import { readFile } from "node:fs/promises";
import type { UnitState } from "./host.ts";

/** What a unit's processes are doing, from systemd's properties and the kernel's files. */

export const stateProperties = [
  "LoadState",
  "ActiveState",
  "SubState",
  "NRestarts",
  "ControlGroup",
  "MemoryCurrent",
];

export function activeOf(properties: Readonly<Record<string, string>>): UnitState["active"] {
  switch (properties.ActiveState) {
    case "active":
    case "reloading":
      return "running";
    case "activating":
      return "starting";
    case "deactivating":
      return "stopping";
    case "failed":
      return "failed";
    default:
      return "gone";
  }
}

/**
 * Resident bytes of the unit's processes. systemd's MemoryCurrent counts the page cache too, which grows with every
 * file that is read or logged to and would look like a leak: it is only the answer where the processes cannot be seen.
 */
export async function memoryOf({
  ControlGroup = "",
  MemoryCurrent = "",
}: Record<string, string>): Promise<number> {
  const pids = await processesOf(ControlGroup);
  const sizes = await Promise.all(pids.map(residentBytes));
  const sum = sizes.reduce((total, size) => total + size, 0);
  if (sum > 0) return sum;
  // "[not set]" or 2^64-1 where memory is not accounted for.
  return /^\d{1,15}$/.test(MemoryCurrent) ? Number(MemoryCurrent) : 0;
}

/** The processes of a control group, wherever this machine mounts systemd's hierarchy. */
export async function processesOf(controlGroup: string): Promise<number[]> {
  if (controlGroup === "") return [];
  for (const mount of ["/sys/fs/cgroup", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified"]) {
    const listed = await readFile(`${mount}${controlGroup}/cgroup.procs`, "utf8").catch(() => null);
    if (listed !== null) return listed.split("\n").filter(Boolean).map(Number);
  }
  return [];
}

export async function residentBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024;
}
