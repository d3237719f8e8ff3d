import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { emptyPackages, fullPackages, suite, toolPackages } from "./packages.ts";

/** Prints one line about something that takes a while. */
export type Progress = (line: string) => void;

export const toStderr: Progress = (line) => {
  process.stderr.write(`box: ${line}\n`);
};

/** The script that builds the base; its text is part of the cache's key. */
export const buildScript = join(import.meta.dirname, "build-base.sh");

/** Folder of the built base: another package list or another recipe is another folder. */
export function baseDirectory(): string {
  const recipe = JSON.stringify([suite, emptyPackages, fullPackages, readFileSync(buildScript, "utf8")]);
  return join(cacheRoot(), createHash("sha256").update(recipe).digest("hex").slice(0, 12));
}

export function toolsDirectory(): string {
  return join(
    cacheRoot(),
    `tools-${createHash("sha256").update(toolPackages.join()).digest("hex").slice(0, 12)}`,
  );
}

function cacheRoot(): string {
  const root = join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "switchyard", "box");
  mkdirSync(root, { recursive: true });
  return root;
}

/**
 * Runs `work` while no other process of this machine holds the same lock. The kernel drops the lock when this process
 * ends, however it ends. Rejects when another one holds it for longer than 15 minutes.
 */
export async function locked<T>(file: string, progress: Progress, work: () => Promise<T>): Promise<T> {
  const holder = spawn("flock", ["--wait", "900", file, "sh", "-c", "echo held; exec cat"], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const waiting = setTimeout(() => progress("another process is building it: waiting for that"), 2000);
  try {
    await new Promise<void>((resolve, reject) => {
      holder.stdout.once("data", () => resolve());
      holder.once("error", reject);
      holder.once("exit", () => reject(new Error(`${file}: another process held this lock for 15 minutes`)));
    });
    clearTimeout(waiting);
    return await work();
  } finally {
    clearTimeout(waiting);
    holder.stdin.end();
  }
}
