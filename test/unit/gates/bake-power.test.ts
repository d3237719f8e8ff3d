import { describe, expect, it } from "vitest";
import { productionBake, Random, simulate } from "../../../bench/bake/simulation.ts";
import { allowedShare, isShare, type RuleTable } from "../../../components/gates/rules.ts";
import {
  chronoRules,
  deiaRules,
  podRules,
  sanctumRules,
  traiderRules,
} from "../../../components/gates/tables.ts";

/** A small, seeded part of bench/bake.ts: the product's own bake in production, on a moved clock. */

const tables: [string, RuleTable][] = [
  ["chrono", chronoRules],
  ["sanctum", sanctumRules],
  ["pod", podRules],
  ["traider", traiderRules],
  ["deia", deiaRules],
];
const bakes = 12;

describe.each(
  tables,
)("the bake of %s on a night with nobody and with 20 requests/s of users", (system, table) => {
  const time = productionBake(table);
  const rules = table
    .filter(({ metric, decision }) => isShare(metric) && decision === "rollback")
    .map((rule) => [`${rule.metric} > ${rule.above}`, rule] as const);

  describe.each(rules)("%s", (name, rule) => {
    const allowed = allowedShare(rule);

    async function baked(badAt: (begin: number) => (second: number) => number) {
      const random = new Random(
        [...`${system} ${name}`].reduce((sum, letter) => sum * 31 + letter.charCodeAt(0), 7),
      );
      const verdicts = [];
      for (let bake = 0; bake < bakes; bake++) {
        const begin = 10 + random.next();
        const usersPerSecond = bake % 2 === 0 ? 0 : 20;
        const verdict = await simulate({ rule, ...time, usersPerSecond, badAt: badAt(begin) }, random);
        verdicts.push({ ...verdict, begin });
      }
      return verdicts;
    }

    it("takes back a release at twice what is allowed", async () => {
      for (const verdict of await baked(() => () => 2 * allowed)) expect(verdict.held).toBe(false);
    });

    it("confirms one at half of what is allowed when its time is over", async () => {
      for (const verdict of await baked(() => () => allowed / 2)) {
        expect(verdict).toMatchObject({ held: true, after: time.seconds });
      }
    });

    it("confirms it too when everything failed for one second of it", async () => {
      const burst = (begin: number) => (at: number) => (at >= begin && at < begin + 1 ? 1 : allowed / 2);
      for (const verdict of await baked(burst)) expect(verdict.held).toBe(true);
    });

    it("takes back one of which half fails within five seconds", async () => {
      for (const { held, after, begin } of await baked((at) => (second) => (second >= at ? 0.5 : 0))) {
        expect(held).toBe(false);
        expect(after - begin).toBeLessThanOrEqual(5);
      }
    });
  });
});

it("a release that would be seen only by more requests than there were is no verdict, and not confirmed", async () => {
  const rule = chronoRules.find(({ metric }) => metric === "errorRate")!;
  const bake = { rule, seconds: 65, ownPerSecond: 1, usersPerSecond: 0, badAt: () => 0 };
  expect(await simulate(bake, new Random(1))).toMatchObject({
    held: false,
    measured: "0 %, 0 of 134 requests, too few requests to tell (api)",
    after: 130,
  });
});
