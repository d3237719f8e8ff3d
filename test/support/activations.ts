import { type Activation, readActivations } from "../../examples/service/activations.ts";
import type { Box } from "./box/box.ts";
import { must } from "./box/must.ts";

/**
 * Shell commands that say everything about a singleton's activations on a box: its log, the last signs of life of
 * processes that did not write their end, and which processes of the example are alive. Each prints one part.
 */
export const activationParts = (log: string): readonly string[] => [
  `cat ${log} 2>/dev/null || true`,
  `for f in ${log}.*; do [ -f "$f" ] && echo "$f $(cat "$f")"; done; true`,
  "pgrep -f dist/service.mjs || true",
];

/**
 * Who was active when, oldest first. A process that was killed ended at its last sign of life; null is the end of one
 * that is alive.
 */
export function activationsFrom(log: string, beats: string, pids: string): Activation[] {
  const living = new Set(pids.split("\n").map((pid) => pid.trim()));
  const ends = beats.split("\n").flatMap((line) => {
    const [, pid = "", at] = /\.(\d+) (\S+)$/.exec(line.trim()) ?? [];
    return at && !living.has(pid) ? [[pid, at]] : [];
  });
  return readActivations(log, Object.fromEntries(ends));
}

/** All activations since the box was made: what a test deletes of the log, its proof is blind to. */
export async function activationsOn(box: Box, log: string): Promise<Activation[]> {
  const printed = await must(
    box,
    activationParts(log)
      .map((part) => `{ ${part}; }; echo @@@`)
      .join("; "),
  );
  const [text = "", beats = "", pids = ""] = printed.split("@@@\n");
  return activationsFrom(text, beats, pids);
}
