import { describe, expect, it } from "vitest";
import { historyTable } from "../../operations/commands/history.ts";
import { type BackendEntry, lastGood, numberVersions, offered, sign } from "../../operations/history.ts";

function entry(live: string, changes: Partial<BackendEntry> = {}): BackendEntry {
  return {
    version: 0,
    kind: "update",
    startTime: "2026-11-21T09:00:00.000Z",
    endTime: "2026-11-21T09:00:05.000Z",
    message: sign(`release chrono ${live}`, "ana@box"),
    environment: {},
    config: {
      "chrono:live": { value: live, secret: false },
      "chrono:kept": { value: "[]", objectValue: [], secret: false },
      "chrono:releases": {
        value: "…",
        objectValue: { [live]: { version: live, settings: { level: 1 } } },
        secret: false,
      },
      "chrono:databaseUrl": { secret: true },
    },
    result: "succeeded",
    ...changes,
  };
}

const failed = { result: "failed" };
const newestFirst = [
  entry("v3", failed),
  entry("v2", { kind: "refresh" }),
  entry("v2"),
  entry("v1", { environment: { "pulumi.flag.target": "set" } }),
  entry("v1"),
];

describe("stack versions", () => {
  it("are counted from the oldest entry where the backend numbers none", () => {
    expect(
      numberVersions(newestFirst).map(({ number, live, notOffered }) => [number, live.chrono, notOffered]),
    ).toEqual([
      [1, "v1", null],
      [2, "v1", "that update ran with --target: it did not bring everything it names"],
      [3, "v2", null],
      [4, "v2", "it is a refresh, not an update"],
      [5, "v3", "that update failed"],
    ]);
  });

  it("keep the backend's own numbers where it has them", () => {
    const versions = numberVersions([entry("v2", { version: 41 }), entry("v1", { version: 7 })]);
    expect(versions.map(({ number }) => number)).toEqual([7, 41]);
  });

  it("know who did it from the message, else whose commit it was", () => {
    const git = { "git.author": "Bo", "git.committer": "Cy" };
    const versions = numberVersions([
      entry("v3", { message: "by hand\nmore", environment: git }),
      entry("v2", { message: "by hand" }),
      entry("v1"),
    ]);
    expect(versions.map(({ who, message }) => [who, message])).toEqual([
      ["ana@box", "release chrono v1"],
      ["unknown", "by hand"],
      ["(commit of Cy)", "by hand"],
    ]);
  });

  it("show config that cannot be read as pins without releases", () => {
    const broken = entry("v1", { ...failed, config: { "chrono:live": { objectValue: 1.1, secret: false } } });
    expect(numberVersions([broken])[0]).toMatchObject({ live: {}, notOffered: "that update failed" });
  });

  it("are listed newest first, with the reason in the place of what is not offered", () => {
    const started = (minute: number) => ({ startTime: `2026-11-21T09:0${minute}:00.000Z` });
    const rows = historyTable(
      numberVersions([entry("v2", { ...failed, ...started(2) }), entry("v1", started(1))]),
    );
    expect(rows).toEqual([
      "2  2026-11-21 09:02:00  failed     ana@box  not offered: that update failed  release chrono v2",
      "1  2026-11-21 09:01:00  succeeded  ana@box  chrono v1                        release chrono v1",
    ]);
  });
});

describe("rollback --to", () => {
  const versions = numberVersions(newestFirst);

  it("takes what is offered, with its entry", () => {
    const { pins } = offered(versions, 3);
    expect(pins.chrono).toMatchObject({
      live: "v2",
      releases: { v2: { version: "v2", settings: { level: 1 } } },
    });
  });

  it("refuses the rest with the reason and the nearest ones that are", () => {
    expect(() => offered(versions, 5)).toThrow(
      "stack version 5 is not offered: that update failed; nearest offered: 3",
    );
    expect(() => offered(versions, 2)).toThrow(/--target.*; nearest offered: 1 and 3$/);
    expect(() => offered(versions, 9)).toThrow(
      "there is no stack version 9: history has 1 to 5; nearest offered: 3",
    );
    expect(() => offered([], 1)).toThrow(
      "there is no stack version 1: the stack was never updated; nearest offered: none",
    );
  });
});

describe("the last good version of a system", () => {
  it("is the newest in which what the target confirms was live", () => {
    const versions = numberVersions([entry("v3", failed), entry("v2"), entry("v1")]);
    expect(lastGood(versions, "chrono", "v1")).toMatchObject({ live: "v1", number: 1 });
    expect(lastGood(versions, "chrono", "v2")).toMatchObject({ live: "v2", number: 2 });
  });

  it("is one whose update failed elsewhere, when that is what the target confirms", () => {
    const versions = numberVersions([entry("v3", failed), entry("v2", failed), entry("v1")]);
    expect(lastGood(versions, "chrono", "v2")).toMatchObject({ live: "v2", number: 2 });
  });

  it("is the newest that succeeded when the target cannot say", () => {
    expect(lastGood(numberVersions(newestFirst), "chrono", null)).toMatchObject({ live: "v2", number: 3 });
  });

  it("is none before the first good deployment, or for a system that came later", () => {
    expect(lastGood(numberVersions([entry("v1", failed)]), "chrono", null)).toBeNull();
    expect(lastGood(numberVersions(newestFirst), "pod", null)).toBeNull();
  });
});
