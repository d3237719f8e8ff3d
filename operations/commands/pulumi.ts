import { spawn } from "node:child_process";
import { stackNamed } from "../../engine/environment.ts";
import type { Surroundings } from "../session.ts";

/**
 * `switchyard pulumi …`: the CLI that was found, with the environment it needs; everything else is its own business.
 * @returns its exit code.
 */
export async function passToPulumi(
  surroundings: Surroundings,
  words: readonly string[],
  defaultStack: string,
): Promise<number> {
  const stack = stackNamed(words, surroundings.environment) ?? defaultStack;
  const { command, environment } = await surroundings.engine(stack);
  // The terminal sends Ctrl-C to the CLI itself; this process only waits for its answer.
  const wait = () => {};
  process.on("SIGINT", wait);
  try {
    const env = { ...environment, PULUMI_STACK: stack };
    const child = spawn(command, words, { cwd: surroundings.checkout, env, stdio: "inherit" });
    return await new Promise((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (code) => resolve(code ?? 130));
    });
  } finally {
    process.off("SIGINT", wait);
  }
}
