import { expect, test } from "vitest";
import { fingerprint } from "../../components/rollout/fingerprint.ts";
import { chronoManifest, chronoPolicy } from "../../stacks/chrono.ts";
import { rawConfig, readStackConfig } from "../../stacks/config/read.ts";

const development = readStackConfig(
  "development",
  rawConfig(
    {
      "chrono:box": "local",
      "chrono:source": '{"git":".switchyard/example.git"}',
      "chrono:settings": '{"LOG_LEVEL":"debug"}',
    },
    [],
  ),
);
const secrets = ["chrono:databaseUrl", "chrono:redisUrl", "switchyard:fingerprintKey", "vault:password"];
const production = readStackConfig(
  "production",
  rawConfig(
    {
      "chrono:box": '{"host":"nexus.example","hostKey":"ssh-ed25519 AAAA"}',
      "chrono:source": '{"git":"https://git.example/chrono.git"}',
      "chrono:databaseUrl": "postgres://chrono:pw@db/chrono",
      "chrono:redisUrl": "redis://cache",
      "chrono:databaseReplicas": "2",
      "chrono:redisPersistence": "true",
      "switchyard:fingerprintKey": "key",
      "vault:bucket": "backups",
      "vault:region": "eu-central-1",
      "vault:configuration": '{"git":"https://git.example/boxes.git"}',
      "vault:password": "never lose it",
    },
    secrets,
  ),
);

test.each([
  ["development", development, "74c797e65aef"],
  ["production", production, "2020c630f1b8"],
] as const)("Chrono's rendering in %s does not change by itself: a new figure here re-renders every release", (_name, stack, golden) => {
  expect(fingerprint(chronoManifest(stack, "v1.0.0", {}))).toBe(golden);
});

test("api and dashboard stand behind doors, the oracle is never active twice, in every environment (ALL-6)", () => {
  for (const stack of [development, production]) {
    const { services } = chronoManifest(stack, "v1.0.0", {});
    expect(services.map(({ name, kind, door }) => [name, kind, door])).toEqual([
      ["api", "serving", 8080],
      ["dashboard", "serving", 8081],
      ["oracle", "singleton", undefined],
    ]);
  }
});

test("a manifest holds revisions of secrets and never their values (CHR-13)", () => {
  const manifest = chronoManifest(production, "v1.0.0", {});
  expect(JSON.stringify(manifest)).not.toMatch(/pw@db|redis:\/\/cache/);
  expect(Object.keys(manifest.services[0]?.secrets ?? {})).toEqual(["DATABASE_URL", "REDIS_URL"]);
  expect(manifest.checks).toEqual({ postgres: "DATABASE_URL", redis: "REDIS_URL" });
});

test("the build of production is the document's, and a release's own settings replace today's", () => {
  const manifest = chronoManifest(production, "v1.0.0", { settings: { LOG_LEVEL: "trace" } });
  expect(manifest.build[0]).toBe("cd src/oracle/rust && cargo build --release");
  expect(manifest.services[0]?.environment).toEqual({ NODE_ENV: "production", LOG_LEVEL: "trace" });
});

test("a setting of one service reaches that one alone, and is frozen with the release's", () => {
  const settings = { LOG_LEVEL: "info", "oracle.LOG_LEVEL": "debug", "oracle.FEEDS": "3" };
  const { services } = chronoManifest(production, "v1.0.0", { settings });
  expect(services.map(({ name, environment }) => [name, environment])).toEqual([
    ["api", { NODE_ENV: "production", LOG_LEVEL: "info" }],
    ["dashboard", { NODE_ENV: "production", LOG_LEVEL: "info" }],
    ["oracle", { NODE_ENV: "production", LOG_LEVEL: "debug", FEEDS: "3" }],
  ]);
});

test.each([
  ["chrono:settings", "settings"],
  ["chrono:releases", "releases.v1.settings"],
])("a setting in %s of a service that there is not is an error of the config", (key, named) => {
  const settings = { "orcale.LOG_LEVEL": "debug" };
  const value = key === "chrono:settings" ? settings : { v1: { settings } };
  const texts = {
    "chrono:box": "local",
    "chrono:source": '{"git":"repo"}',
    [key]: JSON.stringify(value),
  };
  expect(() => readStackConfig("development", rawConfig(texts, []))).toThrow(
    new RegExp(
      `chrono:${named}[^]*orcale.LOG_LEVEL[^]*<service>.NAME with a service of api, dashboard, oracle`,
    ),
  );
});

test("what the environment declares is of the box's policy, which changes in place: it makes no other release (CHR-9)", () => {
  expect(chronoPolicy(production).connections).toEqual({
    replicas: { declared: 2, key: "chrono:databaseReplicas" },
    persistence: { declared: true, key: "chrono:redisPersistence" },
  });
  expect(chronoPolicy(development)).not.toHaveProperty("connections");
  const { chrono } = production;
  const other = { ...production, chrono: { ...chrono, databaseReplicas: 1, redisPersistence: false } };
  expect(chronoManifest(other, "v1.0.0", {})).toEqual(chronoManifest(production, "v1.0.0", {}));
});

test("requests of our own, dozens a second, go to the page that users open and never to what asks the database", () => {
  expect(chronoPolicy(production).probes).toEqual(["/"]);
});
