import { z } from "zod";
import { releaseAsset } from "../components/edge/manifest.ts";
import { podRules } from "../components/gates/tables.ts";
import type { EnvironmentName } from "../components/rollout/environment.ts";
import { alerts, checkAlerts } from "./config/alerts.ts";
import { box, checkBox } from "./config/box.ts";
import {
  checkCluster,
  checkHosts,
  checkImage,
  cluster,
  containerService,
  imageOf,
  resources,
} from "./config/cluster.ts";
import { edge, edgeChecks, edgeContent } from "./config/edge.ts";
import { bake, pins, port, type ReleaseEntry, settings, source } from "./config/fields.ts";
import { checkPins } from "./config/pins.ts";
import type { SystemContext } from "./config/read.ts";
import { checkSettings } from "./config/settings.ts";

/** Keys of namespace `pod` that are secrets. They are never part of the pins, and always today's. */
export const podSecrets = ["databaseUrl", "jwtSecret", "databaseAdminUrl"] as const;

const path = z.string().startsWith("/");
const words = z.array(z.string().min(1)).min(1);

/** A library that is published with a release (POD-6); its version stands in its own tree. */
const publication = z.strictObject({
  kind: z.enum(["npm", "cargo"]),
  name: z.string().min(1),
  folder: z.string().min(1),
  build: z.array(z.string().min(1)).optional(),
  /** npm: the registry's URL; cargo: its sparse index. Absent: the client's own, and crates.io. */
  registry: z.url().optional(),
});

/** Programs on the runner that look at images and dependencies before production; `{subject}` is what is looked at. */
const scan = z.strictObject({
  name: z.string().min(1),
  command: words,
  /** images: each image of the release, one run each; none: one run. */
  subjects: z.enum(["images", "none"]).default("images"),
});

/** What of the frontend is asked by smoke test and bake. */
export const frontendAsked = { health: "/", probes: ["/"] } as const;

export const podSchema = z.strictObject({
  ...pins,
  box,
  cluster,
  edge,
  /** Where packages, and in development the services, are built from. */
  source,
  build: z.array(z.string().min(1)).optional(),
  settings: settings.default({}),
  api: z
    .strictObject({
      repository: z.string().min(1).optional(),
      command: words.optional(),
      /** Public port of the box's front door. */
      port: port.default(8110),
      /** Port inside its container. */
      containerPort: port.default(3000),
      memoryMebibytes: z.number().int().min(64).optional(),
      /** Where people reach it; absent: the box's own door. */
      origin: z
        .string()
        .regex(/^https?:\/\/[^/]+$/, "an origin such as https://api.pod-protocol.com")
        .optional(),
    })
    .default({ port: 8110, containerPort: 3000 }),
  migration: words.default(["npx", "prisma", "migrate", "deploy"]),
  mcp: containerService.default({}),
  replicas: z.number().int().min(1).max(100).optional(),
  resources: resources.default({ cpu: "500m", memory: "512Mi" }),
  frontend: z.strictObject({
    content: edgeContent,
    /** Folder of the built files inside the content. */
    assets: z.string().min(1).default("dist"),
    /** Paths that have to be reachable. */
    routes: z.array(path).default(["/"]),
    /** Front door in development. */
    port: port.default(8112),
  }),
  /** What the API is asked before it serves, and after the update once more (POD-7). */
  smoke: z
    .strictObject({
      health: path.default("/health"),
      database: path.optional(),
      api: path.default("/api"),
      /** Answers 401 without a token. */
      authentication: path.optional(),
      /** Answers 429 to one of so many requests. */
      rateLimit: z.strictObject({ path, requests: z.number().int().min(2).max(1000) }).optional(),
    })
    .default({ health: "/health", api: "/api" }),
  scans: z.array(scan).default([]),
  packages: z.array(publication).default([]),
  /** @default true in production, false elsewhere */
  publish: z.boolean().optional(),
  bake: bake.default({}),
  alerts,
});

export type PodConfig = z.infer<typeof podSchema> & {
  readonly secrets: Partial<Record<(typeof podSecrets)[number], string>>;
};

export function podImages(
  config: PodConfig,
  name: string,
  entry: ReleaseEntry,
): { api: string; mcp: string } {
  const version = entry.version ?? name;
  const image = (service: "api" | "mcp") =>
    imageOf(config[service].repository ?? `pod-${service}`, entry.images?.[service], version);
  return { api: image("api"), mcp: image("mcp") };
}

/** A publication cannot be taken back: in production only, unless staging has a registry of its own. */
export function publishes(config: PodConfig, environment: EnvironmentName): boolean {
  return environment !== "development" && (config.publish ?? environment === "production");
}

/** Rules of the environment (POD-2, POD-7, POD-11). */
export function podChecks(config: PodConfig, context: SystemContext): void {
  const { environment, problem } = context;
  checkPins(config, problem);
  checkAlerts(config, podRules, ["box", "cluster", "edge"], context);
  checkSettings(config, ["api", "mcp"], problem);
  checkCluster(config.cluster, context);
  checkHosts([], { mcp: config.mcp }, problem);
  const { health, probes } = frontendAsked;
  // The release is known by its asset, and the update's last gate asks each of the frontend's routes.
  const paths = [health, ...probes, releaseAsset, ...config.frontend.routes];
  edgeChecks("pod", config.edge, { paths, filesOnly: true }, context);
  if (environment === "development") {
    if (config.publish)
      problem("publish", "true", "false in development: a publication cannot be taken back");
    return;
  }
  checkBox(config.box, context);
  if (!config.secrets.databaseUrl) {
    problem("databaseUrl", "nothing", `the connection URL that ${environment} uses`, { secret: true });
  }
  checkSmoke(config, environment, problem);
  const names = config.live === undefined ? [] : [config.live, ...config.kept];
  for (const name of names) {
    // What was proved in staging is known again by its digest, so staging has digests too.
    for (const [service, image] of Object.entries(podImages(config, name, config.releases[name] ?? {})))
      checkImage(["releases", name, "images", service], image, "production", problem);
  }
  if (environment === "staging") {
    for (const [index, { name, registry }] of config.packages.entries()) {
      if (!config.publish || registry !== undefined) continue;
      const allowed = `a registry of staging's own for ${name}: what is published there cannot be taken back`;
      problem(["packages", index, "registry"], "nothing", allowed);
    }
    return;
  }
  if (config.scans.length === 0) {
    problem("scans", "nothing", "the programs that scan images and dependencies before production");
  }
  if (config.edge !== "local" && !config.edge.waf) {
    problem("edge.waf", "nothing", "WAF rules in production: { managed: true }");
  }
  if (config.edge !== "local" && config.edge.rateLimits.length === 0) {
    problem("edge.rateLimits", "nothing", "at least one rate limit in production");
  }
}

function checkSmoke({ smoke }: PodConfig, environment: string, problem: SystemContext["problem"]) {
  for (const name of ["database", "authentication", "rateLimit"] as const) {
    if (smoke[name] !== undefined) continue;
    const what = {
      database: "the path that answers 200 when the database does",
      authentication: "a path that answers 401 without a token",
      rateLimit: "a path that answers 429 to one of so many requests: { path, requests }",
    }[name];
    problem(["smoke", name], "nothing", `${what}, as ${environment} is asked for it`);
  }
}
