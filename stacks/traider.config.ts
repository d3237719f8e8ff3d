import { z } from "zod";
import { traiderRules } from "../components/gates/tables.ts";
import { type EnvironmentName, isDisposable } from "../components/rollout/environment.ts";
import { alerts, checkAlerts } from "./config/alerts.ts";
import {
  checkCluster,
  checkHosts,
  checkImage,
  clusterSystem,
  containerService,
  imageOf,
} from "./config/cluster.ts";
import { bake, pins, port, publicUrl, type ReleaseEntry } from "./config/fields.ts";
import { checkPins } from "./config/pins.ts";
import type { SystemContext } from "./config/read.ts";
import { checkSettings } from "./config/settings.ts";

/** Keys of namespace `traider` that are secrets. They are never part of the pins, and always today's (TRD-10). */
const serviceSecrets = ["jwtSecret", "dbPassword"] as const;
export const traiderSecrets = [...serviceSecrets, "databaseUrl"] as const;

const words = z.array(z.string().min(1)).min(1);
const check = z.strictObject({
  path: z.string().startsWith("/"),
  expect: z.record(z.string(), z.string()).optional(),
});

export const traiderSchema = z.strictObject({
  ...pins,
  ...clusterSystem,
  database: z
    .strictObject({ host: z.string().min(1), name: z.string().min(1), port: port.default(5432) })
    .optional(),
  features: z.strictObject({ liveTrading: z.boolean(), debugMode: z.boolean() }).optional(),
  services: z
    .strictObject({
      backend: containerService.default({}),
      frontend: containerService.default({}),
      worker: containerService.default({}),
    })
    .default({ backend: {}, frontend: {}, worker: {} }),
  /** Paths of TRD-3. */
  health: z.strictObject({ path: z.string().startsWith("/"), checks: z.array(check) }).default({
    path: "/api/health",
    checks: [
      { path: "/api/health/detailed", expect: { "database.status": "healthy" } },
      { path: "/api/auth/csrf" },
    ],
  }),
  /** Its health paths are asked, from the cluster, before a release is confirmed (TRD-3). */
  publicUrl: publicUrl.optional(),
  migration: z
    .strictObject({
      repository: z.string().min(1),
      backup: words,
      apply: words.default(["alembic", "upgrade", "head"]),
      verify: words.default(["python", "-m", "pytest", "tests/migration/"]),
      revert: words.default(["alembic", "downgrade", "-1"]),
      seconds: z.number().int().positive().max(86_400).default(1800),
    })
    .optional(),
  /** Command that looks at each image on the runner before anything is placed; `{image}` is the image (TRD-11). */
  verify: words.optional(),
  /** Image that the database is backed up in: Node 18 or later, restic, and pg_dump no older than the server (CHR-11). */
  vaultImage: z.string().min(1).optional(),
  /** Integration tests, run on the runner against what `switchyard integration` has deployed; in testing only (TRD-1). */
  integration: z
    .strictObject({ command: words, seconds: z.number().int().positive().max(86_400).default(1800) })
    .optional(),
  bake: bake.default({}),
  alerts,
});

export type TraiderConfig = z.infer<typeof traiderSchema> & {
  readonly secrets: Partial<Record<(typeof traiderSecrets)[number], string>>;
};

/** What an environment is, as the document has it (TRD-1). */
export interface TraiderEnvironment {
  readonly replicas: number;
  readonly resources: { readonly cpu: string; readonly memory: string };
  readonly database: { readonly host: string; readonly name: string; readonly port: number };
  readonly features: { readonly liveTrading: boolean; readonly debugMode: boolean };
}

export const traiderEnvironments: Readonly<Record<EnvironmentName, TraiderEnvironment>> = {
  development: {
    replicas: 1,
    resources: { cpu: "500m", memory: "512Mi" },
    database: { host: "localhost", name: "traider_dev", port: 5432 },
    features: { liveTrading: false, debugMode: true },
  },
  // The document names it and gives it no numbers: development's size, and a database that the config has to name.
  testing: {
    replicas: 1,
    resources: { cpu: "500m", memory: "512Mi" },
    database: { host: "", name: "", port: 5432 },
    features: { liveTrading: false, debugMode: false },
  },
  staging: {
    replicas: 2,
    resources: { cpu: "1000m", memory: "1Gi" },
    database: { host: "staging-db.traider.local", name: "traider_staging", port: 5432 },
    features: { liveTrading: false, debugMode: false },
  },
  production: {
    replicas: 3,
    resources: { cpu: "2000m", memory: "2Gi" },
    database: { host: "prod-db.traider.com", name: "traider_prod", port: 5432 },
    features: { liveTrading: true, debugMode: false },
  },
};

/** What the config says, and where it says nothing what the document says of the environment. */
export function traiderEnvironment(config: TraiderConfig, environment: EnvironmentName): TraiderEnvironment {
  const documented = traiderEnvironments[environment];
  return {
    replicas: config.replicas ?? documented.replicas,
    resources: config.resources ?? documented.resources,
    database: config.database ?? documented.database,
    features: config.features ?? documented.features,
  };
}

export const traiderServices = ["backend", "frontend", "worker"] as const;
export type TraiderService = (typeof traiderServices)[number];

/** Image of a service in a release; the worker is the backend's image with a command of its own. */
export function traiderImage(
  { services }: TraiderConfig,
  service: TraiderService,
  name: string,
  { images, version = name }: ReleaseEntry,
): string {
  const like = service === "worker" ? "backend" : service;
  const repository = services[service].repository ?? services[like].repository ?? `traider-${like}`;
  return imageOf(repository, images?.[service] ?? images?.[like], version);
}

/** Image of a release's migration; null where it brings none. */
export function traiderMigrationImage(
  { migration }: TraiderConfig,
  name: string,
  { schema, images, version = name }: ReleaseEntry,
): string | null {
  if (!migration || !schema || schema.change === "none") return null;
  return imageOf(migration.repository, images?.migration, version);
}

/** Live trading in production and nowhere else, debugging never there; sizes and databases as documented (TRD-1). */
export function traiderChecks(config: TraiderConfig, context: SystemContext): void {
  const { environment, problem } = context;
  checkPins(config, problem);
  checkAlerts(config, traiderRules, [config.cluster === "local" ? "box" : "cluster"], context);
  checkSettings(config, [...traiderServices, "migration"], problem);
  checkCluster(config.cluster, context);
  checkHosts(["services"], config.services, problem);
  checkEnvironment(config, context);
  checkIntegration(config, context);
  const names = config.live === undefined ? [] : [config.live, ...config.kept];
  if (config.cluster !== "local") {
    for (const name of names) {
      for (const service of traiderServices) {
        const image = traiderImage(config, service, name, config.releases[name] ?? {});
        checkImage(["releases", name, "images", service], image, environment, problem);
      }
      const migration = traiderMigrationImage(config, name, config.releases[name] ?? {});
      if (migration) checkImage(["releases", name, "images", "migration"], migration, environment, problem);
    }
    if (config.services.worker.command === undefined) {
      const allowed = "the words that start the trading worker in the backend's image";
      problem("services.worker.command", "nothing", allowed, { at: ["services", "worker", "command", 0] });
    }
  } else if (!config.source) {
    problem("source", "nothing", "where the local machine gets a version from: git or artifact");
  }
  if (environment === "development") return;
  for (const name of isDisposable(environment) ? serviceSecrets : traiderSecrets) {
    if (config.secrets[name]) continue;
    problem(name, "nothing", meaning[name], { secret: true });
  }
  if (!isDisposable(environment)) checkBackup(config, context);
}

const meaning = {
  jwtSecret: "the key that signs sessions",
  dbPassword: "the database's password",
  databaseUrl: "the connection URL of a role that may read the whole database, for its backups",
} as const;

/** A backup of another database would look like one of this. */
function checkBackup(config: TraiderConfig, { environment, problem }: SystemContext): void {
  const { vaultImage, secrets } = config;
  if (vaultImage === undefined) {
    problem("vaultImage", "nothing", "the image that the database is backed up in");
  } else {
    checkImage("vaultImage", vaultImage, environment, problem);
  }
  if (!secrets.databaseUrl) return;
  const { host, port: number, name } = traiderEnvironment(config, environment).database;
  const [found, allowed] = [serverOf(secrets.databaseUrl), `${host}:${number}/${name}`];
  if (found === allowed) return;
  const url = `postgresql://user:password@${allowed}`;
  problem("databaseUrl", found ?? "no URL of PostgreSQL", url, { secret: true });
}

/** What a connection URL may show of itself, @example "prod-db.traider.com:5432/traider_prod" */
function serverOf(url: string): string | null {
  if (!/^postgres(ql)?:/.test(url) || !URL.canParse(url)) return null;
  const { hostname, port: number, pathname, searchParams: stated } = new URL(url);
  // As libpq does: what the query says of the server goes before the rest.
  return `${stated.get("host") ?? hostname}:${stated.get("port") ?? (number || 5432)}${pathname}`;
}

/** Its tests write: the database of the testing environment is nobody else's. */
function checkIntegration(config: TraiderConfig, { environment, problem }: SystemContext): void {
  const { integration, database } = config;
  if (environment !== "testing") {
    if (integration) problem("integration", "words", "none outside testing: the tests write");
    return;
  }
  if (!integration) {
    const at = ["integration", "command", 0];
    problem("integration.command", "nothing", "the words of the integration tests", { at });
  }
  const others = Object.entries(traiderEnvironments).filter(([name]) => name !== environment);
  const taken = others.find(([, other]) => other.database.name === database?.name);
  if (database !== undefined && !taken) return;
  const found = taken ? `${database?.name}, which is ${taken[0]}'s` : "nothing";
  problem("database.name", found, "a database for these tests alone, and database.host where it is");
}

function checkEnvironment(config: TraiderConfig, { environment, problem }: SystemContext): void {
  const documented = traiderEnvironments[environment];
  const is = traiderEnvironment(config, environment);
  const compare = (key: string, found: string | number | boolean, allowed: string | number | boolean) => {
    if (found === allowed) return;
    problem(key, String(found), `${allowed} in ${environment} (TRD-1)`, { value: String(allowed) });
  };
  compare("replicas", is.replicas, documented.replicas);
  compare("resources.cpu", is.resources.cpu, documented.resources.cpu);
  compare("resources.memory", is.resources.memory, documented.resources.memory);
  if (environment !== "testing") {
    compare("database.host", is.database.host, documented.database.host);
    compare("database.name", is.database.name, documented.database.name);
  }
  compare("features.liveTrading", is.features.liveTrading, documented.features.liveTrading);
  compare("features.debugMode", is.features.debugMode, documented.features.debugMode);
}
