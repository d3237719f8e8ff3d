import { performance } from "node:perf_hooks";

/**
 * How long this process itself was late while it waited for something: a machine that is short of CPU lets a finished
 * answer lie, and a measured second is then no second of whoever was asked. One timer for all that wait; none without.
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
