import type { Pins, SystemPins } from "./pins.ts";
import { PinsError } from "./pins.ts";
import { pinsFromConfig } from "./stackfile.ts";

/**
 * Stack versions, counted from the backend's own entries: a file or S3 backend numbers none (its version is always 0),
 * so there the oldest is 1; a backend with numbers of its own keeps them.
 */
export interface StackVersion {
  readonly number: number;
  /** update, refresh, destroy, import, … as the backend says. */
  readonly kind: string;
  /** succeeded, failed, in-progress. */
  readonly result: string;
  readonly startedAt: string;
  readonly endedAt: string | null;
  readonly who: string;
  readonly message: string;
  /** Release live by system, as that update's config had it. */
  readonly live: Readonly<Record<string, string>>;
  readonly pins: Pins;
  /** Why `rollback --to` does not offer it; null when it does. */
  readonly notOffered: string | null;
}

/** One element of `pulumi stack history --json`. */
export interface BackendEntry {
  readonly version: number;
  readonly kind: string;
  readonly startTime: string;
  readonly endTime?: string;
  readonly message: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly config: Readonly<Record<string, { value?: string; objectValue?: unknown; secret: boolean }>>;
  readonly result?: string;
}

/** @param entries Newest first, as the CLI gives them, all of them. @returns oldest first. */
export function numberVersions(entries: readonly BackendEntry[]): StackVersion[] {
  const oldestFirst = [...entries].reverse();
  return oldestFirst.map((entry, index) => {
    const pins = pastPins(entry);
    const { message, who } = signed(entry);
    const live = Object.entries(pins).flatMap(([system, { live }]) =>
      live === null ? [] : [[system, live]],
    );
    return {
      number: entry.version > 0 ? entry.version : index + 1,
      kind: entry.kind,
      result: entry.result ?? "in-progress",
      startedAt: entry.startTime,
      endedAt: entry.endTime ?? null,
      who,
      message,
      live: Object.fromEntries(live),
      pins,
      notOffered: notOffered(entry, live.length),
    };
  });
}

function notOffered(entry: BackendEntry, live: number): string | null {
  if (entry.kind !== "update") return `it is a ${entry.kind}, not an update`;
  if (entry.result !== "succeeded")
    return `that update ${entry.result === "failed" ? "failed" : "did not end"}`;
  const narrow = ["target", "exclude", "target-replace"].find(
    (flag) => entry.environment[`pulumi.flag.${flag}`],
  );
  if (narrow) return `that update ran with --${narrow}: it did not bring everything it names`;
  return live === 0 ? "its config pins no release" : null;
}

/**
 * The entry to go back to.
 * @throws PinsError naming the reason and the nearest offered numbers.
 */
export function offered(versions: readonly StackVersion[], number: number): StackVersion {
  const found = versions.find((version) => version.number === number);
  if (found && found.notOffered === null) return found;
  const reason = found
    ? `stack version ${number} is not offered: ${found.notOffered}`
    : `there is no stack version ${number}: ${versions.length === 0 ? "the stack was never updated" : `history has ${versions[0]!.number} to ${versions.at(-1)!.number}`}`;
  const numbers = versions.filter((version) => version.notOffered === null).map((version) => version.number);
  const near = [numbers.findLast((each) => each < number), numbers.find((each) => each > number)].filter(
    (each) => each !== undefined,
  );
  throw new PinsError(`${reason}; nearest offered: ${near.join(" and ") || "none"}`);
}

/**
 * The last version in which the system held: of those in which what the target confirms was live, the newest that
 * succeeded (or, after plain updates in which another system failed, the newest at all); where the target confirms
 * nothing or could not be asked, the newest that succeeded. Null before the first good deployment.
 * @param confirmed Name of the release that the target confirms.
 */
export function lastGood(
  versions: readonly StackVersion[],
  system: string,
  confirmed: string | null,
): (SystemPins & { readonly live: string; readonly number: number }) | null {
  const withSystem = versions.filter(({ kind, pins }) => kind === "update" && pins[system]?.live != null);
  const succeeded = withSystem.filter(({ notOffered }) => notOffered === null);
  const serves = (version: StackVersion) => version.live[system] === confirmed;
  const found = succeeded.findLast(serves) ?? withSystem.findLast(serves) ?? succeeded.at(-1);
  const pins = found?.pins[system];
  return found && pins && pins.live !== null ? { ...pins, live: pins.live, number: found.number } : null;
}

/** What `up` writes after a message, so that the name travels with the backend; DIY backends record nobody. */
export const sign = (message: string, who: string): string => `${message} [by ${who}]`;

function signed(entry: BackendEntry): { message: string; who: string } {
  const [, message, who] = /^(.*) \[by ([^\]]+)\]$/s.exec(entry.message) ?? [];
  const { environment } = entry;
  const author = environment["git.committer"] ?? environment["git.author"];
  return {
    message: (message ?? entry.message).split("\n")[0]!,
    who: who ?? (author ? `(commit of ${author})` : "unknown"),
  };
}

/** Values that are secret come without their content and are never part of pins. */
function pastPins(entry: BackendEntry): Pins {
  const plain = Object.entries(entry.config).flatMap(([key, { value, objectValue, secret }]) =>
    secret ? [] : [[key, objectValue ?? value]],
  );
  try {
    return pinsFromConfig(Object.fromEntries(plain), `stack version of ${entry.startTime}`);
  } catch (error) {
    // Config that the program itself refused; such an update failed and is shown without releases.
    if (error instanceof PinsError) return {};
    throw error;
  }
}
