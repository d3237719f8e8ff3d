import { claim } from "../deploy.ts";
import { destroyStack } from "../destroying.ts";
import { PinsError } from "../pins.ts";
import { disposable, exit, record } from "../session.ts";
import type { CommonOptions, Define } from "./shape.ts";

const MINUTES = 10;

export const destroy: Define = (program, run) => {
  program
    .command("destroy")
    .description("take everything of the stack away; in staging and production only when armed")
    .option("--arm", `let the targets allow it for ${MINUTES} minutes`)
    .option("--yes", "really")
    .action((options: CommonOptions & { arm?: boolean; yes?: boolean }) =>
      run(options, async (session) => {
        const began = Date.now();
        if (!options.arm && !disposable(session)) {
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
        const { ok, seconds, files } = await destroyStack(session, file, "destroy", session.signal);
        await record(session, file, ok ? "succeeded" : "failed", began);
        if (ok) session.voice.line(`destroyed in ${seconds.toFixed(1)} s; the pins stay as they are`);
        session.voice.emit("result", ok ? { result: "succeeded", seconds } : { result: "failed", files });
        return ok ? exit.ok : exit.failed;
      }),
    );
};
