import type * as pulumi from "@pulumi/pulumi";
import type { z } from "zod";
import type { DeclaredConnections } from "../components/box/toolkit/connections.ts";
import type { Policy } from "../components/box/toolkit/records.ts";
import type { EdgeManifest } from "../components/edge/manifest.ts";
import type { OutsideCheck } from "../components/gates/outside.ts";
import { bakeSight } from "../components/gates/policy.ts";
import { chronoRules } from "../components/gates/tables.ts";
import { secretRevisions } from "../components/rollout/fingerprint.ts";
import { backupsOf, type Leg } from "../components/rollout/leg.ts";
import type { ReleaseManifest, ServiceManifest } from "../components/rollout/manifest.ts";
import { resolveReleases } from "../components/rollout/releases.ts";
import { Rollout } from "../components/rollout/rollout.ts";
import { type ChronoConfig, workersAsked } from "./chrono.config.ts";
import { bakePolicy, boxPolicy } from "./config/bake.ts";
import {
  addressOf,
  type edgeContent,
  edgeContentOf,
  edgePlace,
  edgePolicy,
  edgeSha256,
} from "./config/edge.ts";
import type { ReleaseEntry } from "./config/fields.ts";
import type { StackConfig } from "./config/read.ts";
import { serviceSettings } from "./config/settings.ts";
import { sourceOf } from "./config/source.ts";
import type { Site } from "./site.ts";

/**
 * Project Chrono (seeds: 000-chrono): api and dashboard behind the front door, the oracle never twice. The order of an
 * update (CHR-5): backup → fetch the tag → build → zero-downtime cutover → health from outside → watch for errors.
 */
export async function chrono(site: Site, opts?: pulumi.ComponentResourceOptions) {
  const { stack, newReceipt } = site;
  const config = stack.chrono;
  const box = site.boxLeg(config.box, {
    system: "chrono",
    render: (name, entry) => chronoManifest(stack, name, entry),
    policy: chronoPolicy(stack),
    secrets: secretValues(config),
    backedUp: config.secrets,
  });
  const [api, workers] = await Promise.all([box, workersLeg(site)]);
  const legs = [api, ...workers];
  const releases = resolveReleases("chrono", config, legs, newReceipt);
  new Rollout("chrono", { legs, releases, newReceipt }, opts);
  return {
    live: config.live ?? null,
    kept: config.kept,
    api: urlOf(config, "api"),
    dashboard: urlOf(config, "dashboard"),
    ...addressOfWorkers(stack),
    bake: bakeSight(chronoPolicy(stack)),
    ...backupsOf(legs),
  };
}

/** The Workers stand before the API, so they change after it and go back before it (CHR-10). */
async function workersLeg(site: Site): Promise<Leg[]> {
  const { stack } = site;
  const { chrono: config, environment } = stack;
  const place = workersPlace(stack);
  const { workers } = config;
  if (place === null || !workers) return [];
  const policy = { rules: chronoRules, probes: workersAsked.probes };
  return [
    await site.edgeLeg({
      system: "chrono",
      place,
      render: (name, entry) => workersManifest(stack, workers.content, name, entry),
      policy: edgePolicy(config.edge ?? "local", bakePolicy(environment, config, policy)),
      secrets: {},
    }),
  ];
}

function addressOfWorkers(stack: StackConfig): { workers?: string } {
  const place = workersPlace(stack);
  return place === null ? {} : { workers: addressOf(place) };
}

const workersPlace = ({ environment, chrono: { edge, workers } }: StackConfig) =>
  edge === undefined ? null : edgePlace("chrono", environment, edge, workers?.port ?? 8082);

export function workersManifest(
  { environment, chrono: config }: Pick<StackConfig, "environment" | "chrono">,
  content: z.infer<typeof edgeContent>,
  name: string,
  entry: ReleaseEntry,
): EdgeManifest {
  const version = entry.version ?? name;
  return {
    environment,
    system: "chrono",
    release: name,
    version,
    content: edgeContentOf(content, version, edgeSha256(entry)),
    main: "worker.js",
    assets: null,
    compatibilityDate: "2026-07-01",
    compatibilityFlags: [],
    settings: { ENVIRONMENT: environment, API_URL: urlOf(config, "api") },
    secrets: {},
    migrationTag: null,
    health: workersAsked.health,
  };
}

export function chronoManifest(stack: StackConfig, name: string, entry: ReleaseEntry): ReleaseManifest {
  const { chrono: config, environment } = stack;
  const version = entry.version ?? name;
  const { api, dashboard, oracle } = config.services;
  const secrets = secretRevisions(secretValues(stack.chrono), stack.fingerprintKey);
  const documented = (name: string) => ({
    name,
    // The `.env` of the environment (CHR-13).
    environment: { NODE_ENV: environment, ...serviceSettings(name, entry, config) },
    secrets,
    health: "/health",
    metrics: "/metrics",
    ...times,
  });
  const services: ServiceManifest[] = [
    {
      ...documented("api"),
      kind: "serving",
      command: api.command ?? ["bun", "src/api/typescript/dist/index.js"],
      door: api.port,
    },
    {
      ...documented("dashboard"),
      kind: "serving",
      command: dashboard.command ?? ["bun", "apps/dashboard/dist/server.js"],
      door: dashboard.port,
    },
    {
      ...documented("oracle"),
      kind: "singleton",
      command: oracle.command ?? ["src/oracle/rust/target/release/oracle"],
    },
  ];
  return {
    environment,
    system: "chrono",
    release: name,
    version,
    source: sourceOf(config.source, version, entry),
    build: config.build ?? documentedBuild,
    buildSeconds: 1800,
    services,
    ...(entry.schema && config.secrets.databaseUrl
      ? { schema: { ...entry.schema, url: "DATABASE_URL" } }
      : {}),
    checks: {
      ...(config.secrets.databaseUrl === undefined ? {} : { postgres: "DATABASE_URL" }),
      ...(config.secrets.redisUrl === undefined ? {} : { redis: "REDIS_URL" }),
    },
  };
}

/** "Build for Production" of the document. */
const documentedBuild = [
  "cd src/oracle/rust && cargo build --release",
  "cd src/api/typescript && bun install --frozen-lockfile && bun run build",
  "cd apps/dashboard && bun install --frozen-lockfile && bun run build",
];

const times = { drainSeconds: 10, stopSeconds: 20 };

function secretValues({ secrets }: ChronoConfig): Record<string, string> {
  return {
    ...(secrets.databaseUrl === undefined ? {} : { DATABASE_URL: secrets.databaseUrl }),
    ...(secrets.redisUrl === undefined ? {} : { REDIS_URL: secrets.redisUrl }),
  };
}

/** CHR-14, judged while the release bakes; and CHR-9, asked before it is placed. */
export function chronoPolicy({ environment, chrono: config }: StackConfig): Policy {
  // Asked dozens of times a second: /health/detailed would open as many connections to the database.
  const watched = { rules: chronoRules, probes: ["/"], outside: outsideOf(config) };
  const policy = boxPolicy(environment, bakePolicy(environment, config, watched));
  const connections = declaredConnections(config);
  return Object.keys(connections).length === 0 ? policy : { ...policy, connections };
}

/** CHR-7, once traffic has moved: health at each front door, and where the public reaches the system. */
function outsideOf({ publicUrl }: ChronoConfig): OutsideCheck[] {
  const kind = "answers";
  return [
    { kind, name: "health of the API", url: "{api}/health" },
    { kind, name: "health of the dashboard", url: "{dashboard}/health" },
    ...(publicUrl === undefined
      ? []
      : [{ kind, name: "public health", url: `${publicUrl}/health` } as const]),
  ];
}

/** What the environment is declared to have. Changing this creates no new release. */
function declaredConnections(config: ChronoConfig): DeclaredConnections {
  const { databaseReplicas: replicas, redisPersistence: persistence } = config;
  return {
    ...(replicas === undefined ? {} : { replicas: { declared: replicas, key: "chrono:databaseReplicas" } }),
    ...(persistence === undefined
      ? {}
      : { persistence: { declared: persistence, key: "chrono:redisPersistence" } }),
  };
}

function urlOf({ box, services }: ChronoConfig, service: "api" | "dashboard"): string {
  return `http://${box === "local" ? "127.0.0.1" : box.host}:${services[service].port}`;
}
