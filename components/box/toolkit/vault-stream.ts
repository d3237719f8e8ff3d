import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { type Readable, Transform, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";

/** Programs that data flows through: the dump of a database into restic, and back. */

export interface Streaming {
  readonly stdin: Writable;
  readonly stdout: Readable;
  /** Settles when the program has ended. Rejects, with the end of what it said, unless it exited 0. */
  readonly ended: Promise<void>;
  kill(): void;
}

export interface StreamingOptions {
  readonly env: Readonly<Record<string, string>>;
  readonly seconds: number;
  /** Turns what a failed program said into an error. */
  readonly failure: (said: string) => Error;
}

/** Starts a program, bounded in time. */
export function start(argv: readonly string[], { env, seconds, failure }: StreamingOptions): Streaming {
  const [program = "", ...words] = argv;
  const child = spawn(program, words, { env: { ...process.env, ...env }, stdio: ["pipe", "pipe", "pipe"] });
  const timer = setTimeout(() => child.kill("SIGKILL"), seconds * 1000);
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    said = (said + text).slice(-8192);
  });
  const began = performance.now();
  const ended = endOf(child).then((code) => {
    clearTimeout(timer);
    if (code === 0) return;
    const late = performance.now() - began >= seconds * 1000 ? `ended after ${seconds} s, its limit` : "";
    throw failure([said.trim(), late].filter(Boolean).join("\n") || `it ended with ${code}`);
  });
  // Whoever waits for it later still gets it.
  ended.catch(() => {});
  child.stdin.on("error", () => {});
  return { stdin: child.stdin, stdout: child.stdout, ended, kill: () => void child.kill("SIGKILL") };
}

export type Source = Pick<Streaming, "stdout" | "ended" | "kill">;

export interface FlowOptions {
  /**
   * The target may know by itself that it has everything: pg_restore ends after the last row, which can be before its
   * source has. The rest is measured all the same. @default false
   */
  readonly endsByItself?: boolean;
}

/**
 * Lets all that a source says flow into a target and waits for both. A program cannot know an input that was cut short
 * from one that has ended: the target is told the end only when the source has ended well, and is killed otherwise.
 */
export async function flow(
  source: Source,
  target: Streaming,
  { endsByItself = false }: FlowOptions = {},
): Promise<Measured> {
  target.stdout.resume();
  const measure = new Measure();
  try {
    const poured = pipeline(source.stdout, measure, into(target, endsByItself));
    // Nobody reads a long dump to its end for a target that has failed.
    await Promise.race([poured, failureOf(target)]);
    await source.ended;
    target.stdin.end();
    await target.ended;
    return { bytes: measure.bytes, sha256: measure.sha256 };
  } catch (error) {
    source.kill();
    // A pipe that breaks is the target's end: what the target said is the reason.
    const broken = isBrokenPipe(error);
    const patience = setTimeout(target.kill, broken ? 5000 : 0);
    const own = await target.ended.then(
      () => error,
      (reason) => reason,
    );
    clearTimeout(patience);
    throw broken ? own : error;
  }
}

/** Writes to a target's input without ending it. */
function into({ stdin }: Streaming, endsByItself: boolean): Writable {
  return new Writable({
    write(piece: Buffer, _encoding, done) {
      stdin.write(piece, (error) => done(endsByItself && isBrokenPipe(error) ? null : error));
    },
  });
}

/** Never settles for a target that ends well. */
function failureOf(target: Streaming): Promise<never> {
  return new Promise((_, reject) => void target.ended.catch(reject));
}

function isBrokenPipe(error: unknown): boolean {
  const { code = "" } = (error ?? {}) as NodeJS.ErrnoException;
  return ["EPIPE", "ECONNRESET", "ERR_STREAM_PREMATURE_CLOSE", "ERR_STREAM_DESTROYED"].includes(code);
}

/** What flowed. */
export interface Measured {
  readonly bytes: number;
  readonly sha256: string;
}

function endOf(child: ChildProcess): Promise<number | string> {
  return new Promise((resolve, reject) => {
    child.once("close", (code, signal) => resolve(code ?? signal ?? "nothing"));
    child.once("error", (error: NodeJS.ErrnoException) =>
      reject(error.code === "ENOENT" ? new MissingProgram(child.spawnfile) : error),
    );
  });
}

export class MissingProgram extends Error {
  constructor(program: string) {
    const name = program.startsWith("pg_") ? "postgresql-client" : program;
    super(`${program} is not installed here; on Debian: apt-get install ${name}`);
    this.name = "MissingProgram";
  }
}

/** Lets data through and measures it. */
class Measure extends Transform {
  bytes = 0;
  private readonly hash = createHash("sha256");
  private digest: string | null = null;

  override _transform(piece: Buffer, _encoding: BufferEncoding, done: (error: null, piece: Buffer) => void) {
    this.bytes += piece.length;
    this.hash.update(piece);
    done(null, piece);
  }

  /** Of all that went through; asked when it has. */
  get sha256(): string {
    this.digest ??= this.hash.digest("hex");
    return this.digest;
  }
}
