import { performance } from "node:perf_hooks";

/**
 * How late this process itself was. On a machine that is short of CPU an answer has come and nobody looks at it: that
 * time is not the other side's. One timer serves everybody who waits; nobody waits, no timer.
 */

const everyMilliseconds = 20;
/** A timer is this late on a machine that does nothing else. */
const ordinaryMilliseconds = 4;

let watching = 0;
let timer: NodeJS.Timeout | undefined;
let dueAt = 0;
let total = 0;

export interface OwnDelay {
  /** Milliseconds that this process was late since the watch began. */
  milliseconds(): number;
  end(): void;
}

export function watchOwnDelay(): OwnDelay {
  if (watching === 0) {
    dueAt = performance.now() + everyMilliseconds;
    timer = setInterval(tick, everyMilliseconds).unref();
  }
  watching += 1;
  const before = soFar();
  return {
    milliseconds: () => Math.round(soFar() - before),
    end: () => {
      watching -= 1;
      if (watching === 0) clearInterval(timer);
    },
  };
}

function tick(): void {
  total = soFar();
  dueAt = performance.now() + everyMilliseconds;
}

/** An answer may be looked at before the timer that is due as well. */
function soFar(): number {
  const late = performance.now() - dueAt;
  return total + (late > ordinaryMilliseconds ? late : 0);
}

/**
 * Time that the other side has. What this process is late itself is given back to it, up to as long again. Call `end`
 * when the answer is there.
 */
export class Bound {
  private readonly limit: number;
  private readonly started = performance.now();
  private readonly own = watchOwnDelay();
  private readonly controller = new AbortController();
  private timer: NodeJS.Timeout;

  constructor(seconds: number) {
    this.limit = seconds * 1000;
    this.timer = setTimeout(() => this.check(), Math.ceil(this.limit));
  }

  /** Aborts when the time is over; its reason is an Error that says so. */
  get signal(): AbortSignal {
    return this.controller.signal;
  }

  /** Milliseconds since the beginning, and how many of them may be this process' own. */
  took(): { readonly milliseconds: number; readonly ownMilliseconds: number } {
    const milliseconds = Math.round(performance.now() - this.started);
    return { milliseconds, ownMilliseconds: Math.min(milliseconds, this.own.milliseconds()) };
  }

  end(): void {
    clearTimeout(this.timer);
    this.own.end();
  }

  private check(): void {
    const { milliseconds, ownMilliseconds } = this.took();
    const left = this.limit - (milliseconds - ownMilliseconds);
    if (left > 1 && milliseconds < 2 * this.limit) {
      this.timer = setTimeout(() => this.check(), Math.ceil(left));
    } else {
      this.controller.abort(new Error(`no answer within ${this.limit / 1000} s`));
    }
  }
}
