import { spawn } from "node:child_process";

/** How a finished command ended. `code` is 128 + signal when a signal ended it. */
export interface Finished {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  /** Written to the command's stdin, which is then closed. Default: nothing. */
  readonly stdin?: string | Buffer;
  /** Default 60. After it the command is killed and the promise rejects. */
  readonly timeoutSeconds?: number;
  /** Added to this process's environment. */
  readonly environment?: Readonly<Record<string, string>>;
  readonly directory?: string;
  /** Called with each whole line of stdout as it arrives. */
  readonly onLine?: (line: string) => void;
}

/** Runs a command to its end, whatever its exit code; rejects when it cannot be started or takes too long. */
export function run(command: readonly string[], options: RunOptions = {}): Promise<Finished> {
  const [program, ...words] = command;
  if (program === undefined) throw new Error("run: an empty command");
  const seconds = options.timeoutSeconds ?? 60;
  return new Promise((resolve, reject) => {
    const child = spawn(program, words, {
      stdio: ["pipe", "pipe", "pipe"],
      env: { ...process.env, ...options.environment },
      ...(options.directory === undefined ? {} : { cwd: options.directory }),
    });
    const out: string[] = [];
    const err: string[] = [];
    let rest = "";
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      child.kill("SIGKILL");
      // A grandchild may hold the pipes open: what counts is that the command itself is gone.
      child.stdout.destroy();
      child.stderr.destroy();
    }, seconds * 1000);
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      out.push(text);
      if (!options.onLine) return;
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) options.onLine(line);
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => err.push(text));
    // A command may end without reading its stdin; its exit code says what happened.
    child.stdin.on("error", () => {});
    child.stdin.end(options.stdin ?? "");
    child.once("error", (error) => {
      clearTimeout(timer);
      reject(new Error(`cannot start ${program}: ${error.message}`));
    });
    child.once("close", (code, signal) => {
      clearTimeout(timer);
      const finished = {
        code: code ?? 128 + (signal === "SIGKILL" ? 9 : 15),
        stdout: out.join(""),
        stderr: err.join(""),
      };
      if (late) {
        const said = (finished.stderr || finished.stdout).trim().slice(-500);
        reject(new Error(`${shown(command)}: not done after ${seconds} s${said ? `; so far: ${said}` : ""}`));
      } else resolve(finished);
    });
  });
}

/** Like `run`, but any exit code other than 0 rejects with what the command said. Resolves with its stdout. */
export async function check(command: readonly string[], options: RunOptions = {}): Promise<string> {
  const finished = await run(command, options);
  if (finished.code === 0) return finished.stdout;
  const said = (finished.stderr || finished.stdout).trim().slice(-2000);
  throw new Error(`${shown(command)}: exit code ${finished.code}${said ? `: ${said}` : ""}`);
}

function shown(command: readonly string[]): string {
  const line = command.join(" ");
  return line.length > 200 ? `${line.slice(0, 200)}…` : line;
}
