import type { ClusterManifest } from "../components/cluster/manifest.ts";
import type { EdgeManifest } from "../components/edge/manifest.ts";
import { secretRevisions } from "../components/rollout/fingerprint.ts";
import type { ReleaseManifest, ServiceManifest, SmokeCheck } from "../components/rollout/manifest.ts";
import { edgeContentOf, edgeSha256 } from "./config/edge.ts";
import type { ReleaseEntry } from "./config/fields.ts";
import type { StackConfig } from "./config/read.ts";
import { serviceSettings } from "./config/settings.ts";
import { sourceOf } from "./config/source.ts";
import { frontendAsked, type PodConfig, podImages } from "./pod.config.ts";

/** What a release of POD renders to on each of its targets. */

/** What the runbook reads of a stack's config. */
export type PodStack = Pick<StackConfig, "environment" | "fingerprintKey"> & { readonly pod: PodConfig };

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
    environment: { NODE_ENV: environment, ...serviceSettings("api", entry, config) },
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
  return {
    NODE_ENV: environment,
    API_URL: apiOrigin(config),
    ...serviceSettings("mcp", entry, config),
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
    health: frontendAsked.health,
  };
}

export function secretValues({ secrets }: PodConfig): Record<string, string> {
  return {
    ...(secrets.databaseUrl === undefined ? {} : { DATABASE_URL: secrets.databaseUrl }),
    ...(secrets.jwtSecret === undefined ? {} : { JWT_SECRET: secrets.jwtSecret }),
  };
}

export function apiOrigin({ api, box }: PodConfig): string {
  return api.origin ?? `http://${box === "local" ? "127.0.0.1" : box.host}:${api.port}`;
}
