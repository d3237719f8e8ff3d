import { performance } from "node:perf_hooks";
import { setTimeout as pause } from "node:timers/promises";
import { type Answer, ask } from "../../gates/ask.ts";

/** One request to a process on this box. Never throws; never waits longer than `seconds`. */
export async function probe(port: number, path: string, seconds = 5): Promise<Answer> {
  const answer = await ask(`http://127.0.0.1:${port}${path}`, { seconds });
  const { ok, status, milliseconds, ownMilliseconds, detail } = answer;
  return { ok, status, milliseconds, ownMilliseconds, detail };
}

/** Asks until the answer is good, at most `seconds`; returns the last answer. */
export async function probeUntilHealthy(port: number, path: string, seconds: number): Promise<Answer> {
  const deadline = performance.now() + seconds * 1000;
  for (let wait = 50; ; wait = Math.min(wait * 2, 1000)) {
    const answer = await probe(port, path, Math.max(0.1, Math.min(5, (deadline - performance.now()) / 1000)));
    if (answer.ok || performance.now() + wait >= deadline) return answer;
    await pause(wait);
  }
}
