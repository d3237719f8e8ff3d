import { setTimeout as pause } from "node:timers/promises";

/** How a target is asked again that was lost in the middle of something that is safe to repeat. */
export interface Redialing {
  /** How long it may give no answer at all. */
  readonly seconds: number;
  readonly pauseSeconds: number;
}

/** Longer than a machine takes to start again, or a router to find another way. */
export const redialing: Redialing = { seconds: 300, pauseSeconds: 2 };

/** `broken`: there was a connection, and it is gone. `silent`: there is none to be had. */
export type Loss = "broken" | "silent";

/**
 * Does `work` again for as long as it is lost on its way. Whatever it begins has to be known by an identity of its own:
 * the first try may have arrived.
 *
 * @param lossOf null: an answer, also a bad one
 * @throws the last loss, once there has been no connection for `seconds`
 */
export async function redialed<T>(
  work: () => Promise<T>,
  lossOf: (error: unknown) => Loss | null,
  { seconds, pauseSeconds }: Redialing = redialing,
): Promise<T> {
  let silentSince: number | null = null;
  for (;;) {
    const began = performance.now();
    try {
      return await work();
    } catch (error) {
      const loss = lossOf(error);
      if (loss === null) throw error;
      silentSince = loss === "broken" ? performance.now() : (silentSince ?? began);
      if (performance.now() - silentSince > seconds * 1000) throw error;
      await pause(pauseSeconds * 1000);
    }
  }
}
