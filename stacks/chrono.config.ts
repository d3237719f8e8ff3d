import { z } from "zod";
import { chronoRules } from "../components/gates/tables.ts";
import { alerts, checkAlerts } from "./config/alerts.ts";
import { box, checkBox } from "./config/box.ts";
import { edge, edgeChecks, edgeContent } from "./config/edge.ts";
import { bake, pins, port, publicUrl, settings, source } from "./config/fields.ts";
import { checkPins } from "./config/pins.ts";
import type { SystemContext } from "./config/read.ts";
import { checkSettings } from "./config/settings.ts";

/** Keys of namespace `chrono` that are secrets. They are never part of the pins, and always today's (CHR-13). */
export const chronoSecrets = ["databaseUrl", "redisUrl", "databaseAdminUrl"] as const;

const service = z.strictObject({ command: z.array(z.string().min(1)).min(1).optional() });

/** What of the Workers is asked, below their front, by smoke test and bake. */
export const workersAsked = { health: "/health", probes: ["/"] } as const;

export const chronoSchema = z.strictObject({
  ...pins,
  box,
  source,
  build: z.array(z.string().min(1)).optional(),
  settings: settings.default({}),
  services: z
    .strictObject({
      api: service.extend({ port: port.default(8080) }).default({ port: 8080 }),
      dashboard: service.extend({ port: port.default(8081) }).default({ port: 8081 }),
      oracle: service.default({}),
    })
    .default({ api: { port: 8080 }, dashboard: { port: 8081 }, oracle: {} }),
  /** Its /health is asked, from the box, before a release is confirmed (CHR-7). */
  publicUrl: publicUrl.optional(),
  /** Workers (CHR-10): dev mode on this machine, previews in staging, routes in production. */
  edge: edge.optional(),
  workers: z.strictObject({ content: edgeContent, port: port.default(8082) }).optional(),
  /** What the environment promises of its database and of Redis; asked before a release is placed (CHR-9). */
  databaseReplicas: z.number({ error: "a number of replicas: 1" }).int().min(0).max(100).optional(),
  redisPersistence: z.boolean({ error: "true or false" }).optional(),
  bake: bake.default({}),
  alerts,
});

export type ChronoConfig = z.infer<typeof chronoSchema> & {
  readonly secrets: Partial<Record<(typeof chronoSecrets)[number], string>>;
};

/** Rules of the environment are rules of the config (design: environment rules). */
export function chronoChecks(config: ChronoConfig, context: SystemContext): void {
  const { environment, problem } = context;
  checkPins(config, problem);
  checkAlerts(config, chronoRules, config.edge === undefined ? ["box"] : ["box", "edge"], context);
  checkSettings(config, ["api", "dashboard", "oracle"], problem);
  checkWorkers(config, context);
  checkBox(config.box, context);
  checkDeclared(config, context);
  if (environment === "development") return;
  for (const name of ["databaseUrl", "redisUrl"] as const) {
    if (config.secrets[name]) continue;
    problem(name, "nothing", `the connection URL that ${environment} uses`, { secret: true });
  }
}

/** Production runs with replicas and with persistence, and says so (CHR-9); elsewhere that may be said, of what is there. */
function checkDeclared(config: ChronoConfig, { environment, problem }: SystemContext): void {
  const { databaseReplicas: replicas, redisPersistence: persistence, secrets } = config;
  if (environment === "production") {
    const found = (value: unknown) => (value === undefined ? "nothing" : `${value}`);
    if (!replicas) {
      const allowed = "how many replicas stream from production's database, 1 or more";
      problem("databaseReplicas", found(replicas), allowed, { value: "1" });
    }
    if (!persistence) {
      const allowed = 'true: production\'s Redis keeps its data, "appendonly yes"';
      problem("redisPersistence", found(persistence), allowed, { value: "true" });
    }
  }
  if (environment !== "development") return;
  // Elsewhere the URLs are needed anyway.
  if (replicas && !secrets.databaseUrl) {
    const allowed = "the connection URL of the database that chrono:databaseReplicas is about";
    problem("databaseUrl", "nothing", allowed, { secret: true });
  }
  if (persistence && !secrets.redisUrl) {
    const allowed = "the connection URL of the Redis that chrono:redisPersistence is about";
    problem("redisUrl", "nothing", allowed, { secret: true });
  }
}

function checkWorkers({ edge: where, workers }: ChronoConfig, context: SystemContext): void {
  const paths = [workersAsked.health, ...workersAsked.probes];
  if (where !== undefined) edgeChecks("chrono", where, { paths, filesOnly: false }, context);
  if ((where === undefined) === (workers === undefined)) return;
  const [missing, given] = where === undefined ? ["edge", "workers"] : ["workers", "edge"];
  context.problem(missing ?? "", "nothing", `a value, because chrono:${given} is there`);
}
