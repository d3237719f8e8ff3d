import { readFile } from "node:fs/promises";

/** Changes when the machine starts again; "" where start times of processes are absolute anyway (macOS). */
export async function machineBoot(): Promise<string> {
  return (await readFile("/proc/sys/kernel/random/boot_id", "utf8").catch(() => "")).trim();
}
