import { describe, expect, it } from "vitest";
import { type BakeArgs, type BakedService, bakeRelease, type Clock } from "../../../components/gates/bake.ts";
import { minimumBakeSeconds, type RuleTable } from "../../../components/gates/rules.ts";
import type { ServiceSample } from "../../../components/gates/seen.ts";
import {
  chronoRules,
  deiaRules,
  podRules,
  sanctumRules,
  traiderRules,
} from "../../../components/gates/tables.ts";
import { probe, scrapeSeconds, secondsToBreak, Totals, type Weather, weatherFor } from "./weather.ts";

/** A clock that only the bake's own pauses move, and a release whose weather is a matter of that clock. */
class World implements Clock {
  seconds = 0;
  samples = 0;
  closed = 0;
  readonly totals = new Totals();
  readonly weatherAt: (seconds: number) => Weather;

  constructor(weatherAt: (seconds: number) => Weather) {
    this.weatherAt = weatherAt;
  }

  now = () => this.seconds * 1000;
  pause = async (milliseconds: number) => {
    this.seconds += milliseconds / 1000;
  };
  sampler = {
    sample: async (): Promise<Record<string, ServiceSample>> => {
      this.samples += 1;
      return { api: this.totals.sample(this.weatherAt(this.seconds)) };
    },
    close: () => {
      this.closed += 1;
    },
  };
}

const api: BakedService = { name: "api", kind: "serving", metrics: true, health: "/health" };

function bake(world: World, rules: RuleTable, more: Partial<BakeArgs> = {}) {
  return bakeRelease({
    rules,
    services: [api],
    database: true,
    seconds: minimumBakeSeconds(rules, scrapeSeconds),
    scrapeSeconds,
    healthSeconds: 60,
    sampler: world.sampler,
    clock: world,
    ...more,
  });
}

const tables: [string, RuleTable][] = [
  ["chrono (CHR-14)", chronoRules],
  ["sanctum (SAN-3, SAN-4)", sanctumRules],
  ["traider (TRD-6)", traiderRules],
  ["pod (POD-8)", podRules],
  ["deia (DEI-6)", deiaRules],
];

describe.each(tables)("the bake of %s", (_system, rules) => {
  const least = minimumBakeSeconds(rules, scrapeSeconds);

  it("holds after its whole length in good weather", async () => {
    const world = new World(() => ({}));
    const result = await bake(world, rules);
    expect(result).toMatchObject({ held: true, rule: "", measured: "" });
    expect(result.lines).toHaveLength(rules.length);
    expect(world.seconds).toBe(least);
    expect(world.closed).toBe(1);
  });

  it("without traffic is no verdict, and that is not ok: it ends soon after its time, not held", async () => {
    const world = new World(() => ({ requests: 0 }));
    const result = await bake(world, rules);
    expect(result).toMatchObject({ held: false, measured: "–, not measured (api)" });
    expect(result.rule).toMatch(/^(errorRate|p95)/);
    expect(world.seconds).toBe(least + scrapeSeconds * 5);
  });

  it("whose database nobody asked is not ok where a rule names the database", async () => {
    const world = new World(() => ({}));
    const mute = {
      ...world.sampler,
      sample: async () => {
        const { api: seen } = await world.sampler.sample();
        return { api: { ...seen, probes: [probe("health", true)] } };
      },
    };
    const asks = rules.some(({ metric }) => metric === "databaseFailures");
    const result = await bake(world, rules, { sampler: mute });
    expect(result.held).toBe(!asks);
    if (asks) expect(result).toMatchObject({ rule: "databaseFailures > 1 in a row" });
    expect((await bake(new World(() => ({})), rules, { database: false, sampler: mute })).held).toBe(true);
  });

  describe.each(
    rules
      .filter(({ decision }) => decision === "rollback")
      .map((rule) => [`${rule.metric} > ${rule.above} for ${rule.forSeconds} s`, rule] as const),
  )("%s", (_name, rule) => {
    const needed = secondsToBreak(rule);
    const { above, at } = weatherFor(rule);
    const begin = 30;
    const long = { seconds: 2 * least + 60 };

    it("ends it as soon as its window is full, with what was measured", async () => {
      const world = new World((seconds) => (seconds > begin ? above : {}));
      const result = await bake(world, rules, long);
      expect(result.held).toBe(false);
      expect(world.seconds).toBe(begin + needed);
      const broken = result.lines.filter((line) => line.endsWith("rollback)"));
      expect(broken.some((line) => line.startsWith(`${rule.metric} `))).toBe(true);
      expect(result.rule.startsWith(`${rule.metric} >`)).toBe(true);
    });

    it("does not end it when the weather turns good one scrape before", async () => {
      const last = begin + needed - scrapeSeconds;
      const world = new World((seconds) => (seconds > begin && seconds <= last ? above : {}));
      const result = await bake(world, rules, long);
      expect(result).toMatchObject({ held: true });
      expect(world.seconds).toBe(long.seconds);
    });

    it("does not end it at exactly what is allowed", async () => {
      const result = await bake(new World(() => at), rules, long);
      expect(result.held).toBe(true);
    });
  });
});

describe("findings of DEI-6's middle column", () => {
  const looked: [string, Weather, string][] = [
    ["errors of 1–5 %", { errors: 30 }, "errorRate > 1 %"],
    ["p95 of 2–5 s", { slow: { bucket: 5, requests: 100 } }, "p95 > 2000 ms"],
  ];
  it.each(looked)("%s are held, and named to be looked into", async (_name, weather, rule) => {
    const world = new World((seconds) => (seconds > 30 && seconds <= 60 ? weather : {}));
    expect(await bake(world, deiaRules)).toMatchObject({ held: true, rule });
  });
});

describe("the emergency stop (TRD-6)", () => {
  it("ends any bake within a quarter of a second, whatever was measured", async () => {
    const world = new World(() => ({}));
    const emergencyStop = async () => (world.seconds >= 7 ? { by: "ann", reason: "wrong prices" } : null);
    const result = await bake(world, traiderRules, { emergencyStop });
    expect(result).toMatchObject({ held: false, rule: "emergencyStop", measured: "wrong prices (ann)" });
    expect(world.seconds).toBe(7);
    expect(world.closed).toBe(1);
  });
});

describe("the front doors", () => {
  it("are asked each round: one that leads elsewhere ends the bake at once, in the best of weather", async () => {
    const world = new World(() => ({}));
    const astray = { rule: "doors", measured: "the front door api-1 serves v1, not v2", allowed: "v2" };
    const doors = async () => (world.seconds >= 30 ? astray : null);
    expect(await bake(world, traiderRules, { doors })).toMatchObject({ held: false, ...astray });
    expect(world.seconds).toBe(30);
    expect(world.closed).toBe(1);
  });
});

describe("a singleton that has only just been started", () => {
  const oracle: BakedService = { name: "oracle", kind: "singleton", metrics: false, health: "/health" };
  const rules: RuleTable = [{ metric: "healthFailures", above: 2, forSeconds: 0, decision: "rollback" }];

  function started(healthyAt: number): World {
    const world = new World(() => ({}));
    world.sampler.sample = async () => ({
      oracle: { probes: [{ ...probe("health", world.seconds >= healthyAt), detail: "starting" }] },
    });
    return world;
  }

  it("fails no health check until it has answered once", async () => {
    const world = started(40);
    expect((await bake(world, rules, { services: [oracle], seconds: 20 })).held).toBe(true);
    expect(world.seconds).toBe(40);
  });

  it("that never does is a finding when its time is over", async () => {
    const world = started(Number.POSITIVE_INFINITY);
    const result = await bake(world, rules, { services: [oracle], seconds: 20 });
    expect(result).toMatchObject({
      held: false,
      rule: "oracle answers 2xx on /health within 60 s",
      measured: "503 starting",
      allowed: "200 to 299",
    });
    expect(world.seconds).toBe(65);
  });
});

it("a sampler that throws ends the bake and is closed", async () => {
  const world = new World(() => ({}));
  world.sampler.sample = () => Promise.reject(new Error("no such unit"));
  await expect(bake(world, chronoRules)).rejects.toThrow("no such unit");
  expect(world.closed).toBe(1);
});
