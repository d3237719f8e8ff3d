import { performance } from "node:perf_hooks";

/** One request of a gate or a bake, over HTTP. */

export interface Answer {
  /** The status is one of 200 to 299. */
  readonly ok: boolean;
  /** HTTP status, 0 when there was no answer. */
  readonly status: number;
  readonly milliseconds: number;
  /** Why there was no answer, or the first 200 characters of a bad one. */
  readonly detail: string;
}

export interface WholeAnswer extends Answer {
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly text: string;
}

export interface Request {
  /** @default "GET" */
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Bound of the whole request, its answer's body included. @default 5 */
  readonly seconds?: number;
}

/** Asks once. Never throws, never waits longer than its bound, follows no redirect. */
export async function ask(url: string, request: Request = {}): Promise<WholeAnswer> {
  const started = performance.now();
  const elapsed = () => Math.round(performance.now() - started);
  try {
    const response = await fetch(url, {
      method: request.method ?? "GET",
      headers: request.headers ?? {},
      ...(request.body === undefined ? {} : { body: request.body }),
      signal: AbortSignal.timeout(Math.ceil((request.seconds ?? 5) * 1000)),
      redirect: "manual",
    });
    const text = await response.text();
    const { status } = response;
    const ok = status >= 200 && status < 300;
    const headers = Object.fromEntries(response.headers);
    return { ok, status, milliseconds: elapsed(), detail: ok ? "" : text.slice(0, 200), headers, text };
  } catch (error) {
    const { cause } = error as { cause?: { code?: string; message?: string } };
    const detail = cause?.code ?? cause?.message ?? (error as Error).message;
    return { ok: false, status: 0, milliseconds: elapsed(), detail, headers: {}, text: "" };
  }
}
