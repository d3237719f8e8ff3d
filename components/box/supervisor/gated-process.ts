import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import type { Writable } from "node:stream";
import { identify, type ProcessIdentity } from "../toolkit/process-identity.ts";
import { closeLog, openLog } from "./log-file.ts";

export interface Start {
  readonly command: readonly string[];
  readonly directory: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly log: string;
}

export interface GatedProcess {
  readonly identity: ProcessIdentity;
  /** Resolves with how the process ended. */
  readonly ended: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>;
}

/** Waits for a word on descriptor 3 and becomes the program; ends when whoever holds the other end dies first. */
const gate = 'read -r word <&3 || exit 0; exec 3<&-; exec "$0" "$@"';

/**
 * Starts a process that does nothing until `remember` has put its identity on the disk, and never does anything when
 * the supervisor dies before that: whatever runs can be found by the supervisor's successor (ALL-6).
 */
export async function startGated(
  start: Start,
  remember: (identity: ProcessIdentity) => Promise<void>,
): Promise<GatedProcess> {
  const log = openLog(start.log);
  let child: ChildProcess;
  try {
    child = spawn("/bin/sh", ["-c", gate, ...start.command], {
      cwd: start.directory,
      env: { ...start.environment },
      stdio: ["ignore", log, log, "pipe"],
      detached: true,
    });
  } finally {
    closeLog(log);
  }
  const ended = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) => {
    child.once("exit", (code, signal) => resolve({ code, signal }));
  });
  // Rejects where there is no such directory.
  await once(child, "spawn");
  const word = child.stdio[3] as Writable;
  word.on("error", () => {});
  const identity = await identify(child.pid ?? 0);
  if (!identity) throw new Error(`${start.command[0]} ended before it began`);
  try {
    await remember(identity);
  } catch (error) {
    word.destroy();
    throw error;
  }
  word.end("go\n");
  return { identity, ended };
}
