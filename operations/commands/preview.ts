import { refused } from "../deploy.ts";
import { runPreview } from "../engine.ts";
import { failuresBySystem, stepResolver } from "../events.ts";
import { planned } from "../plan.ts";
import { showProgress } from "../progress.ts";
import { exit, readPins } from "../session.ts";
import type { CommonOptions, Define } from "./shape.ts";

export const preview: Define = (program, run) => {
  program
    .command("preview")
    .description("what `up` would do, by system; changes nothing")
    .action((options: CommonOptions) =>
      run(options, async (session) => {
        const file = await readPins(session);
        const display = showProgress({ ...session.voice, line: () => {}, emit: () => {} });
        const { checkout, stack, signal } = session;
        const resolve = stepResolver(Object.keys(file.pins));
        const engine = await session.engine();
        const result = await runPreview({
          engine,
          checkout,
          stack,
          resolve,
          signal,
          onProgress: display.show,
        }).finally(display.end);
        if (!result.ok) {
          const errors = [...failuresBySystem(result.record).values()];
          session.voice.error(errors.join("\n") || result.said);
          return exit.failed;
        }
        for (const line of planned(file.pins, result.record)) session.voice.line(line);
        for (const { system, release, reason } of await refused(session, file)) {
          session.voice.line(`${system}: up would refuse ${release}, it is marked bad (${reason})`);
        }
        const steps = result.record.finished.map(({ system, release, name, op }) => ({
          system,
          release,
          name,
          op,
        }));
        session.voice.emit("result", {
          result: "previewed",
          steps,
          notes: result.record.notes,
          outputs: result.record.outputs,
        });
        return exit.ok;
      }),
    );
};
