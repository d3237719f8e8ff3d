import { claim } from "../deploy.ts";
import { runDestroy } from "../engine.ts";
import { failuresBySystem, stepResolver } from "../events.ts";
import { sign } from "../history.ts";
import { PinsError } from "../pins.ts";
import { showProgress } from "../progress.ts";
import { development, exit, record } from "../session.ts";
import type { CommonOptions, Define } from "./shape.ts";

const MINUTES = 10;

export const destroy: Define = (program, run) => {
  program
    .command("destroy")
    .description("take everything of the stack away; outside development only when armed")
    .option("--arm", `let the targets allow it for ${MINUTES} minutes`)
    .option("--yes", "really")
    .action((options: CommonOptions & { arm?: boolean; yes?: boolean }) =>
      run(options, async (session) => {
        const began = Date.now();
        if (!options.arm && !development(session)) {
          throw new PinsError(
            `destroying "${session.stack}" would stop what serves: say --arm --yes if that is meant. Nothing was changed.`,
          );
        }
        if (!options.yes)
          throw new PinsError("say --yes to destroy the stack's resources. Nothing was changed.");
        const file = await claim(session);
        if (options.arm) {
          const targets = await session.targets(session.stack, file.config);
          for (const system of Object.keys(file.pins)) await targets.arm(system, MINUTES);
        }
        const display = showProgress(session.voice);
        const { checkout, stack, signal } = session;
        const resolve = stepResolver(Object.keys(file.pins));
        const engine = await session.engine();
        const result = await runDestroy(
          { engine, checkout, stack, resolve, signal, onProgress: display.show },
          sign("destroy", session.who),
        ).finally(display.end);
        await record(session, file, result.ok ? "succeeded" : "failed", began);
        if (result.ok) {
          session.voice.line(`destroyed in ${result.seconds.toFixed(1)} s; the pins stay as they are`);
          session.voice.emit("result", { result: "succeeded", seconds: result.seconds });
          return exit.ok;
        }
        session.voice.error([...failuresBySystem(result.record).values()].join("\n") || result.said);
        session.voice.emit("result", { result: "failed", files: result.files });
        return exit.failed;
      }),
    );
};
