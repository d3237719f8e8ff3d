import type { Failure } from "../components/rollout/cutover/state.ts";
import { pinsOf } from "./pins.ts";
import type { Observations } from "./session.ts";
import type { StackFile } from "./stackfile.ts";
import { isReachable } from "./targets.ts";

/** A system as its pins and its target have it, side by side. */
export interface SystemState {
  readonly system: string;
  readonly pinned: string | null;
  readonly kept: readonly string[];
  /** Name of the confirmed release, its fingerprint where no name is known; null when nothing is. */
  readonly confirmed: string | null;
  readonly unreachable: string | null;
  readonly pending: string | null;
  readonly stuck: string | null;
  readonly flipped: string | null;
  /** The target's last failure, in a line. */
  readonly lastFailure: string | null;
  /** What is confirmed really serves; true where nothing is. */
  readonly intact: boolean;
  readonly serving: readonly { readonly door: string; readonly release: string | null }[];
}

export function stateOf(system: string, file: StackFile, now: Observations): SystemState {
  const found = now[system];
  const { live, kept } = pinsOf(file.pins, system);
  const reached = isReachable(found) ? found : null;
  const nameOf = (fingerprint: string) =>
    reached?.placed.find((each) => each.fingerprint === fingerprint)?.release ?? fingerprint;
  return {
    system,
    pinned: live,
    kept,
    confirmed: reached?.confirmed ? nameOf(reached.confirmed) : null,
    unreachable: found && "unreachable" in found ? found.unreachable : null,
    pending: reached?.pending
      ? `${reached.pending.from ? nameOf(reached.pending.from) : "nothing"} → ${nameOf(reached.pending.to)}`
      : null,
    stuck: reached?.stuck ?? null,
    flipped: reached?.flipped
      ? `by ${reached.flipped.by} at ${reached.flipped.at}: ${reached.flipped.reason}`
      : null,
    lastFailure: reached?.lastFailure ? failureText(reached.lastFailure) : null,
    intact: reached === null || reached.confirmed === null || reached.intact,
    serving: reached?.serving ?? [],
  };
}

/** Pins and target say the same, and nothing is open. A system that neither knows a release of agrees too. */
export const agrees = ({ pinned, confirmed, unreachable, pending, stuck, intact }: SystemState): boolean =>
  unreachable === null && pending === null && stuck === null && intact && pinned === confirmed;

const failureText = ({ release, leg, step, rule, measured, allowed, at }: Failure): string =>
  `${release} in ${step}${leg === undefined ? "" : ` on ${leg}`} at ${at}: ${rule}, measured ${measured}, allowed ${allowed}`;

export function stateText({
  system,
  pinned,
  confirmed,
  unreachable,
  pending,
  stuck,
  intact,
  serving,
}: SystemState): string {
  const parts = [
    `pins say ${pinned ?? "nothing"}`,
    unreachable === null
      ? `target confirms ${confirmed ?? "nothing"}`
      : `target does not answer (${unreachable})`,
    ...(pending === null ? [] : [`unfinished cutover ${pending}`]),
    ...(stuck === null ? [] : [`stuck: ${stuck}`]),
    ...(intact ? [] : ["a door or a process of it is gone: `switchyard up` brings it back"]),
    ...serving.map(({ door, release }) => `${door} answers with ${release ?? "503"}`),
  ];
  return `  ${system}: ${parts.join("; ")}`;
}
