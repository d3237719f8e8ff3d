import { availableParallelism, loadavg } from "node:os";

/** A limit in milliseconds on a machine that does little else; one that is busy with other work gets more, by as much as it is busy. */
export function within(milliseconds: number): number {
  const [minute = 0] = loadavg();
  return milliseconds * Math.max(1, minute / (2 * availableParallelism()));
}

/** The same in whole seconds, for a config. */
export function secondsWithin(seconds: number): number {
  return Math.ceil(within(seconds * 1000) / 1000);
}
