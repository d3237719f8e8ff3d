import { spawn } from "node:child_process";
import { type FileHandle, open, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Host } from "./host.ts";

/** Longer than any build may take: whoever waits for one that outlived its engine gets its result. */
const patienceSeconds = 7200;

/**
 * Runs `work` while no other verb holds `name`: a verb whose engine was killed runs on, and the next one waits for it
 * instead of working beside it. The kernel holds the lock for this process, so one that died holds nothing.
 */
export async function exclusively<T>(host: Host, name: string, work: () => Promise<T>): Promise<T> {
  const path = join(host.stateDirectory, `${name}.lock`);
  const file = await take(path, name);
  try {
    return await work();
  } finally {
    await rm(path, { force: true });
    await file.close();
  }
}

/** The locked file; one that its holder removed meanwhile is nobody's lock any more, so it is opened anew. */
async function take(path: string, name: string): Promise<FileHandle> {
  for (;;) {
    const file = await open(path, "a", 0o600);
    try {
      await lock(file, name);
      const [ours, there] = await Promise.all([file.stat(), stat(path).catch(() => null)]);
      if (there?.ino === ours.ino) return file;
    } catch (error) {
      await file.close();
      throw error;
    }
    await file.close();
  }
}

/** flock(2) belongs to the open file, not to the process that asked for it: perl asks, this process keeps it. */
const flock = 'open(my $file, ">&=3") or die $!; flock($file, 2) or die $!;';

function lock(file: FileHandle, name: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn("perl", ["-e", flock], {
      stdio: ["ignore", "ignore", "ignore", file.fd],
      timeout: patienceSeconds * 1000,
    });
    child.once("error", reject);
    child.once("close", (code) => {
      if (code === 0) resolve();
      else
        reject(new Error(`somebody has been at work on ${name} for ${patienceSeconds} s: look with \`ps\``));
    });
  });
}
