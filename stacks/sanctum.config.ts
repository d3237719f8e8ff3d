import { z } from "zod";
import { sanctumRules } from "../components/gates/tables.ts";
import type { EnvironmentName } from "../components/rollout/environment.ts";
import { alerts, checkAlerts } from "./config/alerts.ts";
import { checkCluster, checkHosts, clusterSystem, containerService, imageOf } from "./config/cluster.ts";
import { bake, pins, type ReleaseEntry } from "./config/fields.ts";
import { checkPins } from "./config/pins.ts";
import type { SystemContext } from "./config/read.ts";
import { checkSettings } from "./config/settings.ts";

/** Sanctum's document names no secret of the deployment. */
export const sanctumSecrets = [] as const;

export const sanctumServices = ["auth", "directory", "messaging"] as const;
export type SanctumService = (typeof sanctumServices)[number];

const path = z.string().startsWith("/");

/** How hard the gates try (SAN-2 has the first and the third as inputs of the nightly run). */
const gates = z.strictObject({
  /** Requests a second of the load gates, over all services; the soak runs at half of it. */
  targetRps: z.number().int().min(2).max(10_000).optional(),
  loadSeconds: z.number().positive().max(3600).optional(),
  soakMinutes: z.number().positive().max(600).optional(),
  /**
   * run: the gates run here. staging: what passed them there is taken (production's way); then the release's images
   * have to be the same ones.
   */
  evidence: z.enum(["run", "staging"]).optional(),
  /** What is asked of each service. */
  paths: z.strictObject({ auth: path, directory: path, messaging: path }).partial().optional(),
  /** Where a placed release answers before it serves, with {service} and {colour}; absent: its colour's own host. */
  origin: z
    .string()
    .regex(/^https?:\/\/[^/]+$/, "an origin such as https://{service}-{colour}.staging.example.com")
    .optional(),
});

export const sanctumSchema = z.strictObject({
  ...pins,
  ...clusterSystem,
  services: z
    .strictObject({
      auth: containerService.default({}),
      directory: containerService.default({}),
      messaging: containerService.default({}),
    })
    .default({ auth: {}, directory: {}, messaging: {} }),
  health: path.default("/health"),
  gates: gates.default({}),
  bake: bake.default({}),
  alerts,
});

export type SanctumConfig = z.infer<typeof sanctumSchema> & {
  readonly secrets: Readonly<Record<string, string>>;
};

export interface SanctumGates {
  readonly targetRps: number;
  readonly loadSeconds: number;
  readonly soakSeconds: number;
  readonly evidence: "run" | "staging";
}

/**
 * What the config says, and where it says nothing: the document's numbers in staging; staging's evidence in production,
 * where the gates are short when they are run all the same (a hotfix); small numbers on the developer's machine.
 */
export function sanctumGates({ gates }: SanctumConfig, environment: EnvironmentName): SanctumGates {
  const few = { targetRps: 6, loadSeconds: 3, soakMinutes: 0.1, evidence: "run" as const };
  const { targetRps, loadSeconds, soakMinutes, evidence } = {
    development: few,
    testing: few,
    staging: { targetRps: 1000, loadSeconds: 120, soakMinutes: 15, evidence: "run" as const },
    production: { targetRps: 100, loadSeconds: 30, soakMinutes: 2, evidence: "staging" as const },
  }[environment];
  return {
    targetRps: gates.targetRps ?? targetRps,
    loadSeconds: gates.loadSeconds ?? loadSeconds,
    soakSeconds: (gates.soakMinutes ?? soakMinutes) * 60,
    evidence: gates.evidence ?? evidence,
  };
}

export function sanctumImage(
  config: SanctumConfig,
  service: SanctumService,
  name: string,
  entry: ReleaseEntry,
): string {
  const repository = config.services[service].repository ?? `sanctum-${service}`;
  return imageOf(repository, entry.images?.[service], entry.version ?? name);
}

export function sanctumChecks(config: SanctumConfig, context: SystemContext): void {
  const { environment, problem } = context;
  checkPins(config, problem);
  checkAlerts(config, sanctumRules, [config.cluster === "local" ? "box" : "cluster"], context);
  checkSettings(config, sanctumServices, problem);
  checkCluster(config.cluster, context);
  checkHosts(["services"], config.services, problem);
  if (config.cluster === "local") {
    if (!config.source) {
      problem("source", "nothing", "where the local machine gets a version from: git or artifact");
    }
  } else {
    checkImages(config, environment, problem);
    if (sanctumGates(config, environment).evidence === "run") checkOrigins(config, problem);
  }
  if (config.gates.evidence === "staging" && environment !== "production") {
    problem("gates.evidence", "staging", "run: only production takes staging's word");
  }
}

/** Evidence is of images: outside development a release names them by digest, in staging too. */
function checkImages(
  config: SanctumConfig,
  environment: EnvironmentName,
  problem: SystemContext["problem"],
): void {
  if (environment === "development") return;
  const names = config.live === undefined ? [] : [config.live, ...config.kept];
  for (const name of names) {
    for (const service of sanctumServices) {
      const image = sanctumImage(config, service, name, config.releases[name] ?? {});
      if (/@sha256:[0-9a-f]{64}$/.test(image)) continue;
      const allowed = "an image by its digest, sha256: and 64 hex digits: a tag can be moved after the gates";
      problem(["releases", name, "images", service], image, allowed);
    }
  }
}

function checkOrigins(
  { gates: { origin }, services }: SanctumConfig,
  problem: SystemContext["problem"],
): void {
  if (origin !== undefined) return;
  for (const service of sanctumServices) {
    if (services[service].hosts) continue;
    const allowed = "hosts of the live release and of each colour: the gates ask a release before it serves";
    const at = ["services", service, "hosts", "blue"];
    problem(["services", service, "hosts"], "nothing", `${allowed}; or gates.origin`, { at });
  }
}
