import { performance } from "node:perf_hooks";
import { setTimeout as pause } from "node:timers/promises";

export interface Probe {
  readonly ok: boolean;
  /** HTTP status, 0 when there was no answer. */
  readonly status: number;
  readonly milliseconds: number;
  /** Why there was no answer, or the first 200 characters of a bad one. */
  readonly detail: string;
}

/** One request to a process on this box. Never throws; never waits longer than `seconds`. */
export async function probe(port: number, path: string, seconds = 5): Promise<Probe> {
  const started = performance.now();
  const elapsed = () => Math.round(performance.now() - started);
  try {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, {
      signal: AbortSignal.timeout(Math.ceil(seconds * 1000)),
      redirect: "manual",
    });
    const text = await response.text();
    const ok = response.status >= 200 && response.status < 300;
    return { ok, status: response.status, milliseconds: elapsed(), detail: ok ? "" : text.slice(0, 200) };
  } catch (error) {
    const cause = (error as { cause?: { code?: string } }).cause?.code;
    return { ok: false, status: 0, milliseconds: elapsed(), detail: cause ?? (error as Error).message };
  }
}

/** Asks until the answer is good, at most `seconds`; returns the last answer. */
export async function probeUntilHealthy(port: number, path: string, seconds: number): Promise<Probe> {
  const deadline = performance.now() + seconds * 1000;
  for (let wait = 50; ; wait = Math.min(wait * 2, 1000)) {
    const answer = await probe(port, path, Math.max(0.1, Math.min(5, (deadline - performance.now()) / 1000)));
    if (answer.ok || performance.now() + wait >= deadline) return answer;
    await pause(wait);
  }
}
