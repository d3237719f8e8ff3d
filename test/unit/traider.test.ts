import { describe, expect, it } from "vitest";
import type { EnvironmentName } from "../../components/rollout/environment.ts";
import {
  type TraiderConfig,
  traiderChecks,
  traiderEnvironment,
  traiderSchema,
} from "../../stacks/traider.config.ts";
import { type TraiderStack, traiderLocally, traiderManifest, traiderPolicy } from "../../stacks/traider.ts";

const digest = (character: string) => `sha256:${character.repeat(64)}`;
const cluster = { context: "prod", namespace: "traider-prod", bakerImage: `node@${digest("9")}` };
const images = { backend: digest("b"), frontend: digest("f") };
const worker = { command: ["python", "-m", "traider.worker"] };

const vaultImage = `vault-backup@${digest("8")}`;

function configOf(more: object = {}, secrets: TraiderConfig["secrets"] = both): TraiderConfig {
  const given = {
    cluster,
    services: { worker },
    live: "v1",
    releases: { v1: { images } },
    vaultImage,
    ...more,
  };
  return { ...traiderSchema.parse(given), secrets };
}
const both = { jwtSecret: "jwt", dbPassword: "pw" };
const stackOf = (environment: EnvironmentName, config: TraiderConfig): TraiderStack => ({
  environment,
  fingerprintKey: "k",
  traider: config,
});

/** Where the config has no URL for the backups it is that of the environment's database. */
function problemsOf(environment: EnvironmentName, config: TraiderConfig): string[] {
  const problems: string[] = [];
  const { host, name } = traiderEnvironment(config, environment).database;
  const databaseUrl = `postgresql://backup:pw-Kp20@${host}/${name}?sslmode=verify-full`;
  const whole = { ...config, secrets: { databaseUrl, ...config.secrets } };
  traiderChecks(whole, {
    environment,
    problem: (key, found, allowed) =>
      problems.push(`${[key].flat().join(".")}: found ${found}; allowed: ${allowed}`),
  });
  return problems;
}

describe("TRAIDER's environments (TRD-1)", () => {
  it.each([
    [
      "development",
      {
        replicas: 1,
        cpu: "500m",
        memory: "512Mi",
        host: "localhost",
        name: "traider_dev",
        live: "false",
        debug: "true",
      },
    ],
    [
      "staging",
      {
        replicas: 2,
        cpu: "1000m",
        memory: "1Gi",
        host: "staging-db.traider.local",
        name: "traider_staging",
        live: "false",
        debug: "false",
      },
    ],
    [
      "production",
      {
        replicas: 3,
        cpu: "2000m",
        memory: "2Gi",
        host: "prod-db.traider.com",
        name: "traider_prod",
        live: "true",
        debug: "false",
      },
    ],
  ] as const)("is in %s what the document says", (environment, documented) => {
    const config = configOf();
    expect(problemsOf(environment, config)).toEqual([]);
    const { services } = traiderManifest(stackOf(environment, config), "v1", { images });
    expect(services.map(({ name, kind }) => `${name} ${kind}`)).toEqual([
      "backend serving",
      "frontend serving",
      "worker singleton",
    ]);
    for (const service of services) {
      expect(service.resources).toEqual({ cpu: documented.cpu, memory: documented.memory });
      expect(service.environment).toMatchObject({
        DATABASE_HOST: documented.host,
        DATABASE_NAME: documented.name,
        LIVE_TRADING: documented.live,
        DEBUG_MODE: documented.debug,
      });
    }
  });

  it("trades live in production and nowhere else, and never debugs there", () => {
    expect(problemsOf("staging", configOf({ features: { liveTrading: true, debugMode: false } }))).toEqual([
      "features.liveTrading: found true; allowed: false in staging (TRD-1)",
    ]);
    expect(problemsOf("production", configOf({ features: { liveTrading: false, debugMode: true } }))).toEqual(
      [
        "features.liveTrading: found false; allowed: true in production (TRD-1)",
        "features.debugMode: found true; allowed: false in production (TRD-1)",
      ],
    );
  });

  const testing = {
    database: { host: "testing-db.traider.example", name: "traider_test" },
    integration: { command: ["pytest", "tests/integration"] },
  };
  it("is in testing of development's size, and backs nothing up: it is gone after the run", () => {
    const config = configOf({ ...testing, vaultImage: undefined });
    const problems: string[] = [];
    traiderChecks(config, {
      environment: "testing",
      problem: (key) => problems.push([key].flat().join(".")),
    });
    expect(problems).toEqual([]);
    const [backend] = traiderManifest(stackOf("testing", config), "v1", { images }).services;
    expect(backend?.resources).toEqual({ cpu: "500m", memory: "512Mi" });
    expect(backend?.environment).toMatchObject({
      ENVIRONMENT: "testing",
      DATABASE_HOST: "testing-db.traider.example",
      DATABASE_NAME: "traider_test",
      LIVE_TRADING: "false",
      DEBUG_MODE: "false",
    });
  });

  it("wants words and a database of their own for the tests of testing, and has no such words elsewhere", () => {
    expect(problemsOf("testing", configOf())).toEqual([
      "integration.command: found nothing; allowed: the words of the integration tests",
      "database.name: found nothing; allowed: a database for these tests alone, and database.host where it is",
    ]);
    const stolen = { ...testing, database: { host: "elsewhere", name: "traider_prod" } };
    expect(problemsOf("testing", configOf(stolen))).toEqual([
      "database.name: found traider_prod, which is production's; allowed: a database for these tests alone, and database.host where it is",
    ]);
    expect(problemsOf("staging", configOf({ integration: testing.integration }))).toEqual([
      "integration: found words; allowed: none outside testing: the tests write",
    ]);
  });

  it("names every size and database that is not the environment's own", () => {
    const config = configOf({
      replicas: 2,
      resources: { cpu: "1000m", memory: "1Gi" },
      database: { host: "staging-db.traider.local", name: "traider_staging" },
    });
    expect(problemsOf("production", config)).toEqual([
      "replicas: found 2; allowed: 3 in production (TRD-1)",
      "resources.cpu: found 1000m; allowed: 2000m in production (TRD-1)",
      "resources.memory: found 1Gi; allowed: 2Gi in production (TRD-1)",
      "database.host: found staging-db.traider.local; allowed: prod-db.traider.com in production (TRD-1)",
      "database.name: found traider_staging; allowed: traider_prod in production (TRD-1)",
    ]);
  });
});

describe("TRAIDER's config", () => {
  it("refuses a tag in production, and takes one in staging", () => {
    const config = configOf({ releases: { v1: {} } });
    const allowed = "an image by its digest in production: sha256: and 64 hex digits; a tag can be moved";
    expect(problemsOf("production", config)).toEqual([
      `releases.v1.images.backend: found traider-backend:v1; allowed: ${allowed}`,
      `releases.v1.images.frontend: found traider-frontend:v1; allowed: ${allowed}`,
      `releases.v1.images.worker: found traider-backend:v1; allowed: ${allowed}`,
    ]);
    expect(problemsOf("staging", config)).toEqual([]);
    const schema = { provides: 2, needs: 1, change: "expand" };
    const migration = { repository: "traider-migration", backup: ["backup"] };
    expect(problemsOf("production", configOf({ migration, releases: { v1: { images, schema } } }))).toEqual([
      `releases.v1.images.migration: found traider-migration:v1; allowed: ${allowed}`,
    ]);
  });

  it("asks for a cluster, its secrets and the worker's command outside development", () => {
    const local = { cluster: "local", services: {}, source: { git: "x" }, vaultImage: undefined };
    const config = configOf(local, { databaseUrl: "" });
    expect(problemsOf("development", config)).toEqual([]);
    expect(problemsOf("staging", config)).toEqual([
      'cluster: found "local"; allowed: a cluster with context, namespace and bakerImage outside development',
      "jwtSecret: found nothing; allowed: the key that signs sessions",
      "dbPassword: found nothing; allowed: the database's password",
      "databaseUrl: found nothing; allowed: the connection URL of a role that may read the whole database, for its backups",
      "vaultImage: found nothing; allowed: the image that the database is backed up in",
    ]);
    expect(problemsOf("staging", configOf({ services: {} }))).toEqual([
      "services.worker.command: found nothing; allowed: the words that start the trading worker in the backend's image",
    ]);
  });

  it("takes no digest for the baker's image but a whole one, in production", () => {
    const config = configOf({ cluster: { ...cluster, bakerImage: "node:24" } });
    expect(problemsOf("production", config)).toEqual([
      "cluster.bakerImage: found node:24; allowed: an image by its digest in production: sha256: and 64 hex digits; a tag can be moved",
    ]);
    expect(problemsOf("production", configOf({ vaultImage: "vault:1" }))).toEqual([
      "vaultImage: found vault:1; allowed: an image by its digest in production: sha256: and 64 hex digits; a tag can be moved",
    ]);
  });

  it.each([
    [
      "postgresql://backup:pw-Kp20@staging-db.traider.local/traider_staging",
      "staging-db.traider.local:5432/traider_staging",
    ],
    [
      "postgresql://backup:pw-Kp20@prod-db.traider.com:6432/traider_prod",
      "prod-db.traider.com:6432/traider_prod",
    ],
    [
      "postgresql://backup:pw-Kp20@prod-db.traider.com/traider_prod?host=replica",
      "replica:5432/traider_prod",
    ],
    ["mysql://backup:pw-Kp20@prod-db.traider.com/traider_prod", "no URL of PostgreSQL"],
    ["prod-db.traider.com pw-Kp20", "no URL of PostgreSQL"],
  ])("backs up the environment's database and no other: %s", (databaseUrl, found) => {
    expect(problemsOf("production", configOf({}, { ...both, databaseUrl }))).toEqual([
      `databaseUrl: found ${found}; allowed: postgresql://user:password@prod-db.traider.com:5432/traider_prod`,
    ]);
    expect(problemsOf("development", configOf({}, { ...both, databaseUrl }))).toEqual([]);
  });
});

describe("a release of TRAIDER", () => {
  const stack = stackOf("production", configOf());

  it("runs images by digest, the worker from the backend's", () => {
    const { services } = traiderManifest(stack, "v1", { images });
    expect(services.map(({ image }) => image)).toEqual([
      `traider-backend@${digest("b")}`,
      `traider-frontend@${digest("f")}`,
      `traider-backend@${digest("b")}`,
    ]);
    expect(services[2]?.command).toEqual(["python", "-m", "traider.worker"]);
    const elsewhere = configOf({ services: { worker, backend: { repository: "registry.example/backend" } } });
    expect(traiderManifest(stackOf("production", elsewhere), "v1", { images }).services[2]?.image).toBe(
      `registry.example/backend@${digest("b")}`,
    );
  });

  it("is asked three ways whether it is well (TRD-3)", () => {
    const { services } = traiderManifest(stack, "v1", { images });
    expect(services.map(({ health }) => health)).toEqual(["/api/health", "/api/health", "/api/health"]);
    expect(services.map(({ checks }) => checks)).toEqual([
      [
        { path: "/api/health/detailed", expect: { "database.status": "healthy" } },
        { path: "/api/auth/csrf" },
      ],
      [
        { path: "/api/health/detailed", expect: { "database.status": "healthy" } },
        { path: "/api/auth/csrf" },
      ],
      [],
    ]);
  });

  it("is asked as a user asks it dozens of times a second, and never with what its database answers", () => {
    expect(traiderPolicy(stack).probes).toEqual(["/api/auth/csrf"]);
    const bare = configOf({
      health: { path: "/ok", checks: [{ path: "/db", expect: { "database.status": "healthy" } }] },
    });
    expect(traiderPolicy(stackOf("production", bare)).probes).toEqual(["/ok"]);
  });

  it("stays the same when only its backups' role has another password", () => {
    const { jwtSecret, dbPassword } = both;
    const rotated = configOf(
      {},
      { jwtSecret, dbPassword, databaseUrl: "postgresql://backup:new@db/traider" },
    );
    const before = traiderManifest(stack, "v1", { images });
    expect(traiderManifest(stackOf("production", rotated), "v1", { images })).toEqual(before);
  });

  it("is another release when a secret has another value, and holds none of them (TRD-10)", () => {
    const rotated = stackOf("production", configOf({}, { jwtSecret: "jwt", dbPassword: "other" }));
    const before = traiderManifest(stack, "v1", { images });
    const after = traiderManifest(rotated, "v1", { images });
    expect(after).not.toEqual(before);
    expect(JSON.stringify([before, after])).not.toMatch(/"other"|"pw"|"jwt"/);
  });

  it("migrates only where its entry says so, with the words of the config (TRD-5)", () => {
    const migration = { repository: "traider-backend", backup: ["backup"] };
    const config = stackOf("production", configOf({ migration }));
    const schema = { folder: "m", provides: 2, needs: 1, change: "expand" } as const;
    expect(traiderManifest(config, "v1", { images }).migration).toBeUndefined();
    expect(
      traiderManifest(config, "v1", { images: { ...images, migration: digest("a") }, schema }).migration,
    ).toMatchObject({
      image: `traider-backend@${digest("a")}`,
      backup: ["backup"],
      apply: ["alembic", "upgrade", "head"],
      verify: ["python", "-m", "pytest", "tests/migration/"],
      revert: ["alembic", "downgrade", "-1"],
    });
  });

  it("runs on the local machine with the same kinds and settings", () => {
    const config = configOf({
      cluster: "local",
      source: { git: "repo" },
      settings: { MODE: "everybody", "worker.MODE": "singleton" },
    });
    const { services } = traiderLocally(stackOf("development", config), "v1", {});
    expect(services.map(({ environment }) => environment.MODE)).toEqual([
      ...["everybody", "everybody", "singleton"],
    ]);
    expect(services.map(({ name, kind, door }) => [name, kind, door])).toEqual([
      ["backend", "serving", 8000],
      ["frontend", "serving", 3000],
      ["worker", "singleton", undefined],
    ]);
    expect(services[2]?.environment).toMatchObject({
      MODE: "singleton",
      LIVE_TRADING: "false",
      DEBUG_MODE: "true",
    });
  });
});
