import { isDeepStrictEqual } from "node:util";
import {
  contentOf,
  nameFor,
  type Pins,
  PinsError,
  pinsOf,
  type Release,
  sameContent,
  withSettings,
  withSystem,
} from "./pins.ts";

/** The moves of a system's pins: a new version goes live, a kept one comes back, the past comes back. */

/** What `switchyard release` freezes. */
export interface Frozen {
  readonly version: string;
  readonly commit?: string;
  readonly settings?: unknown;
  readonly sha256?: string;
  /** Image of each service, by digest where the environment asks for it. */
  readonly images?: Readonly<Record<string, string>>;
  /** SHA-256 of what a leg gets beside the source, by the leg's name. */
  readonly artifacts?: Readonly<Record<string, string>>;
  /** @default the live release's, with `change: none` */
  readonly schema?: unknown;
}

/** A change to the pins of one system, with what it did to them. */
export interface Change {
  readonly pins: Pins;
  /** Name under which the pins know the release that is live now. */
  readonly release: string;
  /** False when the pins already said so. */
  readonly changed: boolean;
}

export interface ReleaseOptions {
  readonly allowBad?: boolean;
  /**
   * Release that the target confirms, where it could be asked: that one is worth keeping, also when the pins' live one
   * never went out. @default the live one
   */
  readonly serving?: string;
  /** Makes another release of a version that is there already, to take up what the program renders now. */
  readonly again?: boolean;
}

/**
 * Makes a version live: freezes it under a free name, keeps what was live. Entries neither live nor kept are dropped,
 * bad ones stay so that they go on being refused.
 * @throws PinsError when the release is marked bad and `allowBad` is not set.
 */
export function releaseVersion(
  pins: Pins,
  system: string,
  frozen: Frozen,
  { allowBad = false, serving, again = false }: ReleaseOptions = {},
): Change {
  const before = pinsOf(pins, system);
  const live = before.live === null ? undefined : before.releases[before.live];
  const schema = frozen.schema ?? inherited(live?.schema);
  const colour = live?.colour === "blue" ? "green" : "blue";
  const wanted: Release = definedOnly({ ...frozen, schema, colour });
  const same = (found: Release) => !again && isSameRelease(found, wanted, frozen.schema !== undefined);
  const name = nameFor(before.releases, frozen.version, wanted, same);
  const found = before.releases[name];
  // One that was written by hand and never placed is frozen now.
  const entry = found?.fingerprint === undefined ? { ...wanted, ...found } : found;
  refuseBad(system, name, entry, allowBad);
  const served = serving !== undefined && before.releases[serving] ? serving : before.live;
  return makeLive(pins, system, name, entry, [served, ...before.kept], before.keep);
}

/**
 * What an entry written by hand leaves open (commit, settings) is no difference; nor is what nobody asked for now
 * (schema, images, artifacts) and the entry has.
 */
function isSameRelease(found: Release, wanted: Release, withSchema: boolean): boolean {
  const open = contentOf(wanted);
  if (!withSchema) delete open.schema;
  const settled = contentOf(found);
  for (const key of ["schema", "images", "artifacts"]) if (open[key] === undefined) delete settled[key];
  return isDeepStrictEqual({ ...open, ...settled }, open);
}

/** A release that says nothing of the schema works with the one that is there. */
function inherited(schema: unknown): unknown {
  return typeof schema === "object" && schema !== null ? { ...schema, change: "none" } : undefined;
}

/**
 * Moves back to a kept release; the one left is kept in its place.
 * @param to Name of the kept release. @default the first
 */
export function rollbackToKept(
  pins: Pins,
  system: string,
  options: { readonly to?: string; readonly allowBad?: boolean } = {},
): Change {
  const before = pinsOf(pins, system);
  const name = options.to ?? before.kept[0];
  if (name === undefined) {
    throw new PinsError(
      `${system} keeps no release beside ${before.live ?? "none"}: see \`switchyard history\` and go back with \`switchyard rollback --to N\``,
    );
  }
  const entry = before.releases[name];
  if (name !== before.live && !(before.kept.includes(name) && entry)) {
    throw new PinsError(
      `${system} does not keep ${name}: kept is ${before.kept.join(", ") || "none"}; an older one comes back with \`switchyard rollback --to N\``,
    );
  }
  refuseBad(system, name, entry!, options.allowBad);
  return makeLive(pins, system, name, entry!, [before.live, ...before.kept], before.kept.length);
}

/** What a stack version of the past says about a system; see `history.ts`. */
export interface PastPins {
  readonly live: string;
  readonly kept: readonly string[];
  readonly releases: Readonly<Record<string, Release>>;
  /** `<system>:settings` at that time, for entries that froze none. */
  readonly settings?: unknown;
}

/**
 * Brings back what was live in the past, with its settings. The fingerprint comes along only while the release is
 * still placed; else it is left out, to be computed when the release is placed again.
 * @param placed Fingerprints the target holds; null when it could not be asked (then only the pins' own are trusted).
 * @param kept "left": keep the release that is live now (`rollback --to`). "past": what was kept then (taking back).
 */
export function restoreFrom(
  pins: Pins,
  system: string,
  past: PastPins,
  options: {
    readonly placed: readonly string[] | null;
    readonly kept: "left" | "past";
    readonly allowBad?: boolean;
  },
): Change {
  const before = pinsOf(pins, system);
  const restored = new Map<string, string>();
  const releases: Record<string, Release> = { ...before.releases };
  const bring = (name: string): string => {
    const known = restored.get(name);
    if (known !== undefined) return known;
    const entry = past.releases[name];
    if (!entry) {
      throw new PinsError(
        `that stack version names ${system} ${name} but holds no entry for it in ${system}:releases`,
      );
    }
    const whole = frozenThen(entry, past.settings);
    const now = nameFor(releases, name, whole, (found, at) => {
      if (entry.fingerprint !== undefined && found.fingerprint === entry.fingerprint) return true;
      // Taking back follows at once on the update that failed: the entry of that name is the one that was placed.
      if (options.kept === "past" && at === name && sameContent(found, entry)) return true;
      return sameContent(frozenThen(found, before.settings), whole);
    });
    releases[now] ??= trusted(whole, options.placed);
    restored.set(name, now);
    return now;
  };
  const live = bring(past.live);
  refuseBad(system, live, releases[live]!, options.allowBad);
  const kept =
    options.kept === "left" ? [before.live] : past.kept.filter((name) => past.releases[name]).map(bring);
  const bound = options.kept === "left" ? Math.max(1, before.keep) : kept.length;
  const all = { ...pins, [system]: { ...before, releases } };
  const change = makeLive(all, system, live, releases[live]!, kept, bound);
  return { ...change, changed: !isDeepStrictEqual(change.pins[system], before) };
}

function refuseBad(system: string, name: string, entry: Release, allowBad = false): void {
  if (entry.bad === undefined || allowBad) return;
  throw new PinsError(
    `${system} ${name} is marked bad (${entry.bad}): say --allow-bad to try it again all the same`,
  );
}

function makeLive(
  pins: Pins,
  system: string,
  name: string,
  entry: Release,
  candidates: readonly (string | null)[],
  bound: number,
): Change {
  const before = pinsOf(pins, system);
  const { bad: _bad, ...good } = entry;
  const releases = { ...before.releases, [name]: good };
  if (before.live === name) {
    const after = { ...before, releases };
    return {
      pins: withSystem(pins, system, after),
      release: name,
      changed: !isDeepStrictEqual(after, before),
    };
  }
  const usable = candidates.filter(
    (each): each is string =>
      each !== null && each !== name && releases[each] !== undefined && !releases[each].bad,
  );
  const kept = [...new Set(usable)].slice(0, bound);
  const stays = ([each, { bad }]: [string, Release]) =>
    each === name || kept.includes(each) || bad !== undefined;
  const remaining = Object.fromEntries(Object.entries(releases).filter(stays));
  return {
    pins: withSystem(pins, system, { ...before, live: name, kept, releases: remaining }),
    release: name,
    changed: true,
  };
}

/** An entry of the past as it ran: with `<system>:settings` of then where it froze none; a mark of then is gone. */
function frozenThen(entry: Release, settings: unknown): Release {
  const { bad: _bad, ...rest } = withSettings(entry, settings);
  return { ...rest, version: entry.version };
}

function trusted(entry: Release, placed: readonly string[] | null): Release {
  const { fingerprint, ...rest } = entry;
  return fingerprint !== undefined && placed?.includes(fingerprint) ? entry : (rest as Release);
}

/** exactOptionalPropertyTypes: an absent key, not a key that holds undefined. */
function definedOnly<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, each]) => each !== undefined)) as T;
}
