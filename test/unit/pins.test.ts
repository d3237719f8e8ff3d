import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { releaseVersion, restoreFrom, rollbackToKept } from "../../operations/moves.ts";
import {
  badLive,
  clearBad,
  markBad,
  type Pins,
  recordFingerprints,
  type SystemPins,
} from "../../operations/pins.ts";

const v1 = { version: "v1", colour: "blue", settings: { level: 1 }, fingerprint: "111111111111" } as const;
const v2 = { version: "v2", colour: "green", settings: { level: 1 }, fingerprint: "222222222222" } as const;

function chrono(changes: Partial<SystemPins> = {}): Pins {
  const usual: SystemPins = {
    live: "v2",
    kept: ["v1"],
    releases: { v1, v2 },
    keep: 1,
    settings: { level: 1 },
  };
  return { chrono: { ...usual, ...changes }, pod: { live: null, kept: [], releases: {}, keep: 1 } };
}

describe("releasing a version", () => {
  it("makes it live in the other colour, keeps what was live and drops the rest", () => {
    const { pins, release, changed } = releaseVersion(chrono(), "chrono", {
      version: "v3",
      commit: "3".repeat(40),
      settings: { level: 2 },
    });
    expect({ release, changed }).toEqual({ release: "v3", changed: true });
    expect(pins.chrono).toEqual({
      live: "v3",
      kept: ["v2"],
      releases: { v2, v3: { version: "v3", commit: "3".repeat(40), settings: { level: 2 }, colour: "blue" } },
      keep: 1,
      settings: { level: 1 },
    });
    expect(pins.pod).toEqual(chrono().pod);
  });

  it("keeps as many as the stack wants", () => {
    const { pins } = releaseVersion(chrono({ keep: 2 }), "chrono", { version: "v3" });
    expect(pins.chrono!.kept).toEqual(["v2", "v1"]);
    expect(releaseVersion(chrono({ keep: 0 }), "chrono", { version: "v3" }).pins.chrono!.kept).toEqual([]);
  });

  it("keeps what the target confirms rather than a live release that never went out", () => {
    const { pins } = releaseVersion(chrono(), "chrono", { version: "v3" }, { serving: "v1" });
    expect(pins.chrono!.kept).toEqual(["v1"]);
  });

  it("takes an entry written by hand as it is, with the images that the command does not name", () => {
    const images = { api: `sha256:${"a".repeat(64)}` };
    const before = chrono({ releases: { v1, v2, v3: { version: "v3", images } } });
    const { pins, release } = releaseVersion(before, "chrono", { version: "v3", settings: { level: 1 } });
    expect(release).toBe("v3");
    expect(pins.chrono!.releases.v3).toMatchObject({ images, settings: { level: 1 }, colour: "blue" });
    const others = { api: `sha256:${"b".repeat(64)}` };
    const other = releaseVersion(before, "chrono", { version: "v3", settings: { level: 1 }, images: others });
    expect(other.release).toBe("v3-r2");
    expect(other.pins.chrono!.releases["v3-r2"]).toMatchObject({ images: others });
  });

  it("is nothing to do when the same version with the same settings is live", () => {
    const { pins, changed } = releaseVersion(chrono(), "chrono", { version: "v2", settings: { level: 1 } });
    expect(changed).toBe(false);
    expect(pins).toEqual(chrono());
  });

  it("makes a kept release live again, with its fingerprint", () => {
    const { pins } = releaseVersion(chrono(), "chrono", { version: "v1", settings: { level: 1 } });
    expect(pins.chrono).toMatchObject({ live: "v1", kept: ["v2"], releases: { v1, v2 } });
  });

  it("gives a version with other settings a name of its own, and the next one the next", () => {
    const second = releaseVersion(chrono({ keep: 5 }), "chrono", { version: "v2", settings: { level: 2 } });
    expect(second.release).toBe("v2-r2");
    expect(second.pins.chrono!.releases["v2-r2"]).toEqual({
      version: "v2",
      settings: { level: 2 },
      colour: "blue",
    });
    const third = releaseVersion(second.pins, "chrono", { version: "v2", settings: { level: 3 } });
    expect(third.release).toBe("v2-r3");
    const again = releaseVersion(third.pins, "chrono", { version: "v2", settings: { level: 2 } });
    expect(again.release).toBe("v2-r2");
  });

  it("makes another release of what is live when told so", () => {
    const wanted = { version: "v2", settings: { level: 1 } };
    expect(releaseVersion(chrono(), "chrono", wanted, { again: true }).release).toBe("v2-r2");
  });

  it("takes the schema of what is live, with nothing to migrate", () => {
    const schema = { folder: "migrations", provides: 3, needs: 2, change: "expand" };
    const pins = chrono({ releases: { v1, v2: { ...v2, schema } } });
    expect(releaseVersion(pins, "chrono", { version: "v3" }).pins.chrono!.releases.v3!.schema).toEqual({
      ...schema,
      change: "none",
    });
    // The same version again is the same release, although it did migrate when it was new.
    expect(releaseVersion(pins, "chrono", { version: "v2", settings: { level: 1 } }).changed).toBe(false);
  });

  it("refuses a bad release until told otherwise, and then forgets the mark", () => {
    const pins = markBad(
      chrono(),
      "chrono",
      "v3",
      { version: "v3", fingerprint: "333333333333" },
      "error rate",
    );
    const again = { version: "v3", settings: { level: 1 } };
    expect(() => releaseVersion(pins, "chrono", again)).toThrow(
      "chrono v3 is marked bad (error rate): say --allow-bad to try it again all the same",
    );
    const { pins: tried } = releaseVersion(pins, "chrono", again, { allowBad: true });
    expect(tried.chrono!.releases.v3).toEqual({ version: "v3", settings: { level: 1 }, colour: "blue" });
    // Mended settings make another release, which nobody has tried.
    expect(releaseVersion(pins, "chrono", { version: "v3", settings: { level: 2 } }).release).toBe("v3-r2");
  });

  it("takes an entry written by hand for the release that it names, and freezes it before it is placed", () => {
    const byHand = chrono({ releases: { v1, v2, v3: { version: "v3", colour: "green" } } });
    const frozen = { version: "v3", commit: "3".repeat(40), settings: { level: 1 } };
    const { pins } = releaseVersion(byHand, "chrono", frozen);
    expect(pins.chrono!.releases.v3).toEqual({ ...frozen, colour: "green" });
    const placed = chrono({ releases: { v1, v2: { version: "v2", fingerprint: "222222222222" } } });
    expect(releaseVersion(placed, "chrono", { version: "v2", settings: { level: 1 } }).changed).toBe(false);
  });

  it("names the systems there are when it knows none of that name", () => {
    expect(() => releaseVersion(chrono(), "chorno", { version: "v3" })).toThrow(
      `unknown system "chorno": the stack's config names chrono, pod`,
    );
  });
});

describe("going back to the kept release", () => {
  it("swaps live and kept and touches nothing else", () => {
    const { pins, release } = rollbackToKept(chrono(), "chrono");
    expect(release).toBe("v1");
    expect(pins).toEqual(chrono({ live: "v1", kept: ["v2"] }));
  });

  it("says the way out where none is kept", () => {
    expect(() => rollbackToKept(chrono({ kept: [] }), "chrono")).toThrow(
      "chrono keeps no release beside v2: see `switchyard history` and go back with `switchyard rollback --to N`",
    );
  });

  it("refuses a release that is not kept", () => {
    expect(() => rollbackToKept(chrono(), "chrono", { to: "v0" })).toThrow(
      "chrono does not keep v0: kept is v1; an older one comes back with `switchyard rollback --to N`",
    );
  });
});

describe("going back to the past", () => {
  const v0 = { version: "v0", colour: "blue", settings: { level: 0 }, fingerprint: "000000000000" } as const;
  const past = { live: "v0", kept: [], releases: { v0 } };

  it("restores the release with its settings and keeps the one that is left", () => {
    const { pins } = restoreFrom(chrono(), "chrono", past, { placed: ["000000000000"], kept: "left" });
    expect(pins.chrono).toMatchObject({ live: "v0", kept: ["v2"], releases: { v0, v2 } });
  });

  it("drops the fingerprint of a release that is no longer placed, so that it is placed again", () => {
    for (const placed of [["111111111111"], null]) {
      const { pins } = restoreFrom(chrono(), "chrono", past, { placed, kept: "left" });
      expect(pins.chrono!.releases.v0).toEqual({ version: "v0", colour: "blue", settings: { level: 0 } });
    }
  });

  it("freezes the settings of that time for an entry that froze none", () => {
    const unfrozen = { live: "v0", kept: [], releases: { v0: { version: "v0" } }, settings: { level: 7 } };
    const { pins } = restoreFrom(chrono(), "chrono", unfrozen, { placed: [], kept: "left" });
    expect(pins.chrono!.releases.v0).toEqual({ version: "v0", settings: { level: 7 } });
  });

  it("never changes the release that is live: other settings under the same name get a name of their own", () => {
    const other = { live: "v2", kept: [], releases: { v2: { version: "v2", settings: { level: 9 } } } };
    const { pins, release } = restoreFrom(chrono(), "chrono", other, { placed: [], kept: "left" });
    expect(release).toBe("v2-r2");
    expect(pins.chrono).toMatchObject({ live: "v2-r2", kept: ["v2"] });
    expect(pins.chrono!.releases.v2).toEqual(v2);
  });

  it("is nothing to do when that release is live", () => {
    const same = { live: "v2", kept: ["v0"], releases: { v0, v2 } };
    const { pins, changed } = restoreFrom(chrono(), "chrono", same, { placed: [], kept: "left" });
    expect({ pins, changed }).toEqual({ pins: chrono(), changed: false });
  });

  it("takes back to what was live and kept, with what has been found out since", () => {
    const failing = chrono({ live: "v3", kept: ["v2"], releases: { v2, v3: { version: "v3" } } });
    const { fingerprint: _placedSince, ...asItWentOut } = v2;
    const good = { live: "v2", kept: ["v1"], releases: { v1, v2: asItWentOut } };
    const placed = ["111111111111", "222222222222"];
    const { pins, release } = restoreFrom(failing, "chrono", good, { placed, kept: "past", allowBad: true });
    expect(release).toBe("v2");
    expect(pins).toEqual(chrono());
  });

  it("takes an unfrozen release back as the entry that is placed, whatever the wanted settings became", () => {
    const unfrozen = { version: "v1", fingerprint: "111111111111" };
    const failing = chrono({
      live: "v2",
      kept: ["v1"],
      releases: { v1: unfrozen, v2: { version: "v2" } },
      settings: { level: 2 },
    });
    const good = { live: "v1", kept: [], releases: { v1: { version: "v1" } }, settings: { level: 1 } };
    const { pins } = restoreFrom(failing, "chrono", good, { placed: null, kept: "past", allowBad: true });
    expect(pins.chrono).toMatchObject({ live: "v1", kept: [], releases: { v1: unfrozen } });
  });
});

describe("marks and fingerprints", () => {
  it("keeps a bad release in the pins through later releases, and out of kept", () => {
    let pins = markBad(chrono(), "chrono", "v2", v2, "crash");
    expect(badLive(pins)).toEqual([{ system: "chrono", release: "v2", reason: "crash" }]);
    pins = releaseVersion(pins, "chrono", { version: "v3" }).pins;
    pins = releaseVersion(pins, "chrono", { version: "v4" }).pins;
    expect(pins.chrono!.kept).toEqual(["v3"]);
    expect(Object.keys(pins.chrono!.releases).sort()).toEqual(["v2", "v3", "v4"]);
    expect(badLive(pins)).toEqual([]);
    expect(clearBad(pins, "chrono", "v2").chrono!.releases.v2!.bad).toBeUndefined();
  });

  it("looks for bad ones where something changed, and everywhere when nothing did", () => {
    const bad = { chrono: { live: "v2", kept: [], keep: 1, releases: { v2: { ...v2, bad: "crash" } } } };
    const podAt = (live: string) => ({
      pod: { live, kept: [], keep: 1, releases: { v1: { version: "v1" }, v3: { version: "v3" } } },
    });
    const before = { ...bad, ...podAt("v1") };
    expect(badLive({ ...bad, ...podAt("v3") }, before)).toEqual([]);
    const chronos = [{ system: "chrono", release: "v2", reason: "crash" }];
    expect(badLive(before, before)).toEqual(chronos);
    expect(badLive(before)).toEqual(chronos);
    const chronoMoved = { ...before, chrono: { ...bad.chrono, live: "v1" } };
    expect(badLive(before, chronoMoved)).toEqual(chronos);
    // A system that was not there before is a change of its own.
    expect(badLive(before, bad)).toEqual([]);
  });

  it("records what was placed with its settings, only for live and kept, never over a pinned fingerprint", () => {
    const pins = chrono({
      live: "v3",
      kept: ["v2"],
      releases: { v1: { version: "v1" }, v2, v3: { version: "v3" } },
    });
    const placed = { chrono: { v1: "aaaaaaaaaaaa", v2: "bbbbbbbbbbbb", v3: "cccccccccccc" } };
    expect(recordFingerprints(pins, placed).chrono!.releases).toEqual({
      v1: { version: "v1" },
      v2,
      v3: { version: "v3", settings: { level: 1 }, fingerprint: "cccccccccccc" },
    });
  });
});

describe("whatever is released and rolled back", () => {
  const move = fc.oneof(
    fc.record({
      kind: fc.constant("release" as const),
      version: fc.constantFrom("v1", "v2", "v3"),
      level: fc.nat(2),
    }),
    fc.record({ kind: fc.constant("rollback" as const) }),
    fc.record({ kind: fc.constant("bad" as const) }),
  );
  it("live and kept name releases that exist, each once, none of them bad, no more than wanted", () => {
    fc.assert(
      fc.property(fc.array(move, { maxLength: 12 }), fc.nat(3), (moves, keep) => {
        let pins: Pins = { chrono: { live: null, kept: [], releases: {}, keep } };
        for (const each of moves) {
          const { live, releases } = pins.chrono!;
          try {
            if (each.kind === "release") {
              const frozen = { version: each.version, settings: { level: each.level } };
              pins = releaseVersion(pins, "chrono", frozen, { allowBad: true }).pins;
            } else if (each.kind === "rollback") pins = rollbackToKept(pins, "chrono").pins;
            else if (live !== null) pins = markBad(pins, "chrono", live, releases[live]!, "why");
          } catch (error) {
            expect((error as Error).message).toMatch(/keeps no release/);
          }
          const after = pins.chrono!;
          const named = [...(after.live === null ? [] : [after.live]), ...after.kept];
          expect(new Set(named).size).toBe(named.length);
          for (const name of named) expect(after.releases).toHaveProperty([name]);
          for (const name of after.kept) expect(after.releases[name]!.bad).toBeUndefined();
          expect(after.kept.length).toBeLessThanOrEqual(keep);
          const contents = Object.values(after.releases).map(({ version, settings }) =>
            JSON.stringify([version, settings]),
          );
          expect(new Set(contents).size).toBe(contents.length);
        }
      }),
    );
  });
});
