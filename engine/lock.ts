/** A lock between processes of one machine: a file that names its owner, taken over when the owner is dead. */
import { randomUUID } from "node:crypto";
import { link, readFile, rename, rm, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { setTimeout as delay } from "node:timers/promises";

interface Owner {
  readonly pid: number;
  readonly host: string;
}

/**
 * Waits for the lock and takes it.
 * @param longest milliseconds to wait
 * @param waiting called about once a second with the owner's process id and the seconds waited
 * @returns a function that gives it back
 * @throws when the owner holds it longer than `longest`, naming the file to remove
 */
export async function holdLock(
  path: string,
  longest: number,
  waiting: (owner: number, seconds: number) => void,
): Promise<() => Promise<void>> {
  const began = Date.now();
  for (let round = 0; ; round++) {
    if (await taken(path)) return () => rm(path, { force: true });
    const text = await readFile(path, "utf8").catch(() => undefined);
    const owner = text === undefined ? undefined : ownerIn(text);
    if (text !== undefined && (owner === undefined || isDead(owner))) {
      await breakLock(path, text);
      continue;
    }
    const waited = Date.now() - began;
    if (waited > longest) {
      throw new Error(
        `process ${owner?.pid ?? "?"} on ${owner?.host ?? "?"} has held ${path} for ${Math.round(waited / 60_000)} min; ` +
          `if it is gone, \`rm ${path}\` and try again`,
      );
    }
    if (owner !== undefined && round % 5 === 0) waiting(owner.pid, Math.round(waited / 1_000));
    await delay(200);
  }
}

async function taken(path: string): Promise<boolean> {
  // Written first and linked then: whoever reads the lock never finds it half written.
  const draft = `${path}.${randomUUID()}`;
  await writeFile(draft, JSON.stringify({ pid: process.pid, host: hostname() } satisfies Owner));
  try {
    await link(draft, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  } finally {
    await rm(draft, { force: true });
  }
}

/** Moves it aside first: of two that find the owner dead, only one moves what it read. */
async function breakLock(path: string, text: string): Promise<void> {
  const aside = `${path}.${randomUUID()}`;
  try {
    await rename(path, aside);
  } catch {
    return;
  }
  const moved = await readFile(aside, "utf8").catch(() => undefined);
  // Somebody took it between our look and our move: give it back, unless there is a third by now.
  if (moved !== text && moved !== undefined)
    await writeFile(path, moved, { flag: "wx" }).catch(() => undefined);
  await rm(aside, { force: true });
}

function ownerIn(text: string): Owner | undefined {
  try {
    const { pid, host } = JSON.parse(text) as Partial<Owner>;
    return typeof pid === "number" && typeof host === "string" ? { pid, host } : undefined;
  } catch {
    return undefined;
  }
}

function isDead(owner: Owner): boolean {
  if (owner.host !== hostname()) return false;
  try {
    process.kill(owner.pid, 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ESRCH";
  }
}
