import type * as pulumi from "@pulumi/pulumi";
import type { Checklist } from "../components/box/toolkit/checklist.ts";
import type { Policy } from "../components/box/toolkit/records.ts";
import type { OutsideCheck } from "../components/gates/outside.ts";
import { bakeSight } from "../components/gates/policy.ts";
import { deiaRules } from "../components/gates/tables.ts";
import { secretRevisions } from "../components/rollout/fingerprint.ts";
import { backupsOf } from "../components/rollout/leg.ts";
import type {
  MaintenanceManifest,
  ReleaseManifest,
  ServiceManifest,
} from "../components/rollout/manifest.ts";
import { resolveReleases } from "../components/rollout/releases.ts";
import { Rollout } from "../components/rollout/rollout.ts";
import { bakePolicy, boxPolicy } from "./config/bake.ts";
import type { ReleaseEntry } from "./config/fields.ts";
import type { StackConfig } from "./config/read.ts";
import { serviceSettings } from "./config/settings.ts";
import { sourceOf } from "./config/source.ts";
import type { DeiaConfig } from "./deia.config.ts";
import type { Site } from "./site.ts";

/** What the runbook reads of a stack's config. */
export type DeiaStack = Pick<StackConfig, "environment" | "fingerprintKey"> & { readonly deia: DeiaConfig };

/**
 * DEIA's bot controller (seeds: 004-deia), one process that is never active twice. The order of an update: checklist of
 * 15 items → backup → migrate → place → maintenance flag → drain → old gone → new started → health, journal → flag off →
 * smoke test → traffic, verified from outside, watched by the decision matrix. Whatever fails, the old release is back and the flag is off.
 */
export async function deia(
  site: Pick<Site, "boxLeg" | "newReceipt"> & { readonly stack: DeiaStack },
  opts?: pulumi.ComponentResourceOptions,
) {
  const { stack, newReceipt } = site;
  const config = stack.deia;
  const box = await site.boxLeg(config.box, {
    system: "deia",
    render: (name, entry) => deiaManifest(stack, name, entry),
    policy: deiaPolicy(stack),
    secrets: secretValues(config),
    backedUp: config.secrets,
  });
  const legs = [box];
  const releases = resolveReleases("deia", config, legs, newReceipt);
  new Rollout("deia", { legs, releases, newReceipt }, opts);
  return {
    live: config.live ?? null,
    kept: config.kept,
    controller: urlOf(config),
    bake: bakeSight(deiaPolicy(stack)),
    ...backupsOf(legs),
  };
}

export function deiaManifest(stack: DeiaStack, name: string, entry: ReleaseEntry): ReleaseManifest {
  const { deia: config, environment } = stack;
  const version = entry.version ?? name;
  const { command, port } = config.controller;
  const controller: ServiceManifest = {
    name: "controller",
    kind: "singleton",
    command: command ?? ["node", "dist/server.js"],
    environment: settingsOf(stack, entry),
    secrets: secretRevisions(secretValues(stack.deia), stack.fingerprintKey),
    health: "/health",
    metrics: "/metrics",
    door: port,
    drainSeconds: 30,
    stopSeconds: 30,
  };
  return {
    environment,
    system: "deia",
    release: name,
    version,
    source: sourceOf(config.source, version, entry),
    build: config.build ?? ["npm install --production", "npm run build"],
    buildSeconds: 1800,
    services: [controller],
    ...(entry.schema && config.secrets.databaseUrl
      ? { schema: { ...entry.schema, url: "DATABASE_URL" } }
      : {}),
    checks: {
      ...(config.secrets.databaseUrl === undefined ? {} : { postgres: "DATABASE_URL" }),
      ...(config.secrets.redisUrl === undefined ? {} : { redis: "REDIS_URL" }),
    },
    maintenance: maintenanceOf(stack),
  };
}

/** The window (DEI-2) and what the new release shows in it (DEI-3). */
function maintenanceOf({ environment, deia: config }: DeiaStack): MaintenanceManifest {
  const { flag, drainBelow, drainSeconds, journalSeconds } = config.maintenance;
  return {
    flag: flag ?? (config.box === "local" ? "deia/MAINTENANCE_MODE" : "/var/lib/deia/MAINTENANCE_MODE"),
    drainBelow,
    drainSeconds,
    journalSeconds: journalSeconds ?? (environment === "development" ? 2 : 30),
    ...(config.secrets.databaseUrl === undefined ? {} : { database: databaseHealth }),
    smoke: { path: "/api/bot/launch", body: { bot_id: "TEST-BOT-SMOKE" } },
  };
}

function settingsOf({ environment, deia: config }: DeiaStack, entry: ReleaseEntry): Record<string, string> {
  const ollama = config.ollama === undefined ? {} : { OLLAMA_URL: config.ollama };
  return { NODE_ENV: environment, ...ollama, ...serviceSettings("controller", entry, config) };
}

function secretValues({ secrets }: DeiaConfig): Record<string, string> {
  const named = {
    DATABASE_URL: secrets.databaseUrl,
    JWT_SECRET: secrets.jwtSecret,
    REDIS_URL: secrets.redisUrl,
  };
  return Object.fromEntries(
    Object.entries(named).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  );
}

/** The decision matrix (DEI-6), judged while the release bakes, and the checklist that comes before everything. */
export function deiaPolicy(stack: DeiaStack): Policy {
  const { environment, deia: config } = stack;
  const probes = ["/"];
  const policy = bakePolicy(environment, config, { rules: deiaRules, probes, outside: outsideOf(config) });
  return { ...boxPolicy(environment, policy), checklist: checklistOf(stack) };
}

/** DEI-3, and the document's phase 4: once the flag is off and the door is open. */
function outsideOf({ secrets }: DeiaConfig): OutsideCheck[] {
  const door = "{controller}";
  const { path, belowMilliseconds } = databaseHealth;
  const database: OutsideCheck = {
    ...{ kind: "answers", name: "database", url: `${door}${path}` },
    ...{ below: belowMilliseconds / 1000, told: "milliseconds" },
  };
  return [
    { kind: "answers", name: "health", url: `${door}/health`, json: { status: "healthy" } },
    ...(secrets.databaseUrl === undefined ? [] : [database]),
    {
      ...{ kind: "rises", name: "requests are counted again", counter: "http_requests_total" },
      ...{ metrics: `${door}/metrics`, request: `${door}/` },
    },
  ];
}

const databaseHealth = { path: "/health/db", belowMilliseconds: 50 };

/** DEI-1. In development what is not there is not asked for, but every item has its row. */
function checklistOf({ environment, deia: config }: DeiaStack): Checklist {
  const { units, certificate, certificateDays, connectionsBelow, freeGigabytes, answerDays } =
    config.checklist;
  const development = environment === "development";
  const documented = {
    units: { postgres: "postgresql", ollama: "ollama", redis: "redis-server" },
    certificate: "/etc/ssl/certs/port8000.crt",
  };
  const file = certificate ?? (development ? undefined : documented.certificate);
  return {
    units: definedOnly(units ?? (development ? {} : documented.units)),
    ...(config.ollama === undefined ? {} : { ollama: config.ollama }),
    connectionsBelow: connectionsBelow ?? 10,
    freeGigabytes: freeGigabytes ?? (development ? 1 : 10),
    ...(file === undefined ? {} : { certificate: file }),
    certificateDays: certificateDays ?? 30,
    variables: ["JWT_SECRET", "DATABASE_URL", "OLLAMA_URL"],
    answers: Object.fromEntries(
      Object.entries(config.answers).map(([name, answers]) => [name, definedOnly(answers)]),
    ),
    answerDays,
  };
}

function definedOnly<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>;
  };
}

function urlOf({ box, controller }: DeiaConfig): string {
  return `http://${box === "local" ? "127.0.0.1" : box.host}:${controller.port}`;
}
