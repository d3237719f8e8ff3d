import { describe, expect, it } from "vitest";
import { type BakeArgs, type BakedService, bakeRelease, type Clock } from "../../../components/gates/bake.ts";
import {
  allowedShare,
  hasToRise,
  isShare,
  type Metric,
  minimumBakeSeconds,
  type RuleTable,
} from "../../../components/gates/rules.ts";
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
    expect(result).toMatchObject({ held: false, measured: "–, no requests (api)" });
    expect(result.rule).toMatch(/^(errorRate|p95)/);
    expect(world.seconds).toBe(2 * least);
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
      .filter((rule) => rule.decision === "rollback" && !isShare(rule.metric) && !hasToRise(rule))
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

describe.each(tables)("shares of requests in the bake of %s", (_system, rules) => {
  const least = minimumBakeSeconds(rules, scrapeSeconds);
  const slowest = [0.1, 0.5, 1, 2.5, 5, 10, Number.POSITIVE_INFINITY];
  const shares = rules
    .filter(({ metric, decision }) => isShare(metric) && decision === "rollback")
    .map((rule) => [`${rule.metric} > ${rule.above}`, rule] as const);

  describe.each(shares)("%s", (_name, rule) => {
    const allowed = allowedShare(rule);
    const weather = (share: number): Weather => {
      const bad = 1000 * share;
      if (rule.metric === "errorRate") return { errors: bad };
      return {
        slow: { bucket: slowest[slowest.findIndex((bound) => bound >= rule.above) + 1]!, requests: bad },
      };
    };

    it("twice as many as allowed end it before its time", async () => {
      const world = new World((seconds) => (seconds > 30 ? weather(2 * allowed) : {}));
      const result = await bake(world, [rule], { seconds: least });
      expect(result.held).toBe(false);
      expect(result.rule.startsWith(`${rule.metric} >`)).toBe(true);
      expect(world.seconds).toBeLessThan(least);
    });

    it("half as many are held", async () => {
      const world = new World(() => weather(allowed / 2));
      expect((await bake(world, [rule], { seconds: least })).held).toBe(true);
      expect(world.seconds).toBe(least);
    });

    it("more than allowed for all of its time are never held", async () => {
      const world = new World(() => weather(1.05 * allowed));
      const result = await bake(world, [rule], { seconds: least });
      expect(result.held).toBe(false);
      expect(result.rule.startsWith(`${rule.metric} >`)).toBe(true);
    });
  });
});

describe("findings of DEI-6's middle column", () => {
  const looked: [string, Weather, string][] = [
    ["errors of 1–5 %", { errors: 30 }, "errorRate > 1 %"],
    ["p95 of 2–5 s", { slow: { bucket: 5, requests: 100 } }, "p95 > 2000 ms"],
  ];
  it.each(looked)("%s are held, and named to be looked into", async (_name, weather, rule) => {
    const world = new World(() => weather);
    expect(await bake(world, deiaRules)).toMatchObject({ held: true, rule });
  });
});

describe("metrics of the application's own", () => {
  const named = (metric: Metric): RuleTable => [{ metric, above: 0, forSeconds: 0, decision: "rollback" }];

  it("that nobody shows are no verdict, with the name", async () => {
    const shown = await bake(new World(() => ({})), named("counter:ftso_submissions_failed_total"), {
      seconds: 20,
    });
    expect(shown.held).toBe(true);
    for (const metric of ["counter:oracle_failures_total", "gauge:oracle_failures_total"] as const) {
      const world = new World(() => ({}));
      const kind = metric.split(":")[0];
      const result = await bake(world, named(metric), { seconds: 20 });
      expect(result).toMatchObject({
        held: false,
        measured: `–, no service shows a ${kind} oracle_failures_total`,
      });
      expect(world.seconds).toBe(40);
    }
  });

  it("that have to rise are waited for, and no verdict where they do not", async () => {
    const rules = named("rises:ftso_submissions_total");
    const late = new World((seconds) => ({ submissions: seconds >= 30 ? 1 : 0 }));
    expect((await bake(late, rules, { seconds: 20 })).held).toBe(true);
    expect(late.seconds).toBe(30);
    const never = new World(() => ({ submissions: 0 }));
    expect(await bake(never, rules, { seconds: 20 })).toMatchObject({
      held: false,
      rule: "rises:ftso_submissions_total by more than 0",
      measured: "0, it has not risen yet (api)",
      allowed: "> 0",
    });
    expect((await bake(new World(() => ({ submissions: 0 })), chronoRules, { proved: true })).held).toBe(
      true,
    );
  });

  it("that have to rise may do so in one of the services that show them", async () => {
    const world = new World(() => ({ submissions: 0 }));
    const oracle = new Totals();
    const { sample } = world.sampler;
    world.sampler.sample = async () => ({ ...(await sample()), oracle: oracle.sample({}) });
    const services: BakedService[] = [api, { ...api, name: "oracle", kind: "singleton" }];
    const result = await bake(world, named("rises:ftso_submissions_total"), { services, seconds: 20 });
    expect(result.held).toBe(true);
    expect(result.lines).toEqual(["rises:ftso_submissions_total 4 > 0 (oracle)"]);
  });

  it("that are gauges may fall without anything else being counted anew", async () => {
    const rules: RuleTable = [
      { metric: "gauge:queue_length", above: 100, forSeconds: 10, decision: "rollback" },
      { metric: "counter:ftso_submissions_failed_total", above: 0, forSeconds: 0, decision: "rollback" },
    ];
    const waves = new World((seconds) => ({ queue: seconds % 20 === 0 ? 500 : 0 }));
    expect((await bake(waves, rules, { seconds: 60 })).held).toBe(true);
    const full = new World((seconds) => ({ queue: seconds > 20 ? 101 : 0 }));
    expect(await bake(full, rules, { seconds: 60 })).toMatchObject({
      held: false,
      rule: "gauge:queue_length > 100 for 10 s",
      measured: "101 (api)",
    });
  });
});

describe("what users get at the front door", () => {
  it("decides, although the release's own counters say that all is well", async () => {
    const world = new World(() => ({}));
    let answered = 0;
    const { sample } = world.sampler;
    world.sampler.sample = async () => {
      const { api: seen } = await sample();
      answered += 1000;
      const failed = world.seconds > 20 ? answered / 2 - 2500 : 0;
      return { api: { ...seen, door: { requests: answered, errors: Math.max(0, failed) } } };
    };
    const result = await bake(world, chronoRules);
    expect(result).toMatchObject({ held: false, rule: "errorRate > 1 % for 60 s" });
    expect(result.measured).toMatch(/^\d+\.?\d* %, \d+ of \d+ requests \(api at the front door\)$/);
  });

  it("decides by our own requests too, where these fail and the counters do not", async () => {
    const world = new World(() => ({}));
    const { sample } = world.sampler;
    world.sampler.sample = async () => {
      const { api: seen } = await sample();
      const probes = Array.from({ length: 100 }, (_, index) => probe("request", index >= 10));
      return { api: { ...seen, probes: [...(seen?.probes ?? []), ...probes] } };
    };
    const result = await bake(world, chronoRules, { services: [{ ...api, asked: true }] });
    expect(result).toMatchObject({ held: false, rule: "errorRate > 1 % for 60 s" });
    expect(result.measured).toMatch(/^10 %, \d+ of \d+ requests \(api by our own requests\)$/);
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
