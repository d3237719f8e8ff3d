import { describe, expect, test } from "vitest";
import { type CutoverState, untouched } from "../../components/rollout/cutover/state.ts";
import { buildFingerprint, fingerprint, secretRevision } from "../../components/rollout/fingerprint.ts";
import { cutoverReceipt } from "../../components/rollout/heal.ts";
import type { LegRelease } from "../../components/rollout/leg.ts";
import type { ReleaseManifest } from "../../components/rollout/manifest.ts";
import type { KnownRelease, TargetObservation } from "../../components/rollout/observation.ts";
import { type Release, type Rendering, resolveReleases } from "../../components/rollout/releases.ts";
import type { Pins } from "../../stacks/config/pins.ts";

const manifest = (release: string, level = "info"): ReleaseManifest => ({
  environment: "development",
  system: "chrono",
  release,
  version: release,
  source: { kind: "git", url: "/r.git", tag: release },
  build: ["make"],
  buildSeconds: 60,
  services: [
    {
      name: "api",
      kind: "serving",
      command: ["node", "s.mjs"],
      environment: { LOG_LEVEL: level },
      secrets: {},
      health: "/health",
      door: 8080,
      drainSeconds: 5,
      stopSeconds: 5,
    },
  ],
  checks: {},
});

const render = (name: string, entry: { settings?: Record<string, string> | undefined }) =>
  manifest(name, entry.settings?.LOG_LEVEL);
const pins = { live: "v2", kept: ["v1"], releases: { v1: {}, v2: {} } };
const resolve = (
  wanted: Pins,
  seen: TargetObservation | null,
  rendering: Rendering["render"] = render,
): (Pick<Release, "name" | "fingerprint" | "note"> & Pick<LegRelease, "receipt" | "frozen">)[] =>
  resolveReleases("chrono", wanted, [{ name: "box", observed: seen, render: rendering }], "now").map(
    ({ parts, ...release }) => ({ ...release, ...parts[0]! }),
  );
const known = (release: string, placed = true): KnownRelease => ({
  fingerprint: fingerprint(manifest(release)),
  release,
  receipt: `had-${release}`,
  placed,
  manifest: manifest(release),
});
const observed = (state: Partial<CutoverState> = {}, releases: KnownRelease[] = []): TargetObservation => ({
  ...untouched,
  ...state,
  known: releases,
  running: false,
  intact: true,
  doors: [],
});

describe("fingerprints", () => {
  test("do not change by themselves (a change here re-renders every release)", () => {
    expect(fingerprint(manifest("v1"))).toBe("6a25e1641b6d");
  });

  test("do not depend on the order of keys, and do on every value", () => {
    const one = manifest("v1");
    const { services, ...rest } = one;
    expect(fingerprint({ services, ...rest } as ReleaseManifest)).toBe(fingerprint(one));
    expect(fingerprint(manifest("v1", "debug"))).not.toBe(fingerprint(one));
    expect(fingerprint({ ...one, buildSeconds: 61 })).not.toBe(fingerprint(one));
  });

  test("of a build are the same where only settings differ, so nothing is built twice", () => {
    expect(buildFingerprint(manifest("v1", "debug"))).toBe(buildFingerprint(manifest("v1")));
    expect(buildFingerprint(manifest("v2"))).not.toBe(buildFingerprint(manifest("v1")));
  });

  test("of a secret change with its value and its name and tell neither", () => {
    const revision = secretRevision("DATABASE_URL", "postgres://x", "key");
    expect(revision).toMatch(/^[0-9a-f]{12}$/);
    expect(secretRevision("DATABASE_URL", "postgres://y", "key")).not.toBe(revision);
    expect(secretRevision("REDIS_URL", "postgres://x", "key")).not.toBe(revision);
    expect(secretRevision("DATABASE_URL", "postgres://x", "other")).not.toBe(revision);
  });
});

describe("releases of an update", () => {
  test("what the target has is frozen under its own receipt, what it lacks is to run", () => {
    const [live, kept] = resolve(pins, observed({}, [known("v1")]));
    expect([live?.name, live?.receipt, live?.frozen]).toEqual(["v2", "now", false]);
    expect([kept?.name, kept?.receipt, kept?.frozen]).toEqual(["v1", "had-v1", true]);
  });

  test("what the target has only in part is to run again, every step of it", () => {
    const [live] = resolve(pins, observed({}, [known("v2", false)]));
    expect([live?.receipt, live?.frozen]).toEqual(["now", false]);
  });

  test("a pinned fingerprint stays when the program renders otherwise, and the note says what differs", () => {
    const pinned = { ...pins, releases: { ...pins.releases, v1: { fingerprint: known("v1").fingerprint } } };
    const louder = (name: string) => manifest(name, "debug");
    const [, kept] = resolve(pinned, observed({}, [known("v1")]), louder);
    expect([kept?.fingerprint, kept?.frozen]).toEqual([known("v1").fingerprint, true]);
    expect(kept?.note).toBe(
      'v1 renders differently now: services.0.environment.LOG_LEVEL "info" → "debug"; it stays as it was placed. ' +
        "Release it again to take that up.",
    );
  });

  test("a target that gives no answer freezes everything the state holds", () => {
    expect(resolve(pins, null).map(({ frozen }) => frozen)).toEqual([true, true]);
  });

  test("over several legs there is one fingerprint, and what one target lacks does not touch the other", () => {
    const alone = resolve(pins, observed());
    const both = (level: string, box: KnownRelease[]) =>
      resolveReleases(
        "pod",
        pins,
        [
          { name: "box", observed: observed({}, box), render },
          { name: "edge", observed: observed(), render: (name) => manifest(name, level) },
        ],
        "now",
      );
    const [live] = both("info", []);
    expect(live?.fingerprint).not.toBe(alone[0]?.fingerprint);
    expect(both("debug", [])[0]?.fingerprint).not.toBe(live?.fingerprint);
    const placed = { ...known("v2"), fingerprint: live?.fingerprint ?? "" };
    expect(both("info", [placed])[0]?.parts.map(({ frozen, receipt }) => [frozen, receipt])).toEqual([
      [true, "had-v2"],
      [false, "now"],
    ]);
  });

  test("nothing live is nothing placed", () => {
    expect(resolve({ kept: [], releases: {} }, observed())).toEqual([]);
  });
});

describe("the cutover's receipt", () => {
  const settled = observed({ confirmed: "new", receipt: "had" });

  test("is the target's own where it serves what is wanted: a no-op stays a no-op", () => {
    expect(cutoverReceipt("new", [settled], "now")).toBe("had");
  });

  test("over several legs is theirs only where all agree on it", () => {
    expect(cutoverReceipt("new", [settled, settled], "now")).toBe("had");
    expect(cutoverReceipt("new", [settled, { ...settled, receipt: "other" }], "now")).toBe("now");
    expect(cutoverReceipt("new", [settled, { ...settled, confirmed: "old" }], "now")).toBe("now");
  });

  test.each([
    ["another release is confirmed", { ...settled, confirmed: "old" }],
    [
      "a cutover is pending",
      { ...settled, pending: { from: "old", to: "new", receipt: "r", startedAt: "" } },
    ],
    ["taking back had failed", { ...settled, stuck: "no door" }],
    ["a door leads elsewhere, or a process has gone", { ...settled, intact: false }],
    ["nothing was ever confirmed", observed()],
  ])("is a new one when %s: the cutover runs whatever the pins say", (_why, seen) => {
    expect(cutoverReceipt("new", [seen], "now")).toBe("now");
  });
});
