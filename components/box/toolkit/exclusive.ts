import { link, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { setTimeout as pause } from "node:timers/promises";
import type { Host } from "./host.ts";
import { identify, isAlive, type ProcessIdentity } from "./process-identity.ts";

/** Longer than any build may take: whoever waits for one that outlived its engine gets its result. */
const patienceSeconds = 7200;

/**
 * Runs `work` while no other verb holds `name`: a verb whose engine was killed runs on, and the next one waits for it
 * instead of working beside it. A holder that died holds nothing.
 */
export async function exclusively<T>(host: Host, name: string, work: () => Promise<T>): Promise<T> {
  const path = join(host.stateDirectory, `${name}.lock`);
  const own = JSON.stringify(await identify(process.pid));
  const draft = `${path}.${process.pid}`;
  await writeFile(draft, own, { mode: 0o600 });
  try {
    await take(path, draft, name);
    try {
      return await work();
    } finally {
      await rm(path, { force: true });
    }
  } finally {
    await rm(draft, { force: true });
  }
}

async function take(path: string, draft: string, name: string): Promise<void> {
  const deadline = performance.now() + patienceSeconds * 1000;
  for (;;) {
    try {
      // A link appears with its whole text or not at all.
      return await link(draft, path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
    const text = await readFile(path, "utf8").catch(() => null);
    const owner = text === null ? null : (JSON.parse(text) as ProcessIdentity);
    if (owner && !(await isAlive(owner))) await rm(path, { force: true });
    else if (performance.now() > deadline)
      throw new Error(`process ${owner?.pid} has been at work on ${name} for too long`);
    else await pause(owner ? 200 : 20);
  }
}
