import { describe, expect, test } from "vitest";
import type { CutoverRequest, Finding } from "../../components/rollout/cutover/machine.ts";
import { type CutoverState, type Failure, untouched } from "../../components/rollout/cutover/state.ts";
import type { LegDriver } from "../../components/rollout/leg.ts";
import { cutOverLegs, LegFailure, withdrawLegs } from "../../components/rollout/legs/cutover.ts";
import type { KnownRelease } from "../../components/rollout/observation.ts";

/** Legs that remember, in one journal, what was asked of them in which order. */
const names = ["box", "cluster", "edge"];
const ordinary: Readonly<Record<string, string>> = { "0ld": "v9", new: "v10" };
/** When each was placed, as a receipt has it. */
const receipts: Readonly<Record<string, string>> = { "0ld": "rmho0a", new: "rmho0b" };

function legs(
  confirmed: readonly (string | null)[],
  faults: Readonly<Record<string, "health" | "bake" | "back">> = {},
  releases: Readonly<Record<string, string>> = ordinary,
  placed: Readonly<Record<string, string>> = receipts,
) {
  const journal: string[] = [];
  const serves = new Map(names.map((name, index) => [name, confirmed[index] ?? null]));
  /** Every combination that could be seen from outside, one a line. */
  const seen = new Set([[...serves.values()].join(" ")]);
  const known = Object.entries(releases).map(
    ([fingerprint, release]): KnownRelease => ({
      fingerprint,
      release,
      receipt: placed[fingerprint] ?? "",
      placed: true,
      // A version that is released again gets a name of its own: v2.0.0-r2.
      manifest: { version: release.replace(/-r\d+$/, "") } as KnownRelease["manifest"],
    }),
  );
  const drivers = names.map((name) => {
    const move = (to: string | null) => {
      serves.set(name, to);
      seen.add([...serves.values()].join(" "));
    };
    const failure = (to: string): Failure => ({
      ...{
        fingerprint: to,
        release: releases[to] ?? to,
        step: "bake",
        rule: `${name} is well`,
        measured: "ill",
      },
      ...{ allowed: "well", at: "t", verdictAt: "t", journal: [], evidence: "" },
    });
    const driver: LegDriver = {
      async observe() {
        const state: CutoverState = {
          ...untouched,
          confirmed: serves.get(name) ?? null,
          receipt: `r-${name}`,
        };
        return { ...state, known, running: false, intact: true, doors: [] };
      },
      async check(): Promise<Finding | null> {
        journal.push(`check ${name}`);
        return faults[name] === "health" ? { rule: "answers", measured: "503", allowed: "200" } : null;
      },
      async cutOver({ to, receipt, returning }: CutoverRequest) {
        const why = returning ? ` because of ${returning.leg}` : "";
        journal.push(`${returning ? "return" : "cutover"} ${name} ${to} ${receipt}${why}`);
        if (faults[name] === "back" && returning) return { held: false, failure: failure(to) };
        if (faults[name] === "bake" && !returning && to !== serves.get(name))
          return { held: false, failure: failure(to) };
        move(to);
        return { held: true };
      },
      async withdraw(because) {
        journal.push(`withdraw ${name}${because ? ` because ${because.rule}` : ""}`);
        move(null);
      },
      async stop() {},
      async arm() {},
      async recover() {},
    };
    return { name, driver };
  });
  return { drivers, journal, seen: () => [...seen], serves: () => [...serves.values()] };
}

const forward = { to: "new", receipt: "now" };

describe("a system over three legs", () => {
  test("goes forward providers first, after all were checked", async () => {
    const { drivers, journal, seen } = legs(["0ld", "0ld", "0ld"]);
    await cutOverLegs(drivers, forward);
    expect(journal).toEqual([
      ...["check box", "check cluster", "check edge"],
      ...["cutover box new now", "cutover cluster new now", "cutover edge new now"],
    ]);
    expect(seen()).toEqual(["0ld 0ld 0ld", "new 0ld 0ld", "new new 0ld", "new new new"]);
  });

  test("goes back to an older release consumers first: no old provider meets a new consumer", async () => {
    const { drivers, seen } = legs(["new", "new", "new"]);
    await cutOverLegs(drivers, { to: "0ld", receipt: "now" });
    expect(seen()).toEqual(["new new new", "new new 0ld", "new 0ld 0ld", "0ld 0ld 0ld"]);
  });

  /** When it was placed says the contrary of what the versions say. */
  const placedBefore = { "0ld": receipts.new ?? "", new: receipts["0ld"] ?? "" };

  test.each([
    ["v2.0.0-rc.1", "v2.0.0"],
    ["v2.0.0-rc.2", "v2.0.0-rc.10"],
    ["v2.0.0-alpha", "v2.0.0-alpha.1"],
    ["v1.9.0", "v1.10.0"],
    ["1.9.9", "v2.0.0"],
  ])("%s comes before %s, whichever was placed first: SemVer's order", async (older, newer) => {
    const named = { "0ld": older, new: newer };
    await expectOrder(named, placedBefore);
  });

  test.each([
    ["v9", "a-fix", "names are no versions"],
    ["v2.0.0", "a-fix", "one name is no version"],
    ["2024.11", "2024.9", "versions are not SemVer"],
    ["v2.0.0", "v2.0.0-r2", "one version was released twice"],
    ["v2.0.0-r2", "v2.0.0-r3", "one version was released three times"],
    ["v1.2.3+b7", "v1.2.3+b6", "versions differ in their build alone"],
  ])("%s comes before %s by when they were placed: %s", async (older, newer) => {
    await expectOrder({ "0ld": older, new: newer }, receipts);
  });

  async function expectOrder(named: Record<string, string>, placed: Readonly<Record<string, string>>) {
    const forth = legs(["0ld", "0ld", "0ld"], {}, named, placed);
    await cutOverLegs(forth.drivers, forward);
    expect(forth.seen()).toEqual(["0ld 0ld 0ld", "new 0ld 0ld", "new new 0ld", "new new new"]);
    const back = legs(["new", "new", "new"], {}, named, placed);
    await cutOverLegs(back.drivers, { to: "0ld", receipt: "now" });
    expect(back.seen()).toEqual(["new new new", "new new 0ld", "new 0ld 0ld", "0ld 0ld 0ld"]);
  }

  test.each(
    names,
  )("moves nothing at all where %s could not take traffic, which has it on its record", async (ill) => {
    const { drivers, journal, seen } = legs(["0ld", "0ld", "0ld"], { [ill]: "health" });
    await expect(cutOverLegs(drivers, forward)).rejects.toThrow(
      `${ill}: v10 did not hold (health): answers\nmeasured: 503\nallowed: 200`,
    );
    expect(seen()).toEqual(["0ld 0ld 0ld"]);
    expect(journal.filter((line) => !line.startsWith("check"))).toEqual([
      `return ${ill} 0ld r-${ill} because of ${ill}`,
    ]);
  });

  test("a first release that could not take traffic is on record, too", async () => {
    const { drivers, journal, serves } = legs([null, null, null], { cluster: "health" });
    await expect(cutOverLegs(drivers, forward)).rejects.toThrow("cluster: v10 did not hold (health)");
    expect(journal).toEqual(["check box", "check cluster", "withdraw cluster because answers"]);
    expect(serves()).toEqual([null, null, null]);
  });

  test.each([
    ["box", ["0ld 0ld 0ld"], []],
    ["cluster", ["0ld 0ld 0ld", "new 0ld 0ld"], ["return box 0ld r-cluster because of cluster"]],
    [
      "edge",
      ["0ld 0ld 0ld", "new 0ld 0ld", "new new 0ld"],
      ["return cluster 0ld r-edge because of edge", "return box 0ld r-edge because of edge"],
    ],
  ])("a bad bake on %s takes the confirmed ones back in reverse, under the receipt of before", async (ill, combinations, way) => {
    const { drivers, journal, seen, serves } = legs(["0ld", "0ld", "0ld"], { [ill]: "bake" });
    const fall = await cutOverLegs(drivers, forward).catch((error: unknown) => error);
    expect(fall).toBeInstanceOf(LegFailure);
    expect((fall as LegFailure).leg).toBe(ill);
    expect(journal.filter((line) => line.startsWith("return"))).toEqual(way);
    expect(seen()).toEqual(combinations);
    expect(serves()).toEqual(["0ld", "0ld", "0ld"]);
  });

  test("a first release that fails on a later leg leaves nothing (503)", async () => {
    const { drivers, journal, serves } = legs([null, null, null], { edge: "bake" });
    await expect(cutOverLegs(drivers, forward)).rejects.toThrow("edge is well");
    expect(journal.filter((line) => line.startsWith("withdraw"))).toEqual([
      "withdraw cluster because edge is well",
      "withdraw box because edge is well",
    ]);
    expect(serves()).toEqual([null, null, null]);
  });

  test("a run that was killed in between goes on at the first leg that is not confirmed", async () => {
    const { drivers, journal, seen } = legs(["new", "0ld", "0ld"]);
    await cutOverLegs(drivers, forward);
    expect(journal.slice(0, 2)).toEqual(["check cluster", "check edge"]);
    expect(seen()).toEqual(["new 0ld 0ld", "new new 0ld", "new new new"]);
  });

  test("such a run that fails then takes all of it back, what an earlier run had confirmed too", async () => {
    const { drivers, serves } = legs(["new", "0ld", "0ld"], { cluster: "bake" });
    await expect(cutOverLegs(drivers, forward)).rejects.toThrow("cluster is well");
    expect(serves()).toEqual(["0ld", "0ld", "0ld"]);
  });

  test("old pins after such a kill bring the first leg back alone", async () => {
    const { drivers, seen } = legs(["new", "0ld", "0ld"]);
    await cutOverLegs(drivers, { to: "0ld", receipt: "now" });
    expect(seen()).toEqual(["new 0ld 0ld", "0ld 0ld 0ld"]);
  });

  test("a leg that cannot go back is named with what keeps it", async () => {
    const { drivers } = legs(["0ld", "0ld", "0ld"], { edge: "bake", box: "back" });
    await expect(cutOverLegs(drivers, forward)).rejects.toThrow(
      "box could NOT go back to 0ld: box is well: ill, allowed well",
    );
  });

  test("is taken out of traffic consumers first", async () => {
    const { drivers, journal } = legs(["new", "new", "new"]);
    await withdrawLegs(drivers);
    expect(journal).toEqual(["withdraw edge", "withdraw cluster", "withdraw box"]);
  });
});
