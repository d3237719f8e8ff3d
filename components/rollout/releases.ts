import type { ReleaseEntry } from "../../stacks/config/fields.ts";
import type { Pins } from "../../stacks/config/pins.ts";
import { canonical, fingerprint } from "./fingerprint.ts";
import type { PlacedRelease, ReleaseManifest } from "./manifest.ts";
import type { TargetObservation } from "./observation.ts";

/** A release as the program registers it in this update. */
export interface Release extends PlacedRelease {
  readonly name: string;
  /** Receipt that its steps carry: the target's own where it has the release, else a new one, so that they run. */
  readonly receipt: string;
  /** The target has it: whatever the program renders now, nothing of it is touched. */
  readonly frozen: boolean;
  /** What the program would change if it were released again; absent when nothing. */
  readonly note: string | null;
}

export type Render = (name: string, entry: ReleaseEntry) => ReleaseManifest;

/**
 * The releases of a system's pins, live first, each under its pinned fingerprint where it has one.
 * `observed` null: the target gave no answer (preview only); then nothing that is in the state may differ.
 */
export function resolveReleases(
  { live, kept, releases }: Pins,
  render: Render,
  observed: TargetObservation | null,
  newReceipt: string,
): Release[] {
  const names = live === undefined ? [] : [live, ...kept];
  return names.map((name) => {
    const entry = releases[name] ?? {};
    const manifest = render(name, entry);
    const computed = fingerprint(manifest);
    const identity = entry.fingerprint ?? computed;
    const known = observed?.known.find((candidate) => candidate.fingerprint === identity);
    if (known && known.release !== name) {
      throw new Error(
        `${manifest.system}:releases.${name}.fingerprint is ${identity}, which is placed as ${known.release}: ` +
          "take the fingerprint out of the entry, it is computed",
      );
    }
    return {
      name,
      fingerprint: identity,
      colour: entry.colour ?? "blue",
      manifest,
      receipt: known?.placed ? known.receipt : newReceipt,
      frozen: observed === null || known?.placed === true,
      note: identity === computed ? null : noteOf(name, known?.manifest, manifest),
    };
  });
}

function noteOf(name: string, placed: ReleaseManifest | undefined, now: ReleaseManifest): string {
  const changes = placed ? differences(placed, now) : [];
  const what = changes.length > 0 ? `: ${changes.slice(0, 6).join("; ")}` : "";
  return `${name} renders differently now${what}; it stays as it was placed. Release it again to take that up.`;
}

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
