import { performance } from "node:perf_hooks";
import { type OwnDelay, watchOwnDelay } from "./own-delay.ts";

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
  /**
   * Bound of the whole request, its answer's body included. What this process is late itself is given back, up to as
   * long again: an answer that lies there is none that did not come. @default 5
   */
  readonly seconds?: number;
}

/** Asks once. Never throws, never waits longer than its bound, follows no redirect. */
export async function ask(url: string, request: Request = {}): Promise<WholeAnswer> {
  const started = performance.now();
  const own = watchOwnDelay();
  const bound = new Bound((request.seconds ?? 5) * 1000, started, own);
  const took = () => {
    const milliseconds = Math.round(performance.now() - started);
    return { milliseconds, ownMilliseconds: Math.min(milliseconds, own.milliseconds()) };
  };
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
    return { ok, status, ...took(), detail: ok ? "" : text.slice(0, 200), headers, text };
  } catch (error) {
    const { cause } = error as { cause?: { code?: string; message?: string } };
    const detail = cause?.code ?? cause?.message ?? (error as Error).message;
    return { ok: false, status: 0, ...took(), detail, headers: {}, text: "" };
  } finally {
    bound.end();
    own.end();
  }
}

/** Aborts once the other side has had so many milliseconds. */
class Bound {
  private readonly milliseconds: number;
  private readonly started: number;
  private readonly own: OwnDelay;
  private readonly controller = new AbortController();
  private timer: NodeJS.Timeout;

  constructor(milliseconds: number, started: number, own: OwnDelay) {
    this.milliseconds = milliseconds;
    this.started = started;
    this.own = own;
    this.timer = setTimeout(() => this.check(), Math.ceil(milliseconds));
  }

  get signal(): AbortSignal {
    return this.controller.signal;
  }

  end(): void {
    clearTimeout(this.timer);
  }

  private check(): void {
    const elapsed = performance.now() - this.started;
    const left = this.milliseconds - (elapsed - this.own.milliseconds());
    if (left > 1 && elapsed < 2 * this.milliseconds) {
      this.timer = setTimeout(() => this.check(), Math.ceil(left));
    } else {
      this.controller.abort(new Error(`no answer within ${this.milliseconds / 1000} s`));
    }
  }
}
