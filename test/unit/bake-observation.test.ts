import { describe, expect, it } from "vitest";
import { readScrape } from "../../components/gates/metrics.ts";
import { namedMetrics, Observation, type ObservationOptions } from "../../components/gates/observation.ts";
import {
  hasToRise,
  isShare,
  minimumBakeSeconds,
  type Rule,
  type RuleTable,
} from "../../components/gates/rules.ts";
import type { Probe, Sample } from "../../components/gates/seen.ts";
import {
  chronoRules,
  deiaRules,
  podRules,
  sanctumRules,
  traiderRules,
} from "../../components/gates/tables.ts";
import {
  counter,
  probe,
  scrapeSeconds,
  secondsToBreak,
  submitted,
  Totals,
  type Weather,
  weatherFor,
} from "./gates/weather.ts";

/** A made-up release of one service on a clock that only the test moves. */
class Bake {
  readonly observation: Observation;
  #seconds = 0;
  readonly #totals = new Totals();

  constructor(rules: RuleTable, options: Partial<ObservationOptions> = {}) {
    this.observation = new Observation({
      rules,
      services: [{ name: "api", kind: "serving", metrics: true }],
      database: true,
      ...options,
    });
    this.observation.add(this.#sample({ requests: 0 }));
  }

  get seconds(): number {
    return this.#seconds;
  }

  /** Lets whole scrapes pass. */
  pass(seconds: number, weather: Weather = {}): this {
    for (let passed = 0; passed < seconds; passed += scrapeSeconds) {
      this.#seconds += scrapeSeconds;
      this.observation.add(this.#sample(weather));
    }
    return this;
  }

  stateOf(rule: Rule): string {
    return this.observation.verdict().lines.find((line) => line.rule === rule)!.state;
  }

  #sample(weather: Weather): Sample {
    return { at: 1_000_000 + this.#seconds * 1000, services: { api: this.#totals.sample(weather) } };
  }
}

const tables: [string, RuleTable][] = [
  ["chrono", chronoRules],
  ["sanctum", sanctumRules],
  ["traider", traiderRules],
  ["pod", podRules],
  ["deia", deiaRules],
];

describe.each(tables)("%s", (_system, rules) => {
  const longest = minimumBakeSeconds(rules, scrapeSeconds);

  it("is ok after a whole bake in good weather", () => {
    const bake = new Bake(rules);
    expect(bake.observation.verdict().decision).toBe("no-verdict");
    bake.pass(longest);
    expect(bake.observation.verdict()).toMatchObject({ decision: "ok", rule: "", brokenAt: null });
    expect(bake.observation.verdict().lines.map((line) => line.state)).toEqual(rules.map(() => "held"));
  });

  describe.each(
    rules
      .filter((rule) => !isShare(rule.metric) && !hasToRise(rule))
      .map((rule) => [`${rule.metric} > ${rule.above} for ${rule.forSeconds} s`, rule] as const),
  )("%s", (_name, rule) => {
    const { above, at } = weatherFor(rule);
    const needed = secondsToBreak(rule);

    it(`is broken after its window on the moved clock: ${rule.decision}`, () => {
      const bake = new Bake(rules).pass(30);
      bake.pass(needed - scrapeSeconds, above);
      expect(bake.stateOf(rule)).not.toBe("broken");
      expect(bake.observation.verdict().decision).not.toBe("rollback");
      bake.pass(scrapeSeconds, above);
      expect(bake.stateOf(rule)).toBe("broken");
      const verdict = bake.pass(rule.decision === "investigate" ? longest : 0).observation.verdict();
      expect(verdict).toMatchObject({
        decision: rule.decision,
        service: "api",
        brokenAt: 1_000_000 + (30 + needed) * 1000,
      });
      expect(verdict.lines.find((line) => line.rule === rule)!.text).toContain(rule.decision);
    });

    it("is not broken by what is just allowed, for twice the bake", () => {
      const bake = new Bake(rules).pass(30).pass(2 * longest, at);
      expect(bake.stateOf(rule)).toBe("held");
    });

    if (rule.metric === "memoryGrowth" || needed === scrapeSeconds) return;

    it("is not broken when one scrape within the window was fine", () => {
      const bake = new Bake(rules).pass(30).pass(needed - scrapeSeconds, above);
      bake.pass(scrapeSeconds).pass(needed - scrapeSeconds, above);
      expect(bake.stateOf(rule)).not.toBe("broken");
    });
  });
});

describe("an emergency stop", () => {
  it("rolls back at once, before anything was measured", () => {
    const { observation } = new Bake(traiderRules);
    observation.emergencyStop({ at: 1_000_500, by: "ann", reason: "wrong prices" });
    expect(observation.verdict()).toMatchObject({
      decision: "rollback",
      rule: "emergencyStop",
      measured: "wrong prices (ann)",
      brokenAt: 1_000_500,
    });
  });
});

describe("no traffic", () => {
  it("is no verdict, never ok", () => {
    const bake = new Bake(podRules).pass(2000, { requests: 0 });
    expect(bake.observation.verdict()).toMatchObject({
      decision: "no-verdict",
      rule: "errorRate > 5 % for 120 s",
      measured: "–, no requests (api)",
    });
  });

  it("is not made up for by health checks that the counters cannot tell apart", () => {
    const observation = observe({ services: [{ name: "api", kind: "serving", metrics: true }] });
    for (let second = 0; second <= 120; second++) {
      const text = `http_requests_total{status="200"} ${second * 2}
http_request_duration_seconds_bucket{le="1"} ${second * 2}
http_request_duration_seconds_bucket{le="+Inf"} ${second * 2}`;
      const metrics = readScrape(text, { ownPaths: ["/health"], counters: [] });
      observation.add({ at: second * 1000, services: { api: { metrics, probes: [probe("health", true)] } } });
    }
    expect(observation.verdict()).toMatchObject({ decision: "no-verdict", rule: "errorRate > 1 % for 60 s" });
  });

  it("of one of two serving services is no verdict on the release", () => {
    const observation = observe({
      services: [
        { name: "api", kind: "serving", metrics: false },
        { name: "dashboard", kind: "serving", metrics: false },
        { name: "oracle", kind: "singleton", metrics: false },
      ],
    });
    const probes = Array.from({ length: 10 }, () => probe("request", true));
    for (let second = 0; second <= 120; second++) {
      observation.add({ at: second * 1000, services: { api: { probes }, dashboard: {} } });
    }
    expect(observation.verdict()).toMatchObject({ decision: "no-verdict", service: "dashboard" });
  });
});

describe("our own requests through the door", () => {
  const services: ObservationOptions["services"] = [{ name: "api", kind: "serving", metrics: false }];

  function requested(probes: (second: number) => Probe[]): Observation {
    const observation = observe({ services });
    for (let second = 0; second <= 70; second++) {
      observation.add({ at: second * 1000, services: { api: { probes: probes(second) } } });
    }
    return observation;
  }

  const fifty = (bad: number, seconds?: number) =>
    Array.from({ length: 50 }, (_, i) =>
      probe("request", seconds !== undefined || i >= bad, i < bad ? seconds : 0.01),
    );

  it("are the traffic of a service without metrics", () => {
    expect(requested(() => fifty(0)).verdict().decision).toBe("ok");
  });

  it("show its errors and its slowness", () => {
    const failing = requested((second) => fifty(second < 5 ? 0 : 10));
    expect(failing.verdict()).toMatchObject({
      decision: "rollback",
      measured: "18.6 %, 660 of 3550 requests (api by our own requests)",
    });
    const slow = requested(() => fifty(5, 3));
    expect(slow.verdict()).toMatchObject({ decision: "rollback", rule: "p99 > 1000 ms for 60 s" });
  });

  it("are no verdict where there were too few of them", () => {
    const few = requested(() => [probe("request", true)]);
    expect(few.verdict()).toMatchObject({
      decision: "no-verdict",
      measured: "0 %, 0 of 71 requests, too few requests to tell (api by our own requests)",
    });
  });

  it("made for health count for nothing but health", () => {
    const healthy = requested(() => Array.from({ length: 10 }, () => probe("health", true)));
    expect(healthy.verdict().decision).toBe("no-verdict");
  });
});

describe("what one request can do", () => {
  it("a single error in the logs is OK (DEI-6); more than 1 % of errors is to be looked into", () => {
    const quiet = { requests: 25 };
    const bake = new Bake(deiaRules)
      .pass(30, quiet)
      .pass(5, { ...quiet, errors: 1 })
      .pass(400, quiet);
    expect(bake.observation.verdict().decision).toBe("ok");
    const worse = new Bake(deiaRules).pass(430, { requests: 250, errors: 7.5 });
    expect(worse.observation.verdict()).toMatchObject({ decision: "investigate", rule: "errorRate > 1 %" });
  });

  it("a single error just before the end does not withhold the verdict", () => {
    const bake = new Bake(chronoRules).pass(65).pass(5, { errors: 1 });
    expect(bake.observation.verdict().decision).toBe("ok");
  });

  it("a single slow one is not a percentile", () => {
    const quiet = { requests: 25 };
    const bake = new Bake(deiaRules).pass(30, quiet);
    bake.pass(5, { ...quiet, slow: { bucket: 10, requests: 1 } }).pass(400, quiet);
    expect(bake.observation.verdict().decision).toBe("ok");
  });
});

describe("a service that stops being measured", () => {
  it("is no verdict, also when it was fine until then", () => {
    const bake = new Bake(chronoRules).pass(300).pass(65, { scrape: false });
    expect(bake.observation.verdict()).toMatchObject({
      decision: "no-verdict",
      measured: "0 %, 0 of 60000 requests, not measured for the last 65 s (api)",
    });
    expect(bake.observation.evidence()).toMatchObject({
      services: [{ scrapeFailures: expect.arrayContaining([{ at: 305, error: "connect ECONNREFUSED" }]) }],
    });
  });

  it("is judged again when it comes back", () => {
    const bake = new Bake(chronoRules)
      .pass(300)
      .pass(30, { scrape: false, errors: 500 })
      .pass(5, { errors: 500 });
    expect(bake.observation.verdict()).toMatchObject({
      decision: "rollback",
      measured: "5.22 %, 3500 of 67000 requests (api)",
    });
  });
});

describe("a service that has nothing to show at first", () => {
  const scrape = (at: number, buckets: string) =>
    readScrape(`http_requests_total{route="/",status="200"} ${at * 50}\n${buckets}`, {
      ownPaths: [],
      counters: [],
    });
  const watched = (bucketsAt: (at: number) => string) => {
    const observation = observe({ services: [{ name: "api", kind: "serving", metrics: true }] });
    for (let at = 0; at <= 70; at++) {
      const metrics = scrape(at, bucketsAt(at));
      observation.add({ at: at * 1000, services: { api: { metrics } } });
    }
    return observation.verdict();
  };
  const within = (bound: string, at: number) =>
    `http_request_duration_seconds_bucket{route="/",le="${bound}"} ${at * 50}`;

  it("is measured from when it does", () => {
    const late = (at: number) => (at < 5 ? "" : `${within("1", at)}\n${within("+Inf", at)}`);
    expect(watched(late)).toMatchObject({ decision: "ok" });
  });

  it("is never well where its histogram ends below what is allowed and requests took longer", () => {
    const short = (at: number) => `${within("0.5", at < 5 ? 0 : at - 5)}\n${within("+Inf", at)}`;
    expect(watched(short)).toMatchObject({ decision: "no-verdict", rule: "p99 > 1000 ms for 60 s" });
  });
});

describe("a process that ends", () => {
  it("is a crash while it is gone, and after it came back", () => {
    const crash: RuleTable = [{ metric: "restarts", above: 0, forSeconds: 0, decision: "rollback" }];
    for (const after of ["failed", "gone", "running"] as const) {
      const observation = observe({
        rules: crash,
        services: [{ name: "oracle", kind: "singleton", metrics: false }],
      });
      const unit = { active: "running" as const, restarts: 4, memoryBytes: 1 };
      observation.add({ at: 0, services: { oracle: { unit } } });
      observation.add({ at: 1000, services: { oracle: { unit } } });
      expect(observation.verdict().decision).toBe("ok");
      const restarts = after === "running" ? 5 : 4;
      observation.add({ at: 2000, services: { oracle: { unit: { ...unit, active: after, restarts } } } });
      expect(observation.verdict()).toMatchObject({ decision: "rollback", measured: "1 (oracle)" });
    }
  });

  it("does not count its memory from before", () => {
    const leak: RuleTable = [{ metric: "memoryGrowth", above: 100e6, forSeconds: 60, decision: "rollback" }];
    const bake = new Bake(leak).pass(60, { grows: 1e6 });
    bake.pass(5, { grows: 500e6, restarts: 1 }).pass(55, { grows: 1e6 });
    expect(bake.observation.verdict()).toMatchObject({ decision: "no-verdict" });
    bake.pass(10, { grows: 1e6 });
    expect(bake.observation.verdict()).toMatchObject({ decision: "ok" });
  });
});

describe("replicas of a service", () => {
  const errors: RuleTable = [{ metric: "errorRate", above: 0.05, forSeconds: 20, decision: "rollback" }];
  const services: ObservationOptions["services"] = [{ name: "api", kind: "serving", metrics: true }];

  function scrape(requests: number, failed: number, memory = 50e6) {
    const text = `http_requests_total{route="/",status="200"} ${requests - failed}
http_requests_total{route="/",status="500"} ${failed}
process_resident_memory_bytes ${memory}`;
    return readScrape(text, { ownPaths: [], counters: [] });
  }

  it("are added up, each from its own last scrape", () => {
    const observation = observe({ rules: errors, services });
    for (let at = 0; at <= 40; at += 5) {
      const instances = { one: scrape(1000 + at * 10, 0), two: scrape(90_000 + at * 10, at / 2) };
      observation.add({ at: at * 1000, services: { api: { metrics: { instances } } } });
    }
    expect(observation.verdict()).toMatchObject({ decision: "ok" });
    expect(observation.verdict().lines[0]!.text).toBe(
      "errorRate 2.5 % ≤ 5 % over 20 s (api, 20 of 800 requests, sees 7.24 % with 99 %)",
    );
  });

  it("may go and come: one that is new is only measured from then on, one that began anew from its begin", () => {
    const observation = observe({ rules: errors, services });
    const seen = [
      { one: scrape(1000, 0) },
      { one: scrape(1100, 0), two: scrape(50_000, 40_000) },
      { one: scrape(1200, 0), two: scrape(50_100, 40_000) },
      { one: scrape(50, 0), two: scrape(50_200, 40_000) },
      { two: scrape(50_300, 40_000) },
      { two: scrape(50_400, 40_000) },
    ];
    for (const [index, instances] of seen.entries()) {
      observation.add({ at: index * 5000, services: { api: { metrics: { instances } } } });
    }
    const { services: found } = observation.evidence() as { services: { traffic: { requests: number }[] }[] };
    expect(found[0]!.traffic.map(({ requests }) => requests)).toEqual([100, 200, 150, 100, 100]);
    expect(observation.verdict().decision).toBe("ok");
  });

  it("give their own memory where the target knows none, anew when other ones are counted", () => {
    const leak: RuleTable = [{ metric: "memoryGrowth", above: 100e6, forSeconds: 60, decision: "rollback" }];
    const unit = { active: "running" as const, restarts: 0, memoryBytes: null };
    const watched = (second: (at: number) => boolean) => {
      const observation = observe({ rules: leak, services });
      for (let at = 0; at <= 80; at += 5) {
        const instances = {
          one: scrape(at, 0, 50e6 + at * 1e6),
          ...(second(at) ? { two: scrape(at, 0, 900e6) } : {}),
        };
        observation.add({ at: at * 1000, services: { api: { unit, metrics: { instances } } } });
      }
      return observation.verdict();
    };
    expect(watched(() => false)).toMatchObject({ decision: "ok" });
    expect(watched((at) => at > 40)).toMatchObject({ decision: "no-verdict" });
  });
});

describe("the evidence", () => {
  it("is plain JSON with what the verdict rests on", () => {
    const bake = new Bake(chronoRules).pass(30).pass(60, { errors: 200 });
    const evidence = JSON.parse(JSON.stringify(bake.observation.evidence()));
    expect(evidence).toMatchObject({
      verdict: {
        decision: "rollback",
        rule: "errorRate > 1 % for 60 s",
        measured: "13.3 %, 2400 of 18000 requests (api)",
        brokenAt: 50,
      },
      rules: [
        "errorRate 13.3 % > 1 % over 60 s (api, 2400 of 18000 requests, sees 1.26 % with 99 %, rollback)",
        "p99 99 ms ≤ 1000 ms over 60 s (api, 0 of 18000 requests, sees 1.26 % slower with 99 %)",
        `counter:${counter} 0 ≤ 0 (api)`,
        `rises:${submitted} 18 > 0 (api)`,
        "restarts 0 ≤ 0 (api)",
        "healthFailures 0 in a row ≤ 2 in a row (api)",
      ],
      seconds: 90,
      samples: 19,
      services: [{ name: "api", health: { made: 19, failedAt: [] }, restarts: 0 }],
    });
    expect(evidence.services[0].traffic).toHaveLength(18);
    expect(evidence.services[0].traffic[17]).toMatchObject({ from: 85, to: 90, requests: 1000, errors: 200 });
  });

  it("does not depend on when within the bake the verdict is asked for", () => {
    const asked = new Bake(chronoRules);
    for (let i = 0; i < 20; i++) asked.pass(5, { errors: 5 * i }).observation.verdict();
    const quiet = new Bake(chronoRules);
    for (let i = 0; i < 20; i++) quiet.pass(5, { errors: 5 * i });
    expect(asked.observation.evidence()).toEqual(quiet.observation.evidence());
  });
});

describe("a sample", () => {
  it("of an unknown service, or from before the last one, is refused", () => {
    const observation = observe({ services: [{ name: "api", kind: "serving", metrics: true }] });
    expect(() => observation.add({ at: 0, services: { web: {} } })).toThrow(
      'sample of "web": expected one of api',
    );
    observation.add({ at: 1000, services: {} });
    expect(() => observation.add({ at: 999, services: {} })).toThrow("the clock must be monotonic");
  });
});

it("finds the counters that a table asks for", () => {
  expect(namedMetrics(chronoRules)).toEqual({ counters: [counter, submitted], gauges: [] });
  expect(namedMetrics(deiaRules)).toEqual({ counters: [], gauges: [] });
  const full: Rule = { metric: "gauge:queue_length", above: 100, forSeconds: 0, decision: "rollback" };
  expect(namedMetrics([full])).toEqual({ counters: [], gauges: ["queue_length"] });
});

function observe(options: Partial<ObservationOptions>): Observation {
  const rules = chronoRules.filter((rule) => rule.metric === "errorRate" || rule.metric === "p99");
  return new Observation({ rules, services: [], database: false, ...options });
}
