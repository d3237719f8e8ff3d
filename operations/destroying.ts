import { type RunResult, runDestroy } from "./engine.ts";
import { failuresBySystem, stepResolver } from "./events.ts";
import { sign } from "./history.ts";
import { showProgress } from "./progress.ts";
import type { Session } from "./session.ts";
import type { StackFile } from "./stackfile.ts";

/** Takes everything of the stack away, and says what stood in the way. @param signal Ends it in the middle. */
export async function destroyStack(
  session: Session,
  file: StackFile,
  message: string,
  signal?: AbortSignal,
): Promise<RunResult> {
  const { checkout, stack, voice, who } = session;
  const display = showProgress(voice);
  const engine = await session.engine();
  const resolve = stepResolver(Object.keys(file.pins));
  const options = { engine, checkout, stack, resolve, signal, onProgress: display.show };
  const result = await runDestroy(options, sign(message, who)).finally(display.end);
  if (!result.ok) voice.error([...failuresBySystem(result.record).values()].join("\n") || result.said);
  return result;
}
