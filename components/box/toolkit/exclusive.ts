import { spawn } from "node:child_process";
import { once } from "node:events";
import { type FileHandle, open, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { Host } from "./host.ts";

/** Longer than any build may take: whoever waits for one that outlived its engine gets its result. */
const patienceSeconds = 7200;

/**
 * Runs `work` while no other verb holds `name`: a verb whose engine was killed runs on, and the next one waits for it
 * instead of working beside it.
 */
export async function exclusively<T>(host: Host, name: string, work: () => Promise<T>): Promise<T> {
  const path = join(host.stateDirectory, `${name}.lock`);
  const file = await lockFile(path, patienceSeconds);
  if (file === null) {
    throw new Error(`somebody has been at work on ${name} for ${patienceSeconds} s: look with \`ps\``);
  }
  try {
    return await work();
  } finally {
    await unlockFile(path, file);
  }
}

/**
 * The file, locked for this process by the kernel: one that died holds nothing. Null when another process still has it
 * after `seconds`; `meanwhile` is called several times a second until then. A file that its holder has removed is
 * nobody's lock any more, so it is opened anew.
 */
export async function lockFile(
  path: string,
  seconds: number,
  meanwhile: () => Promise<void> = async () => {},
): Promise<FileHandle | null> {
  const deadline = performance.now() + seconds * 1000;
  for (;;) {
    const file = await open(path, "a+", 0o600);
    try {
      const left = deadline - performance.now();
      if (left <= 0 || !(await lock(file, left, meanwhile))) {
        await file.close();
        return null;
      }
      const [ours, there] = await Promise.all([file.stat(), stat(path).catch(() => null)]);
      if (there?.ino === ours.ino) return file;
    } catch (error) {
      await file.close();
      throw error;
    }
    await file.close();
  }
}

export async function unlockFile(path: string, file: FileHandle): Promise<void> {
  await rm(path, { force: true });
  await file.close();
}

/** flock(2) belongs to the open file, not to the process that asked for it: perl asks, this process keeps it. */
const flock = 'open(my $file, ">&=3") or die $!; flock($file, 2) or die $!;';

/** Whether the lock was had in time. */
async function lock(
  file: FileHandle,
  milliseconds: number,
  meanwhile: () => Promise<void>,
): Promise<boolean> {
  const child = spawn("perl", ["-e", flock], {
    stdio: ["ignore", "ignore", "ignore", file.fd],
    timeout: Math.ceil(milliseconds),
  });
  const ended = once(child, "close");
  try {
    for (;;) {
      const code = await Promise.race([ended.then(([found]) => found as number | null), pause(100, "waits")]);
      if (code !== "waits") return code === 0;
      await meanwhile();
    }
  } catch (error) {
    child.kill("SIGKILL");
    throw error;
  }
}
