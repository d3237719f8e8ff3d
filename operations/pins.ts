import { isDeepStrictEqual } from "node:util";

/**
 * Pins: which release of a system is live, which are kept ready, and what each release is. Pure functions over plain
 * values; `stackfile.ts` reads them from and writes them to `Pulumi.<stack>.yaml`. They hold no secrets.
 */

/** One entry of `<system>:releases`. Keys this file does not name (images, schema, …) are carried along untouched. */
export interface Release {
  /** The version the release was made of: the tag, or the artifact's version. */
  readonly version: string;
  readonly colour?: "blue" | "green";
  /** Forty hex digits that the tag named when the release was frozen; a moved tag is refused later. */
  readonly commit?: string;
  /** Settings frozen with the release; absent means "today's `<system>:settings`". */
  readonly settings?: unknown;
  /** Twelve hex digits, recorded once the release is placed; absent means "compute it". */
  readonly fingerprint?: string;
  /** Why the release must not go out again; refused until `--allow-bad`. */
  readonly bad?: string;
  readonly [other: string]: unknown;
}

export interface SystemPins {
  readonly live: string | null;
  /** Placed and ready to take traffic, best first. */
  readonly kept: readonly string[];
  readonly releases: Readonly<Record<string, Release>>;
  /** How many releases `release` keeps beside the live one. @default 1 */
  readonly keep: number;
  /** Wanted settings of the next release. */
  readonly settings?: unknown;
}

/** By system, in the order of the stack's file. */
export type Pins = Readonly<Record<string, SystemPins>>;

/** Something is asked of the pins that they cannot give; the message names the way out. */
export class PinsError extends Error {}

/** The system's pins, or an error that lists the systems there are. */
export function pinsOf(pins: Pins, system: string): SystemPins {
  const found = pins[system];
  if (!found) {
    throw new PinsError(
      `unknown system "${system}": the stack's config names ${Object.keys(pins).join(", ") || "none"}`,
    );
  }
  return found;
}

/** What a release is, apart from what was found out about it: two entries with equal content are the same release. */
export function contentOf(release: Release): Record<string, unknown> {
  const { fingerprint: _fingerprint, bad: _bad, colour: _colour, ...content } = release;
  return content;
}

export const sameContent = (a: Release, b: Release): boolean => isDeepStrictEqual(contentOf(a), contentOf(b));

/**
 * The name for an entry: of `wanted`, `<version>-r2`, `<version>-r3`, … the one that already holds the same release,
 * else the first that is free.
 */
export function nameFor(
  releases: SystemPins["releases"],
  wanted: string,
  release: Release,
  same: (found: Release, name: string) => boolean = (found) => sameContent(found, release),
): string {
  const candidate = (round: number) => (round === 1 ? wanted : `${release.version}-r${round}`);
  const taken = Object.keys(releases).map((name) => Number(/-r(\d+)$/.exec(name)?.[1] ?? 1));
  const names = Array.from({ length: Math.max(1, ...taken) + 1 }, (_, index) => candidate(index + 1));
  const holds = (name: string) => releases[name] !== undefined && same(releases[name], name);
  return (
    names.find(holds) ?? names.find((name) => releases[name] === undefined) ?? candidate(names.length + 1)
  );
}

/**
 * Marks a release so that it is refused until `--allow-bad`, with the settings that it failed with: other settings make
 * another release. Its fingerprint goes, it has not held.
 */
export function markBad(pins: Pins, system: string, name: string, release: Release, reason: string): Pins {
  const before = pinsOf(pins, system);
  const { fingerprint: _fingerprint, ...rest } = withSettings(release, before.settings);
  return withSystem(pins, system, {
    ...before,
    releases: { ...before.releases, [name]: { ...rest, version: release.version, bad: reason } },
  });
}

export function clearBad(pins: Pins, system: string, name: string): Pins {
  const before = pinsOf(pins, system);
  const entry = before.releases[name];
  if (!entry?.bad) return pins;
  const { bad: _bad, ...rest } = entry;
  return withSystem(pins, system, { ...before, releases: { ...before.releases, [name]: rest } });
}

export interface BadRelease {
  readonly system: string;
  readonly release: string;
  readonly reason: string;
}

/**
 * Live releases that are marked bad.
 * @param before pins before the change that is to go out: a mark concerns nobody's change but its own system's. Where
 * nothing was changed, or without them, every system is looked at.
 */
export function badLive(pins: Pins, before: Pins = pins): BadRelease[] {
  const changed = Object.keys(pins).filter((system) => moved(pins[system], before[system]));
  return Object.entries(pins).flatMap(([system, { live, releases }]) => {
    const reason = live === null ? undefined : releases[live]?.bad;
    if (reason === undefined || (changed.length > 0 && !changed.includes(system))) return [];
    return [{ system, release: live!, reason }];
  });
}

const moved = (now: SystemPins | undefined, before: SystemPins | undefined): boolean =>
  now?.live !== before?.live || !isDeepStrictEqual(now?.kept, before?.kept);

/**
 * Writes what was placed into entries that have no fingerprint yet, with the settings it was placed with; one that is
 * pinned is never overwritten.
 */
export function recordFingerprints(
  pins: Pins,
  placed: Readonly<Record<string, Readonly<Record<string, string>>>>,
): Pins {
  return Object.fromEntries(
    Object.entries(pins).map(([system, each]) => {
      const releases = Object.entries(each.releases).map(([name, entry]) => {
        const fingerprint = placed[system]?.[name];
        const inUse = name === each.live || each.kept.includes(name);
        if (!inUse || !fingerprint || entry.fingerprint) return [name, entry];
        return [name, { ...withSettings(entry, each.settings), fingerprint }];
      });
      return [system, { ...each, releases: Object.fromEntries(releases) }];
    }),
  );
}

/** An entry that froze no settings runs with those of its time. */
export function withSettings(entry: Release, settings: unknown): Release {
  return entry.settings === undefined && settings !== undefined ? { ...entry, settings } : entry;
}

export const withSystem = (pins: Pins, system: string, value: SystemPins): Pins => ({
  ...pins,
  [system]: value,
});
