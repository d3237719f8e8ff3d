import { allowedShare, isShare, type Rule, type RuleTable } from "../components/gates/rules.ts";
import { chronoRules, deiaRules, podRules, sanctumRules, traiderRules } from "../components/gates/tables.ts";
import { productionBake, Random, type SimulatedVerdict, simulate } from "./bake/simulation.ts";

/**
 * What production's bakes see: the product's own bake on a moved clock, for every rule of every system that is about a
 * share of requests, by the requests of users a second. Seeded: two runs print the same.
 *
 *   node bench/bake.ts [bakes of each kind, default 300] [seed]
 */

const [bakes = 300, seed = 2026] = process.argv.slice(2).map(Number);
const tables: Readonly<Record<string, RuleTable>> = {
  chrono: chronoRules,
  sanctum: sanctumRules,
  pod: podRules,
  traider: traiderRules,
  deia: deiaRules,
};
const kinds = [
  { name: "2 x allowed", wanted: "held", badAt: (allowed: number) => () => 2 * allowed },
  { name: "0.5 x allowed", wanted: "taken back", badAt: (allowed: number) => () => allowed / 2 },
  {
    name: "0.5 x, a second of nothing but failures",
    wanted: "taken back",
    badAt: (allowed: number, begin: number) => (at: number) =>
      at >= begin && at < begin + 1 ? 1 : allowed / 2,
  },
  {
    name: "half of all from a moment on",
    wanted: "held",
    badAt: (_: number, begin: number) => (at: number) => (at >= begin ? 0.5 : 0),
  },
] as const;

const random = new Random(seed);
console.log(`${bakes} bakes of each kind, seed ${seed}`);
console.log(
  "system   rule            own/s users/s  release                                   wrong  seconds to the verdict: median, 95 %, most",
);
for (const [system, table] of Object.entries(tables)) {
  for (const rule of table.filter(({ metric, decision }) => isShare(metric) && decision === "rollback")) {
    for (const usersPerSecond of [0, 2, 20, 200]) await measure(system, table, rule, usersPerSecond);
  }
}

async function measure(system: string, table: RuleTable, rule: Rule, usersPerSecond: number): Promise<void> {
  const time = productionBake(table);
  for (const { name, wanted, badAt } of kinds) {
    const verdicts: (SimulatedVerdict & { begin: number })[] = [];
    for (let bake = 0; bake < bakes; bake++) {
      const begin = 10 + random.next();
      const bad = badAt(allowedShare(rule), begin);
      verdicts.push({ ...(await simulate({ rule, ...time, usersPerSecond, badAt: bad }, random)), begin });
    }
    const wrong = verdicts.filter(({ held }) => held === (wanted === "held")).length;
    const disaster = name.startsWith("half");
    const took = verdicts.map(({ after, begin }) => after - (disaster ? begin : 0)).sort((a, b) => a - b);
    const at = (share: number) =>
      took[Math.min(took.length - 1, Math.floor(share * took.length))]!.toFixed(1);
    const figures = `${at(0.5).padStart(6)} ${at(0.95).padStart(6)} ${at(1).padStart(6)}`;
    const what = `${rule.metric} > ${rule.above}`;
    console.log(
      `${system.padEnd(8)} ${what.padEnd(15)} ${String(time.ownPerSecond).padStart(5)} ${String(usersPerSecond).padStart(7)}  ` +
        `${name.padEnd(40)} ${`${((100 * wrong) / bakes).toFixed(2)} %`.padStart(8)}  ${figures}`,
    );
  }
}
