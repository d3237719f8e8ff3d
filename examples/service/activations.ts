/** Reading a singleton's activation log: who was active when, and whether two ever were at once (ALL-6). */

export interface Activation {
  readonly release: string;
  readonly pid: number;
  readonly from: string;
  /** Null: it is active, or was killed and left no sign of life. */
  readonly to: string | null;
}

/**
 * @param log the text of the activation log
 * @param beats by pid, the time in `<log>.<pid>` of processes that did not write their end
 */
export function readActivations(log: string, beats: Readonly<Record<number, string>> = {}): Activation[] {
  const open = new Map<number, Activation>();
  const activations: Activation[] = [];
  const close = (pid: number, to: string | null) => {
    const activation = open.get(pid);
    if (activation) activations.push({ ...activation, to });
    open.delete(pid);
  };
  for (const line of log.split("\n").filter((text) => text !== "")) {
    const { at, event, release, pid } = JSON.parse(line) as Record<"at" | "event" | "release", string> & {
      pid: number;
    };
    // A number that is given out again, after a boot, proves that its first owner is gone.
    close(pid, at);
    if (event === "active") open.set(pid, { release, pid, from: at, to: null });
  }
  for (const pid of [...open.keys()]) close(pid, beats[pid] ?? null);
  return activations.sort((a, b) => a.from.localeCompare(b.from));
}

/** Pairs that were active at the same time; empty is what is promised. */
export function overlaps(activations: readonly Activation[]): [Activation, Activation][] {
  return activations.flatMap((first, index) =>
    activations
      .slice(index + 1)
      .filter((second) => first.to === null || second.from < first.to)
      .map((second): [Activation, Activation] => [first, second]),
  );
}
