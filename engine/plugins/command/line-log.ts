/** What a command prints, as lines of the log. */
import { StringDecoder } from "node:string_decoder";
import type { Log } from "../protocol/log.ts";

/** Takes a stream's chunks and logs whole lines; a longer line is cut at 16 KiB. */
export class LineLog {
  readonly #log: Log | undefined;
  readonly #decoder = new StringDecoder("utf8");
  #rest = "";

  constructor(log: Log | undefined) {
    this.#log = log;
  }

  write(chunk: Buffer): void {
    if (this.#log === undefined) return;
    const lines = (this.#rest + this.#decoder.write(chunk)).split("\n");
    this.#rest = lines.pop() ?? "";
    for (const line of lines) this.#emit(line);
    if (this.#rest.length > longest) {
      this.#emit(this.#rest);
      this.#rest = "";
    }
  }

  end(): void {
    const rest = this.#rest + this.#decoder.end();
    if (rest !== "") this.#emit(rest);
    this.#rest = "";
  }

  #emit(line: string): void {
    const text = line.endsWith("\r") ? line.slice(0, -1) : line;
    this.#log?.line("info", text.length > longest ? `${text.slice(0, longest)}…` : text, true);
  }
}

const longest = 16 * 1024;
