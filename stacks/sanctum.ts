import type * as pulumi from "@pulumi/pulumi";
import type { ClusterManifest } from "../components/cluster/manifest.ts";
import type { ClusterLegPlan } from "../components/cluster/open-leg.ts";
import type { GateSpec } from "../components/gates/gate-spec.ts";
import { GatedLeg, type GateStep } from "../components/gates/gated-leg.ts";
import { sanctumTests } from "../components/gates/limits.ts";
import type { OutsideCheck } from "../components/gates/outside.ts";
import { bakeSight } from "../components/gates/policy.ts";
import { sanctumRules } from "../components/gates/tables.ts";
import type { EnvironmentName } from "../components/rollout/environment.ts";
import type { Leg, LegRelease } from "../components/rollout/leg.ts";
import type { ReleaseManifest } from "../components/rollout/manifest.ts";
import { resolveReleases } from "../components/rollout/releases.ts";
import { Rollout } from "../components/rollout/rollout.ts";
import { bakePolicy, boxPolicy } from "./config/bake.ts";
import { type ClusterConfig, clusterDoor, clusterPlace } from "./config/cluster.ts";
import type { ReleaseEntry } from "./config/fields.ts";
import type { StackConfig } from "./config/read.ts";
import { serviceSettings } from "./config/settings.ts";
import { sourceOf } from "./config/source.ts";
import {
  type SanctumConfig,
  type SanctumService,
  sanctumGates,
  sanctumImage,
  sanctumServices,
} from "./sanctum.config.ts";
import type { Site } from "./site.ts";

/** What the runbook reads of a stack's config. */
export type SanctumStack = Pick<StackConfig, "environment" | "fingerprintKey"> & {
  readonly sanctum: SanctumConfig;
};

/**
 * Sanctum (seeds: 001-sanctum): auth, directory and messaging, switched together. The order of an update: placed → load
 * at 1 KiB → load at 64 KiB (SAN-3) → soak (SAN-4) → cutover. Production runs none of them: it asks staging whether
 * these very images have passed them.
 */
export async function sanctum(site: Site, opts?: pulumi.ComponentResourceOptions) {
  const { newReceipt } = site;
  const stack: SanctumStack = site.stack;
  const config = stack.sanctum;
  const leg = new GatedLeg(await openLeg(site, stack), (release, served) => gatesOf(stack, release, served));
  const releases = resolveReleases("sanctum", config, [leg], newReceipt);
  new Rollout("sanctum", { legs: [leg], releases, newReceipt }, opts);
  const evidence = releases.map(({ name }) => leg.evidenceOf(name, imagesOf(config, name)));
  return {
    live: config.live ?? null,
    kept: config.kept,
    ...addressesOf(config),
    bake: bakeSight(sanctumPolicy(stack)),
    evidence,
  };
}

async function openLeg(site: Site, stack: SanctumStack): Promise<Leg<object>> {
  const { sanctum: config } = stack;
  const { cluster } = config;
  if (cluster === "local") {
    const policy = boxPolicy(stack.environment, sanctumPolicy(stack));
    const render = (name: string, entry: ReleaseEntry) => sanctumLocally(stack, name, entry);
    return site.boxLeg("local", { system: "sanctum", name: "cluster", render, policy, secrets: {} });
  }
  const { openClusterLeg } = await import("../components/cluster/open-leg.ts");
  return openClusterLeg((address) => site.observe(address), sanctumOnCluster(stack, cluster));
}

/** Sanctum's leg on a cluster, as the config has it. */
export function sanctumOnCluster(
  stack: SanctumStack,
  cluster: Exclude<ClusterConfig, "local">,
): ClusterLegPlan {
  const { replicas } = sizesOf(stack);
  const { services } = stack.sanctum;
  return {
    ...clusterPlace("sanctum", cluster),
    environment: stack.environment,
    render: (name, entry) => sanctumManifest(stack, name, entry),
    doors: sanctumServices.map((service) => clusterDoor(service, services[service])),
    policy: {
      ...sanctumPolicy(stack),
      replicas: Object.fromEntries(sanctumServices.map((name) => [name, replicas])),
    },
    secrets: {},
  };
}

export function sanctumManifest(stack: SanctumStack, name: string, entry: ReleaseEntry): ClusterManifest {
  const { environment, sanctum: config } = stack;
  const { resources } = sizesOf(stack);
  return {
    environment,
    system: "sanctum",
    release: name,
    version: entry.version ?? name,
    namespace: config.cluster === "local" ? "sanctum" : config.cluster.namespace,
    services: sanctumServices.map((service) => {
      const { command, port } = config.services[service];
      return {
        name: service,
        kind: "serving",
        image: sanctumImage(config, service, name, entry),
        ...(command === undefined ? {} : { command }),
        port: port ?? ports[service],
        environment: settingsOf(stack, service, entry),
        secrets: {},
        health: config.health,
        checks: [],
        metrics: "/metrics",
        resources,
        drainSeconds: 5,
        stopSeconds: 30,
      };
    }),
  };
}

/** On the local machine a release is a build of its source; the same services, paths and settings. */
export function sanctumLocally(stack: SanctumStack, name: string, entry: ReleaseEntry): ReleaseManifest {
  const { environment, sanctum: config } = stack;
  const version = entry.version ?? name;
  if (!config.source)
    throw new Error("sanctum:source is missing: where the local machine gets a version from");
  return {
    environment,
    system: "sanctum",
    release: name,
    version,
    source: sourceOf(config.source, version, entry),
    build: config.build ?? [],
    buildSeconds: 1800,
    services: sanctumServices.map((service) => {
      const { command = ["node", "dist/service.mjs"], port } = config.services[service];
      return {
        name: service,
        kind: "serving",
        command,
        environment: settingsOf(stack, service, entry),
        secrets: {},
        health: config.health,
        metrics: "/metrics",
        door: port ?? ports[service],
        drainSeconds: 5,
        stopSeconds: 20,
      };
    }),
    checks: {},
  };
}

const ports: Readonly<Record<SanctumService, number>> = { auth: 4001, directory: 4002, messaging: 4003 };

/** The gates of a release: run here, or the word of the environment where they were run. */
export function gatesOf(
  stack: SanctumStack,
  release: Pick<LegRelease, "name" | "fingerprint" | "colour">,
  served: boolean,
): GateStep[] {
  const { environment, sanctum: config } = stack;
  const { load, soak } = sanctumTests;
  const { targetRps, loadSeconds, soakSeconds, evidence } = sanctumGates(config, environment);
  const name = (gate: string) => `sanctum-${release.name}-${gate}`;
  if (evidence === "staging") {
    const required = [...load, soak].map((test) => test.name);
    const images = imagesOf(config, release.name);
    const asked = { stack: "staging", system: "sanctum", images, required, served };
    return [
      { name: "evidence", kind: "evidence", spec: { gate: "evidence", name: name("evidence"), ...asked } },
    ];
  }
  const origins = originsOf(config, release);
  const targets = sanctumServices.map((service) => ({
    url: `{${service}}${config.gates.paths?.[service] ?? "/"}`,
  }));
  const shared = { origins, targets, served };
  const steps = load.map((test): GateStep => {
    const measured = { ...test, name: name(test.name), rate: targetRps, seconds: loadSeconds };
    const spec: GateSpec = { gate: "load", ...shared, ...measured };
    return { name: test.name, kind: "load", spec };
  });
  const { cores } = sizesOf(stack);
  const spec: GateSpec = {
    gate: "soak",
    ...shared,
    ...soak,
    name: name(soak.name),
    rate: Math.round(targetRps / 2),
    seconds: soakSeconds,
    limits: { ...soak.limits, memoryGrowth: growthOf(environment) },
    services: sanctumServices.map((service) => ({ name: service, metrics: `{${service}}/metrics`, cores })),
  };
  return [...steps, { name: soak.name, kind: "soak", spec }];
}

/** A process that is seconds old has yet to fill its memory: what the document allows in 15 min is nothing to hold it to. */
function growthOf(environment: EnvironmentName): number {
  return environment === "development" ? 1 : sanctumTests.soak.limits.memoryGrowth;
}

/** Where each service of a release answers before it serves. */
function originsOf(
  config: SanctumConfig,
  { fingerprint, colour }: Pick<LegRelease, "fingerprint" | "colour">,
) {
  const originOf = (service: SanctumService) => {
    if (config.cluster === "local") return { box: "sanctum", fingerprint, service };
    const { origin } = config.gates;
    if (origin !== undefined) return origin.replaceAll("{service}", service).replaceAll("{colour}", colour);
    return `https://${config.services[service].hosts?.[colour] ?? service}`;
  };
  return Object.fromEntries(sanctumServices.map((service) => [service, originOf(service)]));
}

function imagesOf(config: SanctumConfig, name: string): Record<string, string> {
  const entry = config.releases[name] ?? {};
  return Object.fromEntries(
    sanctumServices.map((service) => [service, sanctumImage(config, service, name, entry)]),
  );
}

const smallest = { replicas: 1, resources: { cpu: "500m", memory: "512Mi" } } as const;
const sizes = {
  development: smallest,
  testing: smallest,
  staging: { replicas: 2, resources: { cpu: "1000m", memory: "1Gi" } },
  production: { replicas: 3, resources: { cpu: "1000m", memory: "1Gi" } },
} as const;

function sizesOf({ environment, sanctum: config }: SanctumStack) {
  const { replicas, resources } = sizes[environment];
  const given = config.resources ?? resources;
  // On the local machine nothing holds a process to a share of a core.
  const cores = config.cluster === "local" ? 1 : coresOf(given.cpu);
  return { replicas: config.replicas ?? replicas, resources: given, cores };
}

/** @example coresOf("500m") is 0.5 */
function coresOf(quantity: string): number {
  return quantity.endsWith("m") ? Number(quantity.slice(0, -1)) / 1000 : Number(quantity);
}

function settingsOf(
  { environment, sanctum: config }: SanctumStack,
  service: SanctumService,
  entry: ReleaseEntry,
) {
  const host = config.cluster === "local" ? "127.0.0.1" : "0.0.0.0";
  return { NODE_ENV: environment, HOST: host, ...serviceSettings(service, entry, config) };
}

function sanctumPolicy({ environment, sanctum: config }: SanctumStack) {
  const outside = sanctumServices.map((service): OutsideCheck => {
    return { kind: "answers", name: `health of ${service}`, url: `{${service}}${config.health}` };
  });
  return bakePolicy(environment, config, { rules: sanctumRules, probes: ["/"], outside });
}

function addressesOf({ cluster, services }: SanctumConfig) {
  const addressOf = (service: SanctumService) => {
    const { hosts, port } = services[service];
    if (cluster === "local") return `http://127.0.0.1:${port ?? ports[service]}`;
    return hosts ? `https://${hosts.live}` : `sanctum-${service}.${cluster.namespace}`;
  };
  return Object.fromEntries(sanctumServices.map((service) => [service, addressOf(service)]));
}
