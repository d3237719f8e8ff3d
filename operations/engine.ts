import { type ChildProcess, spawn } from "node:child_process";
import { mkdir, open, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type EngineEvent, type Progress, type Resolve, RunEvents, type RunRecord } from "./events.ts";

/**
 * Drives the Pulumi CLI: one start for an update, none to select, to probe or to read outputs back (the events carry
 * them). Measured on two cores, no-op update of an empty stack: 0.98 s like this, 1.70 s as plain `pulumi up` (which
 * previews first), 2.40 s through the Automation API (import 0.3, probing and selecting 0.2, up and reading back 1.8).
 *
 * The CLI runs in a session of its own and writes to files: Ctrl-C reaches it once, through `interrupt`, and the death
 * of this process or its terminal does not reach it at all.
 */
export interface Engine {
  /** Path of the Pulumi CLI. */
  readonly command: string;
  /** Everything it needs to find hosts, plugins and the passphrase. */
  readonly environment: NodeJS.ProcessEnv;
}

export interface RunOptions {
  readonly engine: Engine;
  readonly checkout: string;
  readonly stack: string;
  readonly resolve: Resolve;
  readonly onProgress?: (progress: Progress) => void;
  /** First abort: the engine ends the steps under way and stops. */
  readonly signal?: AbortSignal | undefined;
}

export interface RunResult {
  readonly ok: boolean;
  readonly record: RunRecord;
  /** What the CLI said apart from events: the whole reason when it never came to run the program. */
  readonly said: string;
  readonly interrupted: boolean;
  /** The signal that ended the CLI itself (somebody killed it, the machine ran out of memory); null else. */
  readonly killed: NodeJS.Signals | null;
  readonly seconds: number;
  /** Folder with the engine's events and words, for whoever digs deeper; the last 20 are kept. */
  readonly files: string;
}

const KEPT_RUNS = 20;

/** `pulumi up` without its own preview: gates, cutover and taking back are the protection, `switchyard preview` shows. */
export const runUp = (options: RunOptions, message: string): Promise<RunResult> =>
  run(options, ["up", "--skip-preview", "--yes", "--continue-on-error", "--json", "--message", message]);

export const runPreview = (options: RunOptions): Promise<RunResult> =>
  run(
    {
      ...options,
      engine: {
        ...options.engine,
        environment: { ...options.engine.environment, PULUMI_ENABLE_STREAMING_JSON_PREVIEW: "true" },
      },
    },
    ["preview", "--json"],
  );

export const runDestroy = (options: RunOptions, message: string): Promise<RunResult> =>
  run(options, ["destroy", "--skip-preview", "--yes", "--continue-on-error", "--json", "--message", message]);

async function run(options: RunOptions, words: readonly string[]): Promise<RunResult> {
  const began = performance.now();
  const files = await runFolder(options.checkout, words[0]!);
  const out = join(files, "events.ndjson");
  const err = join(files, "said.txt");
  const child = await start(options, words, out, err);
  const closed = new Promise<{ code: number | null; killed: NodeJS.Signals | null }>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, killed) => resolve({ code, killed }));
  });
  const interrupt = () => signalOnce(child);
  options.signal?.addEventListener("abort", interrupt, { once: true });
  if (options.signal?.aborted) interrupt();

  const events = new RunEvents(options.resolve);
  const other: string[] = [];
  const follow = follower(out, (line) => {
    const event = parseEvent(line);
    if (!event) other.push(line);
    else {
      const progress = events.take(event);
      if (progress) options.onProgress?.(progress);
    }
  });
  try {
    let ended = false;
    const exit = closed.finally(() => {
      ended = true;
    });
    while (!ended) {
      await follow.read();
      await Promise.race([exit, sleep(60)]);
    }
    await follow.read();
    const { code, killed } = await exit;
    const said = [...other, (await readFile(err, "utf8")).trim()].filter(Boolean).join("\n");
    const interrupted = options.signal?.aborted === true;
    const seconds = (performance.now() - began) / 1000;
    return { ok: code === 0, record: events.record, said, interrupted, killed, seconds, files };
  } finally {
    await follow.close();
    options.signal?.removeEventListener("abort", interrupt);
  }
}

async function start(
  options: RunOptions,
  words: readonly string[],
  out: string,
  err: string,
): Promise<ChildProcess> {
  const [stdout, stderr] = await Promise.all([open(out, "wx", 0o600), open(err, "wx", 0o600)]);
  try {
    return spawn(
      options.engine.command,
      [...words, "--stack", options.stack, "--non-interactive", "--color", "never"],
      {
        cwd: options.checkout,
        env: options.engine.environment,
        stdio: ["ignore", stdout.fd, stderr.fd],
        detached: true,
      },
    );
  } finally {
    await Promise.all([stdout.close(), stderr.close()]);
  }
}

/** SIGINT once: a second one makes the CLI leave steps in the middle. */
function signalOnce(child: ChildProcess): void {
  if (child.exitCode === null) child.kill("SIGINT");
}

/** Reads what was appended to a file since the last time, whole lines only. */
function follower(path: string, onLine: (line: string) => void) {
  const handle = open(path, "r");
  const decoder = new TextDecoder();
  const chunk = Buffer.alloc(64 * 1024);
  let rest = "";
  let offset = 0;
  return {
    async read(): Promise<void> {
      for (;;) {
        const { bytesRead } = await (await handle).read(chunk, 0, chunk.length, offset);
        if (bytesRead === 0) return;
        offset += bytesRead;
        const lines = (rest + decoder.decode(chunk.subarray(0, bytesRead), { stream: true })).split("\n");
        rest = lines.pop()!;
        for (const line of lines) if (line.trim() !== "") onLine(line);
      }
    },
    async close(): Promise<void> {
      await (await handle).close();
    },
  };
}

function parseEvent(line: string): EngineEvent | null {
  if (!line.startsWith("{")) return null;
  try {
    return JSON.parse(line) as EngineEvent;
  } catch {
    return null;
  }
}

async function runFolder(checkout: string, what: string): Promise<string> {
  const all = join(checkout, ".switchyard", "runs");
  await mkdir(all, { recursive: true, mode: 0o700 });
  const old = (await readdir(all)).sort().slice(0, -(KEPT_RUNS - 1));
  await Promise.all(old.map((name) => rm(join(all, name), { recursive: true, force: true })));
  const name = `${new Date().toISOString().replaceAll(":", "-")}-${what}-${process.pid}`;
  for (let round = 0; ; round++) {
    const folder = join(all, round === 0 ? name : `${name}-${round}`);
    const made = await mkdir(folder, { mode: 0o700 }).then(
      () => true,
      (error: NodeJS.ErrnoException) => {
        if (error.code === "EEXIST") return false;
        throw error;
      },
    );
    if (made) return folder;
  }
}

/**
 * A short question to the CLI, its answer as text. Never with secrets: the words are visible to everybody on the
 * machine.
 * @param seconds @default 60
 * @throws Error with the CLI's own words.
 */
export async function ask(
  engine: Engine,
  checkout: string,
  words: readonly string[],
  seconds = 60,
): Promise<string> {
  const child = spawn(engine.command, [...words, "--non-interactive", "--color", "never"], {
    cwd: checkout,
    env: engine.environment,
    stdio: ["ignore", "pipe", "pipe"],
    signal: AbortSignal.timeout(seconds * 1000),
  });
  const [out, err]: [Buffer[], Buffer[]] = [[], []];
  child.stdout.on("data", (data: Buffer) => out.push(data));
  child.stderr.on("data", (data: Buffer) => err.push(data));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  if (code === 0) return Buffer.concat(out).toString("utf8");
  throw new Error(`pulumi ${words.join(" ")} failed: ${Buffer.concat(err).toString("utf8").trim()}`);
}
