import { readdir, readFile, unlink } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { type Backend, shortName } from "./backend.ts";

/**
 * The engine's lock on a stack. Pulumi leaves it behind when it is killed and never says whether its owner lives. Here
 * a lock whose owner was this host and is dead is cleared, with a line saying so; any other is named and respected.
 */
export interface Lock {
  readonly user: string;
  readonly host: string;
  readonly pid: number;
  /** ISO time at which it was taken. */
  readonly since: string;
  /** The lock's file, where the backend is a folder of this machine. */
  readonly file: string | null;
}

/** Somebody else works on the stack; nothing was changed. */
export class Locked extends Error {
  readonly locks: readonly Lock[];
  constructor(stack: string, locks: readonly Lock[]) {
    super(lockedText(stack, locks));
    this.locks = locks;
  }
}

/** What this host says of a process: its start (milliseconds since 1970, null when unknown), or that there is none. */
export type ProcessStart = (pid: number) => Promise<{ started: number | null } | null>;

/** Locks on the stack in a file:// backend; nothing for others (there the CLI's own error tells: see locksInError). */
export async function readLocks(backend: Backend, stack: string): Promise<Lock[]> {
  if (backend.folder === null) return [];
  const folder = join(backend.folder, ".pulumi", "locks", "organization", backend.project, shortName(stack));
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw error;
  });
  const found = await Promise.all(
    names.filter((name) => name.endsWith(".json")).map((name) => readLock(join(folder, name))),
  );
  return found.filter((lock) => lock !== null);
}

async function readLock(file: string): Promise<Lock | null> {
  const text = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return null; // given back between listing and reading
    throw error;
  });
  if (text === null) return null;
  try {
    const { pid, username, hostname, timestamp } = JSON.parse(text);
    return {
      user: String(username),
      host: String(hostname),
      pid: Number(pid),
      since: String(timestamp),
      file,
    };
  } catch {
    // Cut off while it was written: nobody can say whose it is, so it counts as somebody else's.
    return unknownOwner(file);
  }
}

/** Locks named by the CLI's own refusal; empty when the text is about something else. */
export function locksInError(text: string): Lock[] {
  // A file or object store names its owners; a service only says that there is one.
  if (!/the stack is currently locked by|Another update is currently in progress/.test(text)) return [];
  const line = /^\s*(\S+): created by (.+)@(\S+) \(pid (\d+)\) at (\S+)\s*$/gm;
  const locks = [...text.matchAll(line)].map(([, url, user, host, pid, since]) => ({
    user: user!,
    host: host!,
    pid: Number(pid),
    since: since!,
    file: url!.startsWith("file://") ? decodeURIComponent(url!.slice("file://".length)) : null,
  }));
  return locks.length > 0 ? locks : [unknownOwner(null)];
}

/**
 * Clears what a dead process of this host left, if nothing else holds the stack.
 * @param say Called with one line for each lock cleared.
 * @throws Locked when any other lock is there; then none is cleared.
 */
export async function clearDeadLocks(
  backend: Backend,
  stack: string,
  say: (line: string) => void,
  started: ProcessStart = processStart,
): Promise<void> {
  const locks = await readLocks(backend, stack);
  const dead = await Promise.all(locks.map((lock) => isDead(lock, started)));
  const held = locks.filter((_, index) => !dead[index]);
  if (held.length > 0) throw new Locked(stack, held);
  for (const lock of locks) {
    await unlink(lock.file!).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOENT") throw error;
    });
    await unlink(`${lock.file}.attrs`).catch(() => {});
    say(`cleared the lock of ${describe(lock)}: that process is dead`);
  }
}

/** True only when the owner was a process of this host that is gone, or whose number another process has now. */
export async function isDead(lock: Lock, started: ProcessStart = processStart): Promise<boolean> {
  if (lock.host !== hostname() || !Number.isInteger(lock.pid) || lock.pid <= 0) return false;
  const owner = await started(lock.pid);
  if (owner === null) return true;
  const taken = Date.parse(lock.since);
  if (owner.started === null || Number.isNaN(taken)) return false;
  // Start times are known to a tick and the boot time to a second.
  return owner.started > taken + 2000;
}

export async function processStart(pid: number): Promise<{ started: number | null } | null> {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return null;
  }
  const [own, machine] = await Promise.all(
    [`/proc/${pid}/stat`, "/proc/stat"].map((path) => readFile(path, "utf8").catch(() => "")),
  );
  // The second field is the program's name in brackets and may itself hold spaces and brackets.
  const fields = own!.slice(own!.lastIndexOf(")") + 2).split(" ");
  if (fields[0] === "Z") return null;
  const ticks = Number(fields[19]);
  const boot = Number(/^btime (\d+)$/m.exec(machine!)?.[1]);
  return { started: Number.isFinite(ticks) && Number.isFinite(boot) ? boot * 1000 + ticks * 10 : null };
}

const unknownOwner = (file: string | null): Lock => ({ user: "", host: "", pid: 0, since: "", file });

const describe = ({ user, host, pid, since }: Lock): string =>
  host === "" ? "somebody the backend does not name" : `${user}@${host} (process ${pid}, since ${since})`;

function lockedText(stack: string, locks: readonly Lock[]): string {
  const here = locks.every(({ host }) => host === hostname());
  return [
    `stack "${stack}" is in use: ${locks.map(describe).join("; ")}. Nothing was changed.`,
    here
      ? "It is at work on this machine: wait for it to end."
      : "Whether it still works cannot be seen from here: ask.",
    `If it is surely gone: switchyard pulumi cancel --yes --stack ${stack}`,
  ].join("\n");
}
