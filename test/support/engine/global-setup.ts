import { locateEngine } from "../../../engine/locate.ts";
import { progressLine } from "../../../engine/progress.ts";

/** Before the first test that needs it: builds the engine where it is missing, which takes longer than any test may. */
export async function setup(): Promise<void> {
  await locateEngine(process.env, progressLine(process.stderr));
}
