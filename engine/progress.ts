/** Shows lines that replace each other: rewritten in place on a terminal, every fifteen seconds elsewhere. */
import type { Progress } from "./build.ts";

interface Stream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

const between = 15_000;

export function progressLine(stream: Stream): Progress {
  let subject = "";
  let shown = 0;
  return (line, last = false) => {
    if (stream.isTTY === true) {
      const width = (stream.columns ?? 80) - 1;
      const fitting = line.length > width ? `${line.slice(0, width - 1)}…` : line;
      stream.write(`\r\u001b[2K${fitting}${last ? "\n" : ""}`);
      return;
    }
    const about = line.split(":")[0] ?? "";
    if (!last && about === subject && Date.now() - shown < between) return;
    subject = about;
    shown = Date.now();
    stream.write(`${line}\n`);
  };
}
