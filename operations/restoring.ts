import { offered } from "./history.ts";
import { restoreFrom } from "./moves.ts";
import { type Pins, PinsError, pinsOf } from "./pins.ts";
import { observe, readHistory, type Session } from "./session.ts";
import type { StackFile } from "./stackfile.ts";
import { isReachable } from "./targets.ts";

/**
 * The pins that make live again what was live in a stack version, with its settings, for all systems or for one; and
 * a line for each system that says so.
 * @throws PinsError when that version is not offered, knows nothing of the system, or its release is marked bad.
 */
export async function restoreVersion(
  session: Session,
  file: StackFile,
  number: number,
  options: { readonly system?: string; readonly allowBad: boolean },
): Promise<{ pins: Pins; texts: string[] }> {
  if (options.system !== undefined) pinsOf(file.pins, options.system);
  const version = offered(await readHistory(session), number);
  const observed = await observe(session, file);
  let pins = file.pins;
  const texts: string[] = [];
  for (const system of options.system === undefined ? Object.keys(file.pins) : [options.system]) {
    const past = version.pins[system];
    if (!past || past.live === null) {
      if (options.system !== undefined) {
        throw new PinsError(`stack version ${number} had no release of ${system}: nothing was changed`);
      }
      texts.push(`${system}: stack version ${number} had no release of it; it stays as it is`);
      continue;
    }
    const found = observed[system];
    const placed = isReachable(found) ? found.placed.map(({ fingerprint }) => fingerprint) : null;
    const left = pinsOf(pins, system).live;
    const change = restoreFrom(
      pins,
      system,
      { ...past, live: past.live },
      { placed, kept: "left", allowBad: options.allowBad },
    );
    pins = change.pins;
    texts.push(
      change.release === left
        ? `${system}: ${left} was live in stack version ${number} and is now`
        : `${system}: back from ${left ?? "nothing"} to ${change.release}, live in stack version ${number}`,
    );
  }
  return { pins, texts };
}
