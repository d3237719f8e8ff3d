import { claim, deploy } from "../deploy.ts";
import { observe } from "../session.ts";
import { isReachable } from "../targets.ts";
import type { CommonOptions, Define } from "./shape.ts";

export const recover: Define = (program, run) => {
  program
    .command("recover")
    .description(
      "after a kill: clear a dead lock, end unfinished cutovers, bring the stack up; what fails goes back",
    )
    .action((options: CommonOptions) =>
      run(options, async (session) => {
        const file = await claim(session);
        const observed = await observe(session, file);
        const targets = await session.targets(session.stack, file.config);
        for (const system of Object.keys(file.pins)) {
          const found = observed[system];
          if (!isReachable(found) || (found.pending === null && found.stuck === null)) continue;
          session.voice.line(`${system}: ending what was left unfinished`);
          await targets.resolve(system);
        }
        return deploy(session, file, { message: "recover" });
      }),
    );
};
