import { claim, deploy } from "../deploy.ts";
import { allowBad, type CommonOptions, type Define } from "./shape.ts";

export const up: Define = (program, run) => {
  program
    .command("up")
    .description("bring the stack to what its pins say; what does not hold is taken back")
    .option(...allowBad)
    .option("-m, --message <text>", "told to the history", "up")
    .action((options: CommonOptions & { allowBad?: boolean; message: string }) =>
      run(options, async (session) =>
        deploy(session, await claim(session), {
          message: options.message,
          allowBad: options.allowBad === true,
        }),
      ),
    );
};
