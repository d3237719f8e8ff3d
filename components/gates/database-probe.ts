import { once } from "node:events";
import { ask } from "./ask.ts";
import { Bound } from "./own-delay.ts";
import type { Probe } from "./seen.ts";

/** Bound of one look at a database. */
export const databaseSeconds = 5;

/**
 * Asks a database by whatever `work` does; never throws and never takes longer than its bound.
 * @param work connects anew each time: a session that was opened before an outage says nothing of the next one
 */
export async function probeDatabase(work: () => Promise<unknown>, seconds = databaseSeconds): Promise<Probe> {
  const bound = new Bound(seconds);
  const elapsed = () => bound.took().milliseconds / 1000;
  try {
    await Promise.race([work(), expiryOf(bound.signal)]);
    return { kind: "database", ok: true, status: null, seconds: elapsed() };
  } catch (error) {
    const { message } = error as Error;
    return { kind: "database", ok: false, status: null, seconds: elapsed(), detail: message };
  } finally {
    bound.end();
  }
}

async function expiryOf(signal: AbortSignal): Promise<never> {
  await once(signal, "abort");
  throw signal.reason;
}

/**
 * Asks the service itself (TRD-3): its answer has to say `database.status` (or `status`, where the path is about the
 * database alone) "healthy". Any other answer, also one without a word about a database, is a failed probe.
 * @param url @example "http://127.0.0.1:4001/health/detailed"
 */
export async function probeDatabasePath(url: string, seconds = databaseSeconds): Promise<Probe> {
  const answer = await ask(url, { seconds });
  const said = databaseStatus(answer.text);
  const detail =
    answer.status === 0 ? answer.detail : `${answer.status}, database.status ${said ?? "not said"}`;
  const ok = answer.ok && said === "healthy";
  const status = answer.status === 0 ? null : answer.status;
  const seen = { status, seconds: answer.milliseconds / 1000 };
  return { kind: "database", ok, ...seen, ...(ok ? {} : { detail }) };
}

function databaseStatus(text: string): string | null {
  try {
    const said = JSON.parse(text) as { status?: unknown; database?: { status?: unknown } };
    const status = said.database === undefined ? said.status : said.database?.status;
    return typeof status === "string" ? status : null;
  } catch {
    return null;
  }
}
