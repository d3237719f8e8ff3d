import { exit, observe, readPins } from "../session.ts";
import { agrees, stateOf, stateText } from "../state.ts";
import type { CommonOptions, Define } from "./shape.ts";

export const status: Define = (program, run) => {
  program
    .command("status")
    .description("what the pins say and what each target confirms; exit 1 where they differ")
    .action((options: CommonOptions) =>
      run(options, async (session) => {
        const file = await readPins(session);
        const observed = await observe(session, file);
        let ok = true;
        for (const [system, { releases }] of Object.entries(file.pins)) {
          const state = stateOf(system, file, observed);
          const bad = Object.entries(releases).flatMap(([name, { bad }]) =>
            bad ? [{ release: name, reason: bad }] : [],
          );
          ok &&= agrees(state);
          session.voice.line(`${agrees(state) ? "✓" : "✗"}${stateText(state).slice(1)}`);
          if (state.kept.length > 0) session.voice.line(`    kept     ${state.kept.join(", ")}`);
          for (const { release, reason } of bad) session.voice.line(`    bad      ${release}: ${reason}`);
          if (state.flipped) session.voice.line(`    flipped  ${state.flipped}; the next up records it`);
          if (state.lastFailure) session.voice.line(`    failed   ${state.lastFailure}`);
          session.voice.emit("status", { ...state, bad, agrees: agrees(state) });
        }
        return ok ? exit.ok : exit.failed;
      }),
    );
};
