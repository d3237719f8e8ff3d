import { spawn } from "node:child_process";

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin?: string;
  readonly seconds: number;
}

export interface RunResult {
  readonly code: number;
  readonly stdout: string;
  /** Last 64 KiB of standard error. */
  readonly stderr: string;
}

const kept = 1 << 16;

/** Runs a program, bounded in time; its whole process group ends with it. Throws when it cannot be started. */
export function run(argv: readonly string[], options: RunOptions): Promise<RunResult> {
  const [program, ...args] = argv;
  if (program === undefined) throw new Error("run: no program given");
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      env: { ...process.env, ...options.env },
      stdio: ["pipe", "pipe", "pipe"],
      detached: true,
    });
    let stdout = "";
    let stderr = "";
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      endGroup(child.pid);
    }, options.seconds * 1000);
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout = (stdout + text).slice(-kept * 16);
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr = (stderr + text).slice(-kept);
    });
    child.stdin.on("error", () => {});
    child.stdin.end(options.stdin ?? "");
    child.once("error", (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.once("close", (code) => {
      clearTimeout(timer);
      if (timedOut) stderr += `\nended after ${options.seconds} s, its limit`;
      resolve({ code: timedOut ? 124 : (code ?? 137), stdout, stderr });
    });
  });
}

/** Runs a program and throws, with the end of what it printed, unless it exits 0. */
export async function mustRun(argv: readonly string[], options: RunOptions): Promise<string> {
  const result = await run(argv, options);
  if (result.code === 0) return result.stdout;
  const printed = `${result.stdout}\n${result.stderr}`.trim().split("\n").slice(-20).join("\n");
  throw new Error(`\`${argv.join(" ")}\` exited ${result.code}:\n${printed}`);
}

function endGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // Already gone.
  }
}
