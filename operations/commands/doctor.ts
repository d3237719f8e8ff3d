import { exit } from "../session.ts";
import type { CommonOptions, Define } from "./shape.ts";

export const doctor: Define = (program, run) => {
  program
    .command("doctor")
    .description("what was found of the engine and its plugins, and the command that mends what is missing")
    .action((options: CommonOptions) =>
      run(options, async ({ environment, stack, voice }) => {
        const { diagnose, diagnosisText } = await import("../../engine/doctor.ts");
        const diagnosis = await diagnose(environment, stack);
        voice.line(diagnosisText(diagnosis).trimEnd());
        voice.emit("result", { ...diagnosis });
        return diagnosis.ok ? exit.ok : exit.failed;
      }),
    );
};
