import * as pulumi from "@pulumi/pulumi";
import type { Policy } from "../components/box/toolkit/records.ts";
import type { ClusterManifest } from "../components/cluster/manifest.ts";
import type { ClusterLegPlan } from "../components/cluster/open-leg.ts";
import type { EdgeManifest } from "../components/edge/manifest.ts";
import { podRules } from "../components/gates/tables.ts";
import { PackageChecks, Packages, type PackagesRelease } from "../components/packages/packages.ts";
import { secretRevisions } from "../components/rollout/fingerprint.ts";
import { backupsOf, type Leg } from "../components/rollout/leg.ts";
import type { ReleaseManifest, ServiceManifest, SmokeCheck } from "../components/rollout/manifest.ts";
import { type Release, resolveReleases } from "../components/rollout/releases.ts";
import { Rollout } from "../components/rollout/rollout.ts";
import { bakePolicy } from "./config/bake.ts";
import type { ClusterConfig } from "./config/cluster.ts";
import { edgeContentOf, edgePlace, edgePolicy, edgeSha256 } from "./config/edge.ts";
import type { ReleaseEntry } from "./config/fields.ts";
import type { StackConfig } from "./config/read.ts";
import { sourceOf } from "./config/source.ts";
import { type PodConfig, podImages, publishes } from "./pod.config.ts";
import { afterwards, beforehand, evidenceOf } from "./pod.gates.ts";
import type { Site } from "./site.ts";

/** What the runbook reads of a stack's config. */
export type PodStack = Pick<StackConfig, "environment" | "fingerprintKey"> & { readonly pod: PodConfig };

/**
 * POD Protocol (seeds: 002-pod): the API by compose on the box, the MCP server on the cluster, the frontend on the edge.
 * The order of an update (POD-2, POD-3, POD-6): scans, staging's word, packages packed → backup → prisma migrate deploy →
 * API placed, smoke test → MCP placed → assets placed → cutover API, MCP, frontend; back in reverse → checks from outside
 * → packages published, which is irreversible and so comes last.
 */
export async function pod(site: Site, opts?: pulumi.ComponentResourceOptions) {
  const { newReceipt } = site;
  const stack: PodStack = site.stack;
  const { pod: config } = stack;
  const legs: Leg[] = [await apiLeg(site, stack), await mcpLeg(site, stack), await frontendLeg(site, stack)];
  const releases = resolveReleases("pod", config, legs, newReceipt);
  const checked = releases.flatMap((release) => [
    ...beforehand(stack, release),
    ...(stack.environment === "development"
      ? []
      : [new PackageChecks("pod", packagesOf(stack, release), opts)]),
  ]);
  const rollout = new Rollout("pod", { legs, releases, newReceipt }, { ...opts, dependsOn: checked });
  const evidence = releases.filter(hasServed(legs)).map((release) => {
    const verified = afterwards(stack, release, rollout.cutover);
    publish(stack, release, verified.passed);
    return evidenceOf(stack, release, verified);
  });
  return {
    live: config.live ?? null,
    kept: config.kept,
    ...addressesOf(stack),
    ...backupsOf(legs),
    evidence,
  };
}

/** The live release, and kept ones that were live before: what was done after their cutover stays done. */
function hasServed(legs: readonly Leg[]) {
  return ({ fingerprint }: Release, index: number) =>
    index === 0 || legs.every(({ observed }) => observed === null || observed.baked.includes(fingerprint));
}

function publish(stack: PodStack, release: Release, after: pulumi.Resource): void {
  const { environment, pod: config } = stack;
  const wanted = packagesOf(stack, release);
  if (wanted.packages.length === 0) return;
  if (publishes(config, environment)) {
    new Packages("pod", wanted, { dependsOn: [after] });
    return;
  }
  const names = wanted.packages.map(({ kind, name }) => `${name} (${kind})`).join(", ");
  if (!pulumi.runtime.isDryRun()) return;
  void pulumi.log.info(`${environment} publishes nothing; production publishes ${names} last, irreversibly`);
}

async function apiLeg(site: Site, stack: PodStack): Promise<Leg> {
  return site.boxLeg(stack.pod.box, {
    system: "pod",
    render: (name, entry) => apiManifest(stack, name, entry),
    policy: podPolicy(stack),
    secrets: secretValues(stack.pod),
    backedUp: stack.pod.secrets,
  });
}

async function mcpLeg(site: Site, stack: PodStack): Promise<Leg> {
  const { pod: config } = stack;
  if (config.cluster === "local") {
    const render = (name: string, entry: ReleaseEntry) => mcpLocally(stack, name, entry);
    return site.boxLeg("local", {
      ...{ system: "pod-cluster", name: "cluster", render, policy: podPolicy(stack), secrets: {} },
    });
  }
  const { openClusterLeg } = await import("../components/cluster/open-leg.ts");
  return openClusterLeg((address) => site.observe(address), mcpOnCluster(stack, config.cluster));
}

/** The MCP server's leg on a cluster, as the config has it. */
export function mcpOnCluster(
  stack: PodStack,
  { context, namespace, bakerImage, ingressClass }: Exclude<ClusterConfig, "local">,
): ClusterLegPlan {
  const { environment, pod: config } = stack;
  const { hosts } = config.mcp;
  const { tlsSecret, ...names } = hosts ?? {};
  return {
    system: "pod",
    environment,
    address: { kind: "cluster", system: "pod", namespace, ...(context === undefined ? {} : { context }) },
    render: (name, entry) => mcpManifest(stack, namespace, name, entry),
    doors: [
      {
        ...{ service: "mcp", port: 80 },
        ...(hosts ? { hosts: names as Omit<typeof hosts, "tlsSecret"> } : {}),
        ...(tlsSecret === undefined ? {} : { tlsSecret }),
      },
    ],
    policy: {
      ...podPolicy(stack),
      replicas: { mcp: config.replicas ?? (environment === "production" ? 2 : 1) },
    },
    secrets: {},
    bakerImage,
    ...(ingressClass === undefined ? {} : { ingressClass }),
  };
}

async function frontendLeg(site: Site, stack: PodStack): Promise<Leg> {
  const { environment, pod: config } = stack;
  return site.edgeLeg({
    system: "pod",
    place: edgePlace("pod", environment, config.edge, config.frontend.port),
    render: (name, entry) => frontendManifest(stack, name, entry),
    policy: edgePolicy(config.edge, podPolicy(stack)),
    secrets: {},
  });
}

/** POD-3: a compose project per release; on the developer's machine the service itself. */
export function apiManifest(stack: PodStack, name: string, entry: ReleaseEntry): ReleaseManifest {
  const { environment, pod: config } = stack;
  const version = entry.version ?? name;
  const { command, port, containerPort, memoryMebibytes } = config.api;
  const inContainer = config.box !== "local";
  const api: ServiceManifest = {
    name: "api",
    kind: "serving",
    command: command ?? (inContainer ? [] : ["node", "dist/service.mjs"]),
    environment: { NODE_ENV: environment, ...(entry.settings ?? config.settings) },
    secrets: secretRevisions(secretValues(stack.pod), stack.fingerprintKey),
    health: config.smoke.health,
    metrics: "/metrics",
    door: port,
    drainSeconds: 10,
    stopSeconds: 20,
    ...(inContainer
      ? {
          compose: {
            image: podImages(config, name, entry).api,
            port: containerPort,
            ...(memoryMebibytes === undefined ? {} : { memoryMebibytes }),
          },
        }
      : {}),
    smoke: smokeOf(config),
  };
  return {
    environment,
    system: "pod",
    release: name,
    version,
    source: inContainer ? { kind: "images" } : sourceOf(config.source, version, entry),
    build: inContainer ? [] : (config.build ?? []),
    buildSeconds: 1800,
    services: [api],
    ...(entry.schema && config.secrets.databaseUrl
      ? {
          schema: {
            ...entry.schema,
            url: "DATABASE_URL",
            ...(inContainer ? { tool: { service: "api", command: config.migration } } : {}),
          },
        }
      : {}),
    checks: config.secrets.databaseUrl === undefined ? {} : { postgres: "DATABASE_URL" },
  };
}

/** POD-7, of the API, before it serves. */
function smokeOf({ smoke }: PodConfig): SmokeCheck[] {
  const { health, database, api, authentication, rateLimit } = smoke;
  return [
    { name: "health", kind: "answers", path: health, status: 200 },
    ...(database ? [{ name: "database", kind: "answers", path: database, status: 200 } as const] : []),
    { name: "API", kind: "answers", path: api, status: 200 },
    ...(authentication
      ? [{ name: "authentication", kind: "answers", path: authentication, status: 401 } as const]
      : []),
    ...(rateLimit ? [{ name: "rate limiting", kind: "limits", ...rateLimit } as const] : []),
    { name: "logging", kind: "logs" },
  ];
}

/** POD-5: by digest, blue-green. */
export function mcpManifest(
  stack: PodStack,
  namespace: string,
  name: string,
  entry: ReleaseEntry,
): ClusterManifest {
  const { environment, pod: config } = stack;
  const { command, port = 3001 } = config.mcp;
  return {
    environment,
    system: "pod",
    release: name,
    version: entry.version ?? name,
    namespace,
    services: [
      {
        name: "mcp",
        kind: "serving",
        image: podImages(config, name, entry).mcp,
        ...(command === undefined ? {} : { command }),
        port,
        environment: mcpSettings(stack, entry),
        secrets: {},
        health: "/health",
        checks: [],
        metrics: "/metrics",
        resources: config.resources,
        drainSeconds: 5,
        stopSeconds: 30,
      },
    ],
  };
}

/** On the developer's machine the MCP server is a process too. */
export function mcpLocally(stack: PodStack, name: string, entry: ReleaseEntry): ReleaseManifest {
  const { environment, pod: config } = stack;
  const version = entry.version ?? name;
  const { command = ["node", "dist/service.mjs"], port = 8111 } = config.mcp;
  return {
    environment,
    system: "pod-cluster",
    release: name,
    version,
    source: sourceOf(config.source, version, entry),
    build: config.build ?? [],
    buildSeconds: 1800,
    services: [
      {
        name: "mcp",
        kind: "serving",
        command,
        environment: mcpSettings(stack, entry),
        secrets: {},
        health: "/health",
        metrics: "/metrics",
        door: port,
        drainSeconds: 5,
        stopSeconds: 20,
      },
    ],
    checks: {},
  };
}

function mcpSettings(stack: PodStack, entry: ReleaseEntry): Record<string, string> {
  const { environment, pod: config } = stack;
  const own = config.mcp.settings ?? {};
  return {
    NODE_ENV: environment,
    API_URL: apiOrigin(config),
    ...(entry.settings ?? config.settings),
    ...own,
  };
}

/** POD-4: built assets, versioned; going back is pointing at the older version. */
export function frontendManifest(stack: PodStack, name: string, entry: ReleaseEntry): EdgeManifest {
  const { environment, pod: config } = stack;
  const version = entry.version ?? name;
  return {
    environment,
    system: "pod",
    release: name,
    version,
    content: edgeContentOf(config.frontend.content, version, edgeSha256(entry)),
    main: null,
    assets: { folder: config.frontend.assets, notFound: "single-page-application" },
    compatibilityDate: "2026-07-01",
    compatibilityFlags: [],
    settings: {},
    secrets: {},
    migrationTag: null,
    health: "/",
  };
}

function packagesOf({ pod: config }: PodStack, release: Release): PackagesRelease {
  const entry = config.releases[release.name] ?? {};
  return {
    name: release.name,
    fingerprint: release.fingerprint,
    frozen: release.parts.every(({ frozen }) => frozen),
    packages: config.packages.map(({ kind, name, folder, build, registry }) => ({
      kind,
      name,
      folder,
      source: sourceOf(config.source, entry.version ?? release.name, entry),
      build: build ?? documentedBuild[kind].map((command) => `cd ${folder} && ${command}`),
      buildSeconds: 1800,
      ...(registry === undefined ? {} : { registry }),
    })),
  };
}

/** "CLI Package Deployment" and "SDK Deployment" of the document. */
const documentedBuild = {
  npm: ["bun install --frozen-lockfile", "bun run build", "bun run test:all"],
  cargo: ["cargo test"],
};

function secretValues({ secrets }: PodConfig): Record<string, string> {
  return {
    ...(secrets.databaseUrl === undefined ? {} : { DATABASE_URL: secrets.databaseUrl }),
    ...(secrets.jwtSecret === undefined ? {} : { JWT_SECRET: secrets.jwtSecret }),
  };
}

/** POD-8, judged while a release bakes. */
function podPolicy({ environment, pod: config }: PodStack): Policy {
  return bakePolicy(environment, config.bake, { rules: podRules, probes: ["/"] });
}

export function apiOrigin({ api, box }: PodConfig): string {
  return api.origin ?? `http://${box === "local" ? "127.0.0.1" : box.host}:${api.port}`;
}

function addressesOf({ environment, pod: config }: PodStack) {
  const { mcp, cluster, edge, frontend } = config;
  const inside =
    cluster === "local" ? `http://127.0.0.1:${mcp.port ?? 8111}` : `pod-mcp.${cluster.namespace}`;
  return {
    api: apiOrigin(config),
    mcp: mcp.hosts && cluster !== "local" ? `https://${mcp.hosts.live}` : inside,
    frontend: edgePlace("pod", environment, edge, frontend.port).front,
  };
}
