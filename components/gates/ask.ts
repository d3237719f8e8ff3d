import { Bound } from "./own-delay.ts";

/** One request of a gate or a bake, over HTTP. */

export interface Answer {
  /** The status is one of 200 to 299. */
  readonly ok: boolean;
  /** HTTP status, 0 when there was no answer. */
  readonly status: number;
  readonly milliseconds: number;
  /** Of `milliseconds`, how many may be this process' own: it was too busy to look at an answer. */
  readonly ownMilliseconds: number;
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
  /** Time that the other side has for its whole answer, the body included; see Bound. @default 5 */
  readonly seconds?: number;
}

/** Asks once. Never throws, waits no longer than its bound allows, follows no redirect. */
export async function ask(url: string, request: Request = {}): Promise<WholeAnswer> {
  const bound = new Bound(request.seconds ?? 5);
  try {
    const response = await fetch(url, {
      method: request.method ?? "GET",
      headers: request.headers ?? {},
      ...(request.body === undefined ? {} : { body: request.body }),
      signal: bound.signal,
      redirect: "manual",
    });
    const text = await response.text();
    const { status } = response;
    const ok = status >= 200 && status < 300;
    const headers = Object.fromEntries(response.headers);
    return { ok, status, ...bound.took(), detail: ok ? "" : text.slice(0, 200), headers, text };
  } catch (error) {
    const { cause } = error as { cause?: { code?: string; message?: string } };
    const detail = cause?.code ?? cause?.message ?? (error as Error).message;
    return { ok: false, status: 0, ...bound.took(), detail, headers: {}, text: "" };
  } finally {
    bound.end();
  }
}
