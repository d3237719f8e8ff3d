import type { ReleaseEntry } from "../../stacks/config/fields.ts";
import type { Pins } from "../../stacks/config/pins.ts";
import { canonical, fingerprint } from "./fingerprint.ts";
import type { Leg, LegRelease } from "./leg.ts";

/** A release as the program registers it in this update. */
export interface Release {
  readonly name: string;
  readonly fingerprint: string;
  readonly colour: "blue" | "green";
  /** What it is on each leg, in the order of the legs. */
  readonly parts: readonly LegRelease[];
  /** What the program would change if it were released again; absent when nothing. */
  readonly note: string | null;
}

/** What of a leg decides how a release is registered. */
export type Rendering = Pick<Leg, "name" | "observed" | "render">;

/** The releases of a system's pins, live first, each under its pinned fingerprint where it has one. */
export function resolveReleases(
  system: string,
  { live, kept, releases }: Pins,
  legs: readonly Rendering[],
  newReceipt: string,
): Release[] {
  const names = live === undefined ? [] : [live, ...kept];
  return names.map((name) => resolveRelease(system, name, releases[name] ?? {}, legs, newReceipt));
}

function resolveRelease(
  system: string,
  name: string,
  entry: ReleaseEntry,
  legs: readonly Rendering[],
  newReceipt: string,
): Release {
  const manifests = legs.map((leg) => leg.render(name, entry));
  const computed = fingerprintOf(legs, manifests);
  const identity = entry.fingerprint ?? computed;
  const colour = entry.colour ?? "blue";
  const known = legs.map(({ observed }) =>
    observed?.known.find((candidate) => candidate.fingerprint === identity),
  );
  const taken = known.find((found) => found && found.release !== name);
  if (taken) {
    throw new Error(
      `${system}:releases.${name}.fingerprint is ${identity}, which is placed as ${taken.release}: ` +
        "take the fingerprint out of the entry, it is computed",
    );
  }
  const parts = legs.map((leg, index): LegRelease => {
    const placed = known[index]?.placed === true;
    return {
      name,
      fingerprint: identity,
      colour,
      manifest: manifests[index] ?? {},
      receipt: placed ? (known[index]?.receipt ?? newReceipt) : newReceipt,
      // Without an answer (preview only) nothing that is in the state may differ.
      frozen: leg.observed === null || placed,
    };
  });
  const differs = () =>
    parts.flatMap(({ manifest }, index) => differencesOf(known[index]?.manifest, manifest));
  return {
    name,
    fingerprint: identity,
    colour,
    parts,
    note: identity === computed ? null : noteOf(name, differs()),
  };
}

/** The identity of a release over all its legs: what changes on one of them makes another release on all. */
function fingerprintOf(legs: readonly Rendering[], manifests: readonly object[]): string {
  const [only] = manifests;
  if (manifests.length === 1 && only) return fingerprint(only);
  return fingerprint(Object.fromEntries(legs.map(({ name }, index) => [name, manifests[index]])));
}

function noteOf(name: string, changes: readonly string[]): string {
  const what = changes.length > 0 ? `: ${changes.slice(0, 6).join("; ")}` : "";
  return `${name} renders differently now${what}; it stays as it was placed. Release it again to take that up.`;
}

const differencesOf = (placed: object | undefined, now: object) => (placed ? differences(placed, now) : []);

/** Paths that differ, each with its old and new value. */
export function differences(before: unknown, after: unknown, path = ""): string[] {
  if (canonical(before ?? null) === canonical(after ?? null)) return [];
  if (isObject(before) && isObject(after)) {
    const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort();
    return keys.flatMap((key) => differences(before[key], after[key], path ? `${path}.${key}` : key));
  }
  return [`${path} ${JSON.stringify(before) ?? "absent"} → ${JSON.stringify(after) ?? "absent"}`];
}

function isObject(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === "object";
}
