import { dirname } from "node:path";
import { Command, CommanderError } from "commander";
import { checkService } from "./commands/check-service.ts";
import { destroy } from "./commands/destroy.ts";
import { doctor } from "./commands/doctor.ts";
import { flip } from "./commands/flip.ts";
import { history } from "./commands/history.ts";
import { integration } from "./commands/integration.ts";
import { preview } from "./commands/preview.ts";
import { passToPulumi } from "./commands/pulumi.ts";
import { recover } from "./commands/recover.ts";
import { releaseCommand } from "./commands/release.ts";
import { rollback } from "./commands/rollback.ts";
import type { Define, Run } from "./commands/shape.ts";
import { start } from "./commands/start.ts";
import { status } from "./commands/status.ts";
import { stop } from "./commands/stop.ts";
import { up } from "./commands/up.ts";
import { whoAmI } from "./ledger.ts";
import { Locked } from "./lock.ts";
import { PinsError } from "./pins.ts";
import { exit, type Surroundings } from "./session.ts";
import { connectTargets } from "./targets.ts";
import { createVoice } from "./voice.ts";

const commands: readonly Define[] = [
  up,
  preview,
  releaseCommand,
  rollback,
  flip,
  stop,
  history,
  status,
  recover,
  doctor,
  start,
  destroy,
  integration,
  checkService,
];

/**
 * The command line. @param words Without the program's name. @param signal Aborted by the first Ctrl-C.
 * @returns the exit code: 0 done, 1 refused or taken back, 2 wrong words, 3 taking back failed, 130 interrupted.
 */
export async function switchyard(
  words: readonly string[],
  surroundings: Surroundings,
  signal: AbortSignal = new AbortController().signal,
): Promise<number> {
  // Everything after `pulumi` belongs to Pulumi, --help and --json too.
  if (words[0] === "pulumi") return passToPulumi(surroundings, words.slice(1), defaultStack(surroundings));
  let code: number = exit.ok;
  const run: Run = async (options, body) => {
    const voice = createVoice(surroundings.stdout, surroundings.stderr, { json: options.json === true });
    const { stack } = options;
    const command = words.join(" ");
    const engine = once(() => surroundings.engine(stack));
    const session = {
      ...surroundings,
      engine,
      stack,
      voice,
      who: whoAmI(surroundings.environment),
      signal,
      command,
    };
    try {
      code = await body(session);
    } catch (error) {
      const known = error instanceof PinsError || error instanceof Locked;
      const { message, stack: trace } = error as Error;
      voice.error(known || !surroundings.environment.SWITCHYARD_DEBUG ? message : (trace ?? message));
      voice.emit("result", { result: "refused", reason: message });
      code = exit.failed;
    }
  };
  const program = createProgram(surroundings, run);
  try {
    await program.parseAsync(words, { from: "user" });
    return code;
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return error.exitCode === 0 ? exit.ok : exit.usage;
  }
}

const defaultStack = ({ environment }: Pick<Surroundings, "environment">): string =>
  environment.SWITCHYARD_STACK || "development";

/** The words that there are, and what they take; `run` is given each command's body. */
export function createProgram(
  { environment, stdout, stderr }: Pick<Surroundings, "environment" | "stdout" | "stderr">,
  run: Run,
): Command {
  const program = new Command("switchyard")
    .description("A stack update is the deployment, and the way back.")
    .exitOverride()
    .showHelpAfterError("(switchyard --help lists the commands)")
    .configureOutput({ writeOut: (text) => stdout.write(text), writeErr: (text) => stderr.write(text) })
    .addHelpText(
      "after",
      "\nEverything else Pulumi can do: switchyard pulumi <command>, with the CLI that was found.",
    );
  for (const define of commands) define(program, run);
  for (const command of program.commands) {
    command
      .option("-s, --stack <name>", "which stack", defaultStack({ environment }))
      .option("--json", "one JSON object a line, for machines")
      .exitOverride();
  }
  return program;
}

/** What the machine this runs on gives. */
export async function realSurroundings(): Promise<Surroundings> {
  const checkout = dirname(import.meta.dirname);
  return {
    checkout,
    environment: process.env,
    stdout: process.stdout,
    stderr: process.stderr,
    engine: async (stack) => {
      const { engineEnvironment } = await import("../engine/environment.ts");
      return engineEnvironment({ stack });
    },
    targets: connectTargets,
  };
}

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => {
    made ??= make();
    return made;
  };
}

if (import.meta.main) {
  const controller = new AbortController();
  // Whoever reads along may leave (`| head`): the command goes on to its end, and so does its taking back.
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "EPIPE") throw error;
    });
  }
  process.on("SIGINT", () => {
    if (controller.signal.aborted) {
      process.stderr.write("Leaving; the engine ends the step under way in the background.\n");
      process.exit(exit.interrupted);
    }
    process.stderr.write("Stopping: the engine ends the steps under way. Ctrl-C again leaves it to that.\n");
    controller.abort();
  });
  process.exitCode = await switchyard(process.argv.slice(2), await realSurroundings(), controller.signal);
}
