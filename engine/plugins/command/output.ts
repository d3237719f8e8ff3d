/** What a command printed: kept as outputs, streamed to the log, and told in the error when it failed. */
import type { Log } from "../protocol/log.ts";
import { LineLog } from "./line-log.ts";
import type { Logging } from "./schema.ts";

export class CommandOutput {
  readonly #stdout: Buffer[] = [];
  readonly #stderr: Buffer[] = [];
  readonly #both: Buffer[] = [];
  readonly #stdoutLog: LineLog;
  readonly #stderrLog: LineLog;

  constructor(log: Log, logging: Logging = "stdoutAndStderr") {
    const logs = (stream: Logging): Log | undefined =>
      logging === stream || logging === "stdoutAndStderr" ? log : undefined;
    this.#stdoutLog = new LineLog(logs("stdout"));
    this.#stderrLog = new LineLog(logs("stderr"));
  }

  readonly takeStdout = (chunk: Buffer): void => {
    this.#stdout.push(chunk);
    this.#both.push(chunk);
    this.#stdoutLog.write(chunk);
  };

  readonly takeStderr = (chunk: Buffer): void => {
    this.#stderr.push(chunk);
    this.#both.push(chunk);
    this.#stderrLog.write(chunk);
  };

  end(): void {
    this.#stdoutLog.end();
    this.#stderrLog.end();
  }

  /** Both texts, each without its last newline. */
  results(): { readonly stdout: string; readonly stderr: string } {
    return { stdout: text(this.#stdout), stderr: text(this.#stderr) };
  }

  /** `exit status 3: running "false":` and, below it, all that the command printed. */
  failure(reason: string, command: string): Error {
    return new Error(`${reason}: running ${quoted(command)}:\n${Buffer.concat(this.#both).toString("utf8")}`);
  }
}

function text(chunks: readonly Buffer[]): string {
  const whole = Buffer.concat(chunks).toString("utf8");
  return whole.endsWith("\n") ? whole.slice(0, -1) : whole;
}

const escapes: Readonly<Record<string, string>> = {
  "\u0007": "\\a",
  "\b": "\\b",
  "\f": "\\f",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\v": "\\v",
  "\\": "\\\\",
  '"': '\\"',
};

/** A text on one line in double quotes. */
export function quoted(value: string): string {
  const body = value.replace(
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is escaped here
    /[\u0000-\u001f\u007f\\"]/g,
    (character) => escapes[character] ?? `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
  return `"${body}"`;
}
