/** Runs a command on this machine. */
import { type ChildProcess, spawn } from "node:child_process";
import { stat } from "node:fs/promises";
import type { Socket } from "node:net";
import { constants } from "node:os";
import type { Log } from "../protocol/log.ts";
import type { Properties, Value } from "../protocol/values.ts";
import { archiveOf, filesMatching } from "./files.ts";
import { CommandOutput } from "./output.ts";
import { openPipes } from "./pipes.ts";
import type { Logging } from "./schema.ts";

/** Inputs of a local command, without envelopes. */
export interface LocalInputs {
  readonly stdin?: string;
  readonly logging?: Logging;
  readonly interpreter?: readonly string[];
  readonly dir?: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly assetPaths?: readonly string[];
  readonly archivePaths?: readonly string[];
  readonly addPreviousOutputInEnv?: boolean;
}

/** What an earlier run of the same resource printed. */
export interface PreviousOutput {
  readonly stdout?: string;
  readonly stderr?: string;
}

/** The variables that carry an earlier run's output into this one; empty texts are not passed. */
export function previousOutput(
  previous: PreviousOutput,
  wanted: boolean | undefined,
): Record<string, string> {
  if (wanted === false) return {};
  return {
    ...(previous.stdout ? { PULUMI_COMMAND_STDOUT: previous.stdout } : {}),
    ...(previous.stderr ? { PULUMI_COMMAND_STDERR: previous.stderr } : {}),
  };
}

const running = new Set<ChildProcess>();

/** Kills every local command at once; for an engine that is gone. What a command started itself lives on. */
export function killAll(): void {
  for (const child of running) child.kill("SIGKILL");
}

/**
 * Runs `command` by the interpreter (`/bin/sh -c` unless told) and waits for it.
 * @param signal aborting it kills the command
 * @returns stdout and stderr, and the files asked for as `assets` and `archive`
 * @throws naming the exit status, the command and all it printed
 */
export async function runLocally(
  command: string,
  inputs: LocalInputs,
  previous: PreviousOutput,
  log: Log,
  signal: AbortSignal,
): Promise<Properties> {
  const output = new CommandOutput(log, inputs.logging);
  const folder = inputs.dir ?? process.cwd();
  const interpreter = inputs.interpreter?.length ? inputs.interpreter : ["/bin/sh", "-c"];
  const failed = await finished(
    [...interpreter, command],
    folder,
    {
      ...process.env,
      ...inputs.environment,
      ...previousOutput(previous, inputs.addPreviousOutputInEnv),
    },
    inputs.stdin,
    output,
    signal,
  );
  output.end();
  await log.flush();
  if (failed !== undefined) throw output.failure(failed, command);
  const found: Record<string, Value> = { ...output.results() };
  if (inputs.assetPaths !== undefined) found.assets = await filesMatching(folder, inputs.assetPaths);
  if (inputs.archivePaths !== undefined) {
    found.archive = await archiveOf(await filesMatching(folder, inputs.archivePaths));
  }
  return found;
}

/** @returns undefined when the command ended well, else why not */
async function finished(
  words: readonly string[],
  folder: string,
  env: NodeJS.ProcessEnv,
  stdin: string | undefined,
  output: CommandOutput,
  signal: AbortSignal,
): Promise<string | undefined> {
  const [program = "/bin/sh", ...rest] = words;
  if (signal.aborted) return "canceled before it started";
  // Without this a missing folder is told as a missing program.
  if (!(await isFolder(folder))) return `chdir ${folder}: no such directory`;
  const pipes = await openPipes(stdin ?? "");
  const child = spawn(program, rest, { cwd: folder, env, stdio: pipes.child });
  running.add(child);
  const read = Promise.all([
    drained(pipes.stdout, output.takeStdout),
    drained(pipes.stderr, output.takeStderr),
  ]);
  const ended = exit(child, program);
  const kill = (): void => {
    child.kill("SIGKILL");
    // A grandchild may hold the pipes open for ever; who cancels does not wait for it.
    void ended.then(() => [pipes.stdout, pipes.stderr].forEach((stream) => void stream.destroy()));
  };
  signal.addEventListener("abort", kill);
  if (signal.aborted) kill();
  await pipes.release();
  const reason = await ended;
  await read;
  signal.removeEventListener("abort", kill);
  running.delete(child);
  return reason;
}

function drained(stream: Socket, take: (chunk: Buffer) => void): Promise<void> {
  stream.on("data", take);
  stream.on("error", () => undefined);
  return new Promise((resolve) => void stream.once("close", () => resolve()));
}

/** @returns undefined for exit status 0 */
function exit(child: ChildProcess, program: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    child.once("error", (error: NodeJS.ErrnoException) => resolve(startFailure(program, error)));
    child.once("exit", (code, by) => {
      if (code === 0) resolve(undefined);
      else resolve(by === null ? `exit status ${code}` : `signal: ${signalName(by)}`);
    });
  });
}

async function isFolder(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isDirectory() ?? false;
}

function startFailure(program: string, error: NodeJS.ErrnoException): string {
  if (error.code !== "ENOENT") return `fork/exec ${program}: ${error.message}`;
  return program.includes("/")
    ? `fork/exec ${program}: no such file or directory`
    : `exec: "${program}": executable file not found in $PATH`;
}

const signalTexts: Readonly<Record<string, string>> = {
  SIGKILL: "killed",
  SIGTERM: "terminated",
  SIGINT: "interrupt",
  SIGHUP: "hangup",
  SIGQUIT: "quit",
  SIGABRT: "aborted",
  SIGSEGV: "segmentation fault",
};

function signalName(name: NodeJS.Signals): string {
  return signalTexts[name] ?? `signal ${constants.signals[name]}`;
}
