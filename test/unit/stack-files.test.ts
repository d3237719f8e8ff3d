import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import type { Rule } from "../../components/gates/rules.ts";
import {
  chronoRules,
  deiaRules,
  podRules,
  sanctumRules,
  traiderRules,
} from "../../components/gates/tables.ts";
import { alerts } from "../../stacks/config/alerts.ts";
import { ConfigError } from "../../stacks/config/errors.ts";
import { type RawConfig, type RawValue, readStackConfig, systemNames } from "../../stacks/config/read.ts";

type Config = Record<string, unknown>;

const committed = (stack: string): Config => {
  const path = new URL(`../../Pulumi.${stack}.yaml`, import.meta.url);
  return (parse(readFileSync(path, "utf8")) as { config: Config }).config;
};

/** Every key with its path: `pod:edge.waf.managed`; members of lists, and the pins' own names, are not told apart. */
function keysOf(config: Config): string[] {
  const paths = (path: string, value: unknown): string[] => {
    if (Array.isArray(value)) return [path];
    if (value === null || typeof value !== "object" || /:(releases|settings)$/.test(path)) return [path];
    return Object.entries(value).flatMap(([name, member]) => paths(`${path}.${name}`, member));
  };
  return Object.entries(config).flatMap(([key, value]) => paths(key, value));
}

function problemsOf(stack: string, raw: RawConfig): string[] {
  try {
    readStackConfig(stack, raw);
    return [];
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError);
    return (error as ConfigError).problems.map(({ key }) => key).toSorted();
  }
}

const plain = (config: Config): Map<string, RawValue> =>
  new Map(Object.entries(config).map(([key, value]) => [key, { value, secret: false }]));

/** What only an owner knows, as the comment at the head of the files lists it. */
const secrets = [
  ...["switchyard:fingerprintKey", "vault:password", "chrono:databaseUrl", "chrono:redisUrl"],
  ...["pod:databaseUrl", "pod:jwtSecret", "traider:jwtSecret", "traider:dbPassword"],
  ...["traider:databaseUrl", "deia:databaseUrl", "deia:jwtSecret"],
];

/** The file as its owner has completed it. */
function completed(config: Config, set: readonly string[] = secrets): RawConfig {
  const text = JSON.stringify(config).replaceAll(/(?<![0-9a-f])0{32,64}(?![0-9a-f])/g, (zeros) =>
    "a".repeat(zeros.length),
  );
  const raw = plain(JSON.parse(text) as Config);
  for (const key of ["chrono:box", "pod:box", "deia:box"]) {
    const value = raw.get(key)?.value as Config | undefined;
    if (value) raw.set(key, { value: { ...value, hostKey: "ssh-ed25519 AAAAC3Nza" }, secret: false });
  }
  const { host, name } = config["traider:database"] as { host: string; name: string };
  const values = new Map([["traider:databaseUrl", `postgresql://backup:secret@${host}/${name}`]]);
  for (const key of set) raw.set(key, { value: values.get(key) ?? "secret", secret: true });
  return raw;
}

/**
 * What each document says, by hand, in the order of its table. Chrono's and Sanctum's name no windows: theirs are the
 * program's own, a minute and the two minutes of a load test. "Failed health" is three checks in a row as in TRAIDER's.
 */
const documented = {
  chrono: [
    "errorRate > 0.01 for 60 s: rollback",
    "p99 > 1 for 60 s: rollback",
    "counter:ftso_submissions_failed_total > 0 for 0 s: rollback",
    "rises:ftso_submissions_total > 0 for 0 s: rollback",
    "restarts > 0 for 0 s: rollback",
    "healthFailures > 2 for 0 s: rollback",
  ],
  sanctum: [
    "errorRate > 0.02 for 120 s: rollback",
    "p95 > 1.5 for 120 s: rollback",
    "p99 > 3 for 120 s: rollback",
    "restarts > 0 for 0 s: rollback",
    "healthFailures > 2 for 0 s: rollback",
  ],
  pod: [
    "healthFailures > 0 for 300 s: rollback",
    "errorRate > 0.05 for 120 s: rollback",
    "p95 > 2 for 180 s: rollback",
    "databaseFailures > 1 for 0 s: rollback",
    "restarts > 0 for 0 s: rollback",
  ],
  traider: [
    "errorRate > 0.05 for 300 s: rollback",
    "p95 > 1 for 180 s: rollback",
    "healthFailures > 2 for 0 s: rollback",
    "restarts > 0 for 0 s: rollback",
  ],
  deia: [
    "errorRate > 0.05 for 300 s: rollback",
    "p95 > 5 for 0 s: rollback",
    "restarts > 0 for 0 s: rollback",
    "databaseFailures > 1 for 0 s: rollback",
    "memoryGrowth > 100000000 for 120 s: rollback",
    "healthFailures > 2 for 0 s: rollback",
    "errorRate > 0.01 for 0 s: investigate",
    "p95 > 2 for 0 s: investigate",
  ],
};

const inWords = (rules: readonly Rule[]) =>
  rules.map(
    ({ metric, above, forSeconds, decision }) => `${metric} > ${above} for ${forSeconds} s: ${decision}`,
  );

describe("the stacks' files", () => {
  test("staging and production have the same keys, but for what only production has", () => {
    const [staging, production] = [keysOf(committed("staging")), keysOf(committed("production"))];
    expect(staging.filter((key) => !production.includes(key)).toSorted()).toEqual([
      "sanctum:gates.loadSeconds",
      "sanctum:gates.soakMinutes",
      "sanctum:gates.targetRps",
    ]);
    expect(production.filter((key) => !staging.includes(key)).toSorted()).toEqual([
      "chrono:edge.routes",
      "chrono:edge.zoneId",
      "chrono:publicUrl",
      "pod:edge.domains",
      "pod:edge.rateLimits",
      "pod:edge.steps",
      "pod:edge.waf.managed",
      "pod:edge.zoneId",
    ]);
  });

  const tables = {
    chrono: chronoRules,
    sanctum: sanctumRules,
    pod: podRules,
    traider: traiderRules,
    deia: deiaRules,
  };
  const systems = Object.keys(documented) as (keyof typeof documented)[];

  test.each(systems)("the rules of %s's bake are its document's numbers", (system) => {
    expect(inWords(tables[system])).toEqual(documented[system]);
  });

  test.each(
    ["staging", "production"].flatMap((stack) => systems.map((system) => [stack, system] as const)),
  )("%s has the documented alert numbers: %s", (stack, system) => {
    expect(inWords(alerts.parse(committed(stack)[`${system}:alerts`]) ?? [])).toEqual(documented[system]);
  });

  test("production refuses an alert that is weaker than the document's, or missing; a stricter one it takes", () => {
    const without = (change: (rules: Rule[]) => Rule[]) => {
      const raw = completed(committed("production"));
      const { value } = raw.get("traider:alerts") as { value: Rule[] };
      return problemsOf(
        "production",
        new Map([...raw, ["traider:alerts", { value: change(value), secret: false }]]),
      );
    };
    const set = (metric: string, more: Partial<Rule>) => (rules: Rule[]) =>
      rules.map((rule) => (rule.metric === metric ? { ...rule, ...more } : rule));
    expect(without(set("p95", { above: 1.5 }))).toEqual(["traider:alerts"]);
    expect(without(set("errorRate", { forSeconds: 301 }))).toEqual(["traider:alerts"]);
    expect(without(set("errorRate", { decision: "investigate" }))).toEqual(["traider:alerts"]);
    expect(without((rules) => rules.slice(1))).toEqual(["traider:alerts"]);
    expect(without(set("p95", { above: 0.5, forSeconds: 60 }))).toEqual([]);
  });

  test.each(["development", "staging", "production"])("%s names every system", (stack) => {
    const named = new Set(Object.keys(committed(stack)).map((key) => key.split(":")[0]));
    expect([...systemNames].filter((system) => !named.has(system))).toEqual([]);
  });

  test("development is right as it stands", () => {
    expect(problemsOf("development", plain(committed("development")))).toEqual([]);
  });

  test.each(["staging", "production"])("%s asks for exactly what only its owner knows", (stack) => {
    const accounts = ["chrono:edge.accountId", "pod:edge.accountId"];
    const zones = stack === "production" ? ["chrono:edge.zoneId", "pod:edge.zoneId"] : [];
    const bakers = ["sanctum", "pod", "traider"].map((system) => `${system}:cluster.bakerImage`);
    const images = [...bakers, "traider:vaultImage"];
    const hostKeys = ["chrono", "pod", "deia"].map((system) => `${system}:box.hostKey`);
    const asked = secrets.filter((key) => key !== "switchyard:fingerprintKey" && key !== "pod:jwtSecret");
    expect(problemsOf(stack, plain(committed(stack)))).toEqual(
      [...accounts, ...zones, ...images, ...hostKeys, ...asked].toSorted(),
    );
  });

  test("a route that leads to nothing that is asked is refused, with every other problem, and told how to mend it", () => {
    const config = committed("production");
    const { path, ...edge } = config["chrono:edge"] as { path: string };
    expect(path).toBe("/edge");
    const raw = completed({ ...config, "chrono:edge": edge });
    expect(problemsOf("production", raw)).toEqual(["chrono:edge.path"]);
    expect(() => readStackConfig("production", raw)).toThrow(
      [
        "the config of stack production has one problem; nothing was changed",
        "  chrono:edge.path: found nothing; allowed: /edge, which is in the route nexus.hayven.xyz/edge/*; no route or domain " +
          "leads to what smoke test and bake ask: https://nexus.hayven.xyz/health, https://nexus.hayven.xyz/",
        "    pulumi config set --stack production --path chrono:edge.path /edge",
      ].join("\n"),
    );
    const incomplete = plain({ ...config, "chrono:edge": edge });
    expect(problemsOf("production", incomplete)).toEqual(
      ["chrono:edge.path", ...problemsOf("production", plain(config))].toSorted(),
    );
  });

  test("testing is TRAIDER's alone, asks for what only its owner knows, and is right once that is set", () => {
    const testing = committed("testing");
    const owned = ["traider:dbPassword", "traider:jwtSecret"];
    expect(problemsOf("testing", plain(testing))).toEqual(["traider:cluster.bakerImage", ...owned]);
    const raw = completed(testing, [...owned, "switchyard:fingerprintKey"]);
    expect(problemsOf("testing", raw)).toEqual([]);
    const more = new Map([...raw, ["deia:ollama", { value: "http://localhost:11434", secret: false }]]);
    expect(problemsOf("testing", more)).toEqual(["deia:…"]);
  });

  test.each(["staging", "production"])("%s is right once that is set", (stack) => {
    expect(problemsOf(stack, completed(committed(stack)))).toEqual([]);
  });
});
