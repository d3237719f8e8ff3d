import type * as pulumi from "@pulumi/pulumi";
import type { ClusterManifest, ClusterService } from "../components/cluster/manifest.ts";
import type { ClusterLegPlan } from "../components/cluster/open-leg.ts";
import type { OutsideCheck } from "../components/gates/outside.ts";
import { bakeSight } from "../components/gates/policy.ts";
import { traiderRules } from "../components/gates/tables.ts";
import { secretRevisions } from "../components/rollout/fingerprint.ts";
import { backupsOf, type Leg } from "../components/rollout/leg.ts";
import type { ReleaseManifest, ServiceManifest } from "../components/rollout/manifest.ts";
import { resolveReleases } from "../components/rollout/releases.ts";
import { Rollout } from "../components/rollout/rollout.ts";
import { bakePolicy, boxPolicy } from "./config/bake.ts";
import { type ClusterConfig, clusterDoor, clusterPlace } from "./config/cluster.ts";
import type { ReleaseEntry } from "./config/fields.ts";
import type { StackConfig } from "./config/read.ts";
import { serviceSettings } from "./config/settings.ts";
import { sourceOf } from "./config/source.ts";
import type { Site } from "./site.ts";
import {
  type TraiderConfig,
  type TraiderService,
  traiderEnvironment,
  traiderImage,
  traiderMigrationImage,
  traiderServices,
} from "./traider.config.ts";

/** What the runbook reads of a stack's config. */
export type TraiderStack = Pick<StackConfig, "environment" | "fingerprintKey"> & {
  readonly traider: TraiderConfig;
};

/**
 * TRAIDER V1 (seeds: 003-traider): backend and frontend switched together, the trading worker never twice. The order of
 * an update (TRD-2, TRD-5): images verified → backup → migrate → other colour deployed → health on that colour → both
 * Services switched → verified → old colour removed.
 */
export async function traider(site: Site, opts?: pulumi.ComponentResourceOptions) {
  const { stack, newReceipt } = site;
  const config = stack.traider;
  const leg = config.cluster === "local" ? await localLeg(site) : await clusterLeg(site, config.cluster);
  const releases = resolveReleases("traider", config, [leg], newReceipt);
  new Rollout("traider", { legs: [leg], releases, newReceipt }, opts);
  return {
    live: config.live ?? null,
    kept: config.kept,
    ...addressesOf(config),
    bake: bakeSight(traiderPolicy(stack)),
    ...backupsOf([leg]),
  };
}

async function clusterLeg(site: Site, cluster: Exclude<ClusterConfig, "local">): Promise<Leg> {
  const { vaultImage: image, secrets } = site.stack.traider;
  const [{ openClusterLeg }, vault] = await Promise.all([
    import("../components/cluster/open-leg.ts"),
    site.clusterVault({ system: "traider", image, secrets }),
  ]);
  const plan = { ...traiderOnCluster(site.stack, cluster), ...(vault === null ? {} : { beside: vault }) };
  return openClusterLeg((address) => site.observe(address), plan);
}

/** TRAIDER's leg on a cluster, as the config has it. */
export function traiderOnCluster(
  stack: TraiderStack,
  cluster: Exclude<ClusterConfig, "local">,
): ClusterLegPlan {
  const config = stack.traider;
  const { backend, frontend } = config.services;
  return {
    ...clusterPlace("traider", cluster),
    environment: stack.environment,
    render: (name, entry) => traiderManifest(stack, name, entry),
    doors: [clusterDoor("backend", backend), clusterDoor("frontend", frontend)],
    policy: { ...traiderPolicy(stack), replicas: replicasOf(stack) },
    secrets: secretValues(config),
    ...(config.verify === undefined ? {} : { verify: config.verify }),
  };
}

/** In development the same services run on this machine; what the cluster would be given is written to a folder. */
async function localLeg(site: Site): Promise<Leg> {
  const { stack } = site;
  return site.boxLeg("local", {
    system: "traider",
    name: "cluster",
    render: (name, entry) => traiderLocally(stack, name, entry),
    policy: boxPolicy(stack.environment, traiderPolicy(stack)),
    secrets: secretValues(stack.traider),
  });
}

export function traiderManifest(stack: TraiderStack, name: string, entry: ReleaseEntry): ClusterManifest {
  const { environment, traider: config } = stack;
  const { migration, cluster } = config;
  const version = entry.version ?? name;
  const image = traiderMigrationImage(config, name, entry);
  return {
    environment,
    system: "traider",
    release: name,
    version,
    namespace: cluster === "local" ? "traider" : cluster.namespace,
    services: traiderServices.map((service) => containerOf(stack, service, name, entry)),
    ...(migration && image !== null
      ? {
          migration: {
            image,
            backup: migration.backup,
            apply: migration.apply,
            verify: migration.verify,
            revert: migration.revert,
            seconds: migration.seconds,
            environment: settingsOf(stack, "migration", entry),
            secrets: secretRevisions(secretValues(stack.traider), stack.fingerprintKey),
          },
        }
      : {}),
  };
}

function containerOf(
  stack: TraiderStack,
  service: TraiderService,
  name: string,
  entry: ReleaseEntry,
): ClusterService {
  const { environment, traider: config } = stack;
  const { command, port } = config.services[service];
  const { resources } = traiderEnvironment(config, environment);
  const singleton = service === "worker";
  return {
    name: service,
    kind: singleton ? "singleton" : "serving",
    image: traiderImage(config, service, name, entry),
    ...(command === undefined ? {} : { command }),
    port: port ?? ports[service],
    environment: settingsOf(stack, service, entry),
    secrets: secretRevisions(secretValues(stack.traider), stack.fingerprintKey),
    health: config.health.path,
    checks: singleton
      ? []
      : config.health.checks.map(({ path, expect }) => ({ path, ...(expect ? { expect } : {}) })),
    metrics: "/metrics",
    resources,
    drainSeconds: singleton ? 0 : 5,
    stopSeconds: 30,
  };
}

const ports: Readonly<Record<TraiderService, number>> = { backend: 8000, frontend: 3000, worker: 8001 };

function replicasOf({ environment, traider: config }: TraiderStack): Record<string, number> {
  const { replicas } = traiderEnvironment(config, environment);
  return { backend: replicas, frontend: replicas };
}

/** On the local machine a release is a build of its source; the same kinds, paths and settings. */
export function traiderLocally(stack: TraiderStack, name: string, entry: ReleaseEntry): ReleaseManifest {
  const { environment, traider: config } = stack;
  const version = entry.version ?? name;
  if (!config.source)
    throw new Error("traider:source is missing: where the local machine gets a version from");
  const services = traiderServices.map((service): ServiceManifest => {
    const { command = ["node", "dist/service.mjs"], port } = config.services[service];
    const shared = {
      name: service,
      command,
      environment: settingsOf(stack, service, entry),
      secrets: secretRevisions(secretValues(stack.traider), stack.fingerprintKey),
      health: config.health.path,
      metrics: "/metrics",
      drainSeconds: 5,
      stopSeconds: 20,
    };
    if (service === "worker") return { ...shared, kind: "singleton" };
    return { ...shared, kind: "serving", door: port ?? ports[service] };
  });
  return {
    environment,
    system: "traider",
    release: name,
    version,
    source: sourceOf(config.source, version, entry),
    build: config.build ?? [],
    buildSeconds: 1800,
    services,
    checks: {},
  };
}

/** The environment as the document has it, then the release's frozen settings. */
function settingsOf(
  { environment, traider: config }: TraiderStack,
  service: TraiderService | "migration",
  entry: ReleaseEntry,
): Record<string, string> {
  const { database, features } = traiderEnvironment(config, environment);
  return {
    ENVIRONMENT: environment,
    HOST: config.cluster === "local" ? "127.0.0.1" : "0.0.0.0",
    LIVE_TRADING: String(features.liveTrading),
    DEBUG_MODE: String(features.debugMode),
    DATABASE_HOST: database.host,
    DATABASE_PORT: String(database.port),
    DATABASE_NAME: database.name,
    ...serviceSettings(service, entry, config),
  };
}

/** Another value is another revision, so another release beside the old one, and no request is lost (TRD-10). */
function secretValues({ secrets }: TraiderConfig): Record<string, string> {
  return {
    ...(secrets.jwtSecret === undefined ? {} : { JWT_SECRET: secrets.jwtSecret }),
    ...(secrets.dbPassword === undefined ? {} : { DATABASE_PASSWORD: secrets.dbPassword }),
  };
}

/** TRD-6, judged while the release bakes; the document verifies for 30 s (TRD-2), production for the longest window. */
export function traiderPolicy({ environment, traider: config }: TraiderStack) {
  // Asked dozens of times a second: a check that expects a field asks what the service rests on, its database.
  const light = config.health.checks.filter(({ expect }) => expect === undefined);
  return bakePolicy(environment, config, {
    rules: traiderRules,
    probes: (light.length > 0 ? light : [config.health]).map(({ path }) => path),
    outside: outsideOf(config),
  });
}

/** TRD-3, once both Services are switched: what is live, the colour, and where the public reaches the backend. */
function outsideOf({ health, cluster, publicUrl }: TraiderConfig): OutsideCheck[] {
  const paths: TraiderConfig["health"]["checks"] = [{ path: health.path }, ...health.checks];
  const asked = (where: string, origin: string) =>
    paths.map(
      ({ path, expect }): OutsideCheck => ({
        ...{ kind: "answers", name: `${path} of ${where}`, url: `${origin}${path}` },
        ...(expect ? { json: expect } : {}),
      }),
    );
  return [
    ...["backend", "frontend"].flatMap((service) => [
      ...asked(`the live ${service}`, `{${service}}`),
      ...(cluster === "local" ? [] : asked(`the ${service}'s colour`, `{${service}-colour}`)),
    ]),
    ...(publicUrl === undefined ? [] : asked("the public address", publicUrl)),
  ];
}

function addressesOf({ cluster, services }: TraiderConfig) {
  const addressOf = (service: "backend" | "frontend") => {
    const { hosts, port } = services[service];
    if (cluster === "local") return `http://127.0.0.1:${port ?? ports[service]}`;
    return hosts ? `https://${hosts.live}` : `traider-${service}.${cluster.namespace}`;
  };
  return { backend: addressOf("backend"), frontend: addressOf("frontend") };
}
