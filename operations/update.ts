import { ask, type RunResult, runUp } from "./engine.ts";
import { stepResolver } from "./events.ts";
import { sign } from "./history.ts";
import { isDead, Locked, locksInError } from "./lock.ts";
import { showProgress } from "./progress.ts";
import type { Session } from "./session.ts";
import type { StackFile } from "./stackfile.ts";

/** One update with its progress. A lock that a dead process of this host left on a remote backend is cancelled once. */
export async function update(session: Session, file: StackFile, message: string): Promise<RunResult> {
  const engine = await session.engine();
  const display = showProgress(session.voice);
  const { checkout, stack, signal } = session;
  const resolve = stepResolver(Object.keys(file.pins));
  const options = { engine, checkout, stack, resolve, signal, onProgress: display.show };
  try {
    const run = await runUp(options, sign(message, session.who));
    const locks = locksInError(run.said);
    if (locks.length === 0) return run;
    const dead = await Promise.all(locks.map((lock) => isDead(lock)));
    if (dead.includes(false)) throw new Locked(stack, locks);
    await ask(engine, checkout, ["cancel", "--yes", "--stack", stack]);
    session.voice.line(`cleared the lock of ${locks.length} dead process(es) of this host`);
    return await runUp(options, sign(message, session.who));
  } finally {
    display.end();
  }
}
