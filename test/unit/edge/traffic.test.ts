import { describe, expect, test } from "vitest";
import { versionAskedFor } from "../../../components/edge/local/door.ts";
import type { EdgeManifest } from "../../../components/edge/manifest.ts";
import { changedSecrets, hindrances } from "../../../components/edge/one-way.ts";
import { overrideFor } from "../../../components/edge/probe.ts";
import { onlyServing, sameShares, serves, sharesOf } from "../../../components/edge/shares.ts";

describe("shares of the traffic", () => {
  test.each([
    [
      0,
      "old",
      [
        { versionId: "new", percentage: 0 },
        { versionId: "old", percentage: 100 },
      ],
    ],
    [
      10,
      "old",
      [
        { versionId: "new", percentage: 10 },
        { versionId: "old", percentage: 90 },
      ],
    ],
    [100, "old", [{ versionId: "new", percentage: 100 }]],
    [0, "new", [{ versionId: "new", percentage: 100 }]],
    [10, null, [{ versionId: "new", percentage: 100 }]],
  ])("%i %% for the new one, the rest with %s", (percent, rest, shares) => {
    expect(sharesOf("new", percent, rest)).toEqual(shares);
  });

  test("more than all of it is an error", () => {
    expect(() => sharesOf("new", 110, "old")).toThrow("a share of traffic is 0 to 100 %, not 110");
  });

  test("a version serves where any request may reach it by itself, alone where all do", () => {
    const shares = sharesOf("new", 0, "old");
    expect([serves(shares, "new"), serves(shares, "old"), onlyServing(shares)]).toEqual([false, true, "old"]);
    expect(onlyServing(sharesOf("new", 10, "old"))).toBeNull();
    expect(sameShares(shares, shares.toReversed())).toBe(true);
    expect(sameShares(shares, sharesOf("new", 1, "old"))).toBe(false);
  });
});

describe("the override header", () => {
  test("is a dictionary of the Worker's name and, as a string, the version", () => {
    const header = overrideFor("chrono-production", "dc8dcd28-271b-4367-9840-6c244f84cb40");
    expect(header).toBe('chrono-production="dc8dcd28-271b-4367-9840-6c244f84cb40"');
  });

  test("is refused for a Worker whose name no dictionary can hold", () => {
    expect(() => overrideFor("Chrono", "x")).toThrow(
      'a Worker named "Chrono" cannot be asked for by version',
    );
  });

  test("is read by the local edge as Cloudflare reads it: the member of this Worker, among others", () => {
    const header = 'other="a", chrono-development="b\\"c", third="d"';
    expect(versionAskedFor(header, "chrono-development")).toBe('b"c');
    expect(versionAskedFor(header, "development")).toBeNull();
    expect(versionAskedFor("", "other")).toBeNull();
    expect(versionAskedFor("other=a", "other")).toBeNull();
  });
});

describe("what would make the way back impossible", () => {
  const manifest = (release: string, more: Partial<EdgeManifest> = {}): EdgeManifest => ({
    environment: "production",
    system: "chrono",
    release,
    version: release,
    content: { kind: "artifact", path: "https://builds.example/x.tar.gz", sha256: "0".repeat(64) },
    main: "worker.js",
    assets: null,
    compatibilityDate: "2026-07-01",
    compatibilityFlags: [],
    settings: {},
    secrets: { API_KEY: "111111111111", OTHER: "222222222222" },
    migrationTag: null,
    health: "/health",
    ...more,
  });
  const strict = { oldSecretsWork: false };
  const old = manifest("v1");

  test("is nothing between releases with the same secrets and the same migration", () => {
    expect(hindrances(manifest("v2"), old, null, strict)).toEqual([]);
    expect(hindrances(manifest("v2"), null, null, strict)).toEqual([]);
  });

  test("is a changed secret, by name, with the way out; not one that was added or dropped", () => {
    const next = manifest("v2", { secrets: { API_KEY: "333333333333", NEW: "444444444444" } });
    expect(changedSecrets(old, next)).toEqual(["API_KEY"]);
    expect(hindrances(next, old, null, strict)).toEqual([
      "v2 has another API_KEY than v1, which would come back with the old value: where that still works, say so " +
        "(edge.oldSecretsWork: true), and the way back is forced",
    ]);
    expect(hindrances(next, old, null, { oldSecretsWork: true })).toEqual([]);
  });

  test("is a Durable Object migration that the Worker has not been through, or has been past", () => {
    const text = /needs the Durable Object migration v2, the Worker is at none/;
    expect(hindrances(manifest("v2", { migrationTag: "v2" }), old, null, strict)[0]).toMatch(text);
    expect(hindrances(manifest("v2", { migrationTag: "v2" }), old, "v2", strict)).toEqual([]);
    expect(hindrances(old, manifest("v2", { migrationTag: "v2" }), "v2", strict)[0]).toMatch(
      /needs the Durable Object migration none, the Worker is at v2: .*`wrangler deploy`/,
    );
  });
});
