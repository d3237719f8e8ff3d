import type { WriteStream } from "node:tty";

/** Where words go: lines for people, or with --json one object a line for machines. Never both on one stream. */
export interface Voice {
  readonly json: boolean;
  /** A terminal that lines can be redrawn on. */
  readonly terminal: boolean;
  readonly stdout: NodeJS.WritableStream;
  /** A line for people; silent with --json. */
  line(text: string): void;
  /** An object for machines; silent without --json. */
  emit(type: string, value: Readonly<Record<string, unknown>>): void;
  /** An error: to stderr for people, as an object of type "error" for machines. */
  error(text: string): void;
}

export function createVoice(
  stdout: NodeJS.WritableStream,
  stderr: NodeJS.WritableStream,
  options: { readonly json: boolean },
): Voice {
  const emit = (type: string, value: Readonly<Record<string, unknown>>) => {
    if (options.json) stdout.write(`${JSON.stringify({ type, ...value })}\n`);
  };
  return {
    json: options.json,
    terminal: !options.json && (stdout as WriteStream).isTTY === true,
    stdout,
    line(text) {
      if (!options.json) stdout.write(`${text}\n`);
    },
    emit,
    error(text) {
      if (options.json) emit("error", { text });
      else stderr.write(`${text}\n`);
    },
  };
}
