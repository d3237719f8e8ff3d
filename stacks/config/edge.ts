import { z } from "zod";
import type { EdgeAddress } from "../../components/edge/api.ts";
import type { EdgeSite } from "../../components/edge/cloudflare.ts";
import { hashOfFolder } from "../../components/edge/content.ts";
import { localApi } from "../../components/edge/local/places.ts";
import type { EdgeContent, EdgePolicy } from "../../components/edge/manifest.ts";
import { readPattern } from "../../components/edge/routes.ts";
import { cloudflareApi } from "../../components/edge/transport.ts";
import type { BakePolicy } from "../../components/gates/policy.ts";
import type { EnvironmentName } from "../../components/rollout/environment.ts";
import { checkLeads, type EdgeAsked, frontOf, isPath } from "./edge-leads.ts";
import { type ReleaseEntry, seconds } from "./fields.ts";
import type { SystemContext } from "./read.ts";

/** Fields of a leg on Cloudflare's edge. Descriptions are what an error gives as "allowed". */

const identifier = z.string().regex(/^[0-9a-f]{32}$/, "32 hex digits, as the dashboard shows them");
const hostname = z
  .string()
  .regex(/^([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}$/, "a hostname such as app.example.com");
const route = z
  .string()
  .refine(
    (text) => readPattern(text) !== null,
    "a pattern such as app.example.com/*: an asterisk first in the hostname or last in the path, no query, no port",
  );
const expression = z.string().min(1);

const wafRule = z.strictObject({
  description: z.string().min(1),
  expression,
  action: z.enum(["block", "challenge", "js_challenge", "managed_challenge", "log"]).default("block"),
});

const rateLimit = z.strictObject({
  description: z.string().min(1),
  expression,
  requests: z.number().int().positive(),
  seconds: z.union(
    [z.literal(10), z.literal(60), z.literal(120), z.literal(300), z.literal(600), z.literal(3600)],
    {
      error: "10, 60, 120, 300, 600 or 3600: the periods that Cloudflare counts over",
    },
  ),
  blockSeconds: seconds,
});

/** Where a leg's Worker is: Cloudflare, or the local edge of development. */
export const edge = z.union([
  z.literal("local"),
  z.strictObject({
    accountId: identifier,
    /** Of routes, domains and rules. */
    zoneId: identifier.optional(),
    /** @default <system>-<environment> */
    worker: z
      .string()
      .regex(/^[a-z][a-z0-9-]{0,62}$/, "small letters, digits and dashes, a letter first; at most 63")
      .optional(),
    /** Where people reach it: a smoke test and the bake ask there, below `path`. */
    hostname,
    /** What every address of the Worker begins with, where its route has a path. The Worker sees it: nothing is stripped. */
    path: z
      .string()
      .regex(isPath, "a path such as /edge, without a slash at its end")
      .or(z.literal(""))
      .default(""),
    routes: z.array(route).default([]),
    domains: z.array(hostname).default([]),
    /** Shares of the traffic before all of it, each watched for its seconds. */
    steps: z.array(z.strictObject({ percent: z.number().int().min(1).max(99), seconds })).default([]),
    waf: z
      .strictObject({ managed: z.boolean().default(true), rules: z.array(wafRule).default([]) })
      .optional(),
    rateLimits: z.array(rateLimit).default([]),
    /** A changed secret is no hindrance: its old value still works, should the release be taken back. */
    oldSecretsWork: z.boolean().default(false),
    /** Another address of Cloudflare's API. */
    api: z.url().default(cloudflareApi),
  }),
]);

export type EdgeConfig = z.infer<typeof edge>;
export type CloudflareEdge = Exclude<EdgeConfig, "local">;

/** Where the built files of a version are; `{version}` stands for it. */
export const edgeContent = z.union([
  z.strictObject({ folder: z.string().min(1) }),
  z.strictObject({ artifact: z.string().min(1) }),
]);

/** What an EdgeLeg is told of where it is. */
export interface EdgePlace {
  readonly address: EdgeAddress;
  readonly site: EdgeSite | "local";
  /** What every address of it begins with, without a slash at the end: https://app.example.com/edge */
  readonly front: string;
}

/** @param door port of the front door in development */
export function edgePlace(
  system: string,
  environment: EnvironmentName,
  config: EdgeConfig,
  door: number,
): EdgePlace {
  if (config === "local") {
    const worker = `${system}-${environment}`;
    const address = { kind: "edge", system, accountId: "local", worker, api: localApi } as const;
    return { address, site: "local", front: `http://127.0.0.1:${door}` };
  }
  const { accountId, api } = config;
  const worker = workerOf(system, environment, config);
  const { zoneId = null, routes, domains, waf = null, rateLimits } = config;
  return {
    address: { kind: "edge", system, accountId, worker, api },
    site: { zoneId, routes, domains, workersDev: environment === "staging", waf, rateLimits },
    front: frontOf(config),
  };
}

const workerOf = (system: string, environment: EnvironmentName, { worker }: CloudflareEdge) =>
  worker ?? `${system}-${environment}`;

/** For people: a route such as app.example.com/edge/* leads to /edge/, and not to /edge. */
export function addressOf({ front }: Pick<EdgePlace, "front">): string {
  return new URL(front).pathname === "/" ? front : `${front}/`;
}

/** The files of a version. A folder's checksum is taken now: other files are another release. */
export function edgeContentOf(
  config: z.infer<typeof edgeContent>,
  version: string,
  sha256: string | undefined,
): EdgeContent {
  const filled = (text: string) => text.replaceAll("{version}", version);
  if ("folder" in config) {
    const path = filled(config.folder);
    return { kind: "folder", path, sha256: sha256 ?? hashOfFolder(path) };
  }
  return { kind: "artifact", path: filled(config.artifact), sha256: sha256 ?? "" };
}

/** Checksum of the edge's files in a release of the pins, under the leg's name where it has its own. */
export function edgeSha256(entry: ReleaseEntry, leg = "edge"): string | undefined {
  return entry.artifacts?.[leg];
}

/** Times of the bake that the system has anyway, and what the edge adds. */
export function edgePolicy(config: EdgeConfig, policy: BakePolicy): EdgePolicy {
  // Nobody but the bake's own probes asks the local edge, so half a bake shows what a whole one would.
  if (config === "local") {
    const bakeSeconds = Math.min(policy.bakeSeconds, 5);
    return { ...policy, bakeSeconds, steps: [], oldSecretsWork: true };
  }
  const { steps, oldSecretsWork } = config;
  return { ...policy, steps, oldSecretsWork };
}

/**
 * Rules of the environment are rules of the config (CHR-10): previews in staging, routes in production; and what is asked
 * of the Worker lies where something leads to it.
 */
export function edgeChecks(
  system: string,
  config: EdgeConfig,
  asked: EdgeAsked,
  context: SystemContext,
): void {
  const { environment, problem } = context;
  if (config === "local") {
    if (environment === "development") return;
    problem("edge", '"local"', "accountId and hostname of Cloudflare outside development");
    return;
  }
  const { accountId, routes, domains, zoneId, steps, rateLimits, waf } = config;
  for (const [name, id] of Object.entries({ accountId, zoneId })) {
    if (id === undefined || !/^0+$/.test(id)) continue;
    problem(["edge", name], "zeros", "the identifier that Cloudflare's dashboard shows");
  }
  const led = [...routes, ...domains];
  if (environment === "staging" && led.length > 0) {
    problem("edge.routes", led.join(", "), "none in staging: it is reached at its workers.dev address");
  }
  checkLeads(workerOf(system, environment, config), config, asked, context);
  if (zoneId === undefined && (routes.length > 0 || rateLimits.length > 0 || waf)) {
    problem("edge.zoneId", "nothing", "the zone of its routes and rules");
  }
  const percents = steps.map(({ percent }) => percent);
  if (percents.some((percent, index) => index > 0 && percent <= (percents[index - 1] ?? 0))) {
    problem("edge.steps", percents.join(", "), "shares that grow from step to step");
  }
}
