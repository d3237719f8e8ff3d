import { z } from "zod";
import type { EdgeAddress } from "../../components/edge/api.ts";
import type { EdgeSite } from "../../components/edge/cloudflare.ts";
import { hashOfFolder } from "../../components/edge/content.ts";
import { localApi } from "../../components/edge/local/places.ts";
import type { EdgeContent, EdgePolicy } from "../../components/edge/manifest.ts";
import { cloudflareApi } from "../../components/edge/transport.ts";
import type { BakePolicy } from "../../components/gates/policy.ts";
import type { EnvironmentName } from "../../components/rollout/environment.ts";
import { type ReleaseEntry, seconds } from "./fields.ts";
import type { SystemContext } from "./read.ts";

/** Fields of a leg on Cloudflare's edge. Descriptions are what an error gives as "allowed". */

const identifier = z.string().regex(/^[0-9a-f]{32}$/, "32 hex digits, as the dashboard shows them");
const hostname = z
  .string()
  .regex(/^([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}$/, "a hostname such as app.example.com");
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
    /** Where people reach it: a smoke test and the bake ask there. */
    hostname,
    routes: z.array(z.string().regex(/^[^/\s]+\/\S*$/, "a pattern such as app.example.com/*")).default([]),
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

/** Where the built files of a version are; `{version}` stands for it. */
export const edgeContent = z.union([
  z.strictObject({ folder: z.string().min(1) }),
  z.strictObject({ artifact: z.string().min(1) }),
]);

/** What an EdgeLeg is told of where it is. */
export interface EdgePlace {
  readonly address: EdgeAddress;
  readonly site: EdgeSite | "local";
  readonly front: string;
}

/** @param door port of the front door in development */
export function edgePlace(
  system: string,
  environment: EnvironmentName,
  config: EdgeConfig,
  door: number,
): EdgePlace {
  const named = `${system}-${environment}`;
  if (config === "local") {
    const address = { kind: "edge", system, accountId: "local", worker: named, api: localApi } as const;
    return { address, site: "local", front: `http://127.0.0.1:${door}` };
  }
  const { accountId, worker = named, api } = config;
  const { zoneId = null, routes, domains, waf = null, rateLimits } = config;
  return {
    address: { kind: "edge", system, accountId, worker, api },
    site: { zoneId, routes, domains, workersDev: environment === "staging", waf, rateLimits },
    front: `https://${config.hostname}`,
  };
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

/** Rules of the environment are rules of the config (CHR-10): previews in staging, routes in production. */
export function edgeChecks(config: EdgeConfig, { environment, problem }: SystemContext, key = "edge"): void {
  if (config === "local") {
    if (environment === "development") return;
    problem(key, '"local"', "accountId and hostname of Cloudflare outside development");
    return;
  }
  const { accountId, routes, domains, zoneId, steps, hostname, rateLimits, waf } = config;
  for (const [name, id] of Object.entries({ accountId, zoneId })) {
    if (id === undefined || !/^0+$/.test(id)) continue;
    problem(`${key}.${name}`, "zeros", "the identifier that Cloudflare's dashboard shows");
  }
  const led = [...routes, ...domains];
  if (environment === "staging" && led.length > 0) {
    problem(`${key}.routes`, led.join(", "), "none in staging: it is reached at its workers.dev address");
  }
  if (environment === "production" && led.length === 0) {
    problem(`${key}.domains`, "nothing", "a hostname or a route that people reach it by");
  }
  if (environment === "production" && !led.some((one) => covers(one, hostname)) && led.length > 0) {
    problem(`${key}.hostname`, hostname, `a hostname of its routes and domains: ${led.join(", ")}`);
  }
  if (zoneId === undefined && (routes.length > 0 || rateLimits.length > 0 || waf)) {
    problem(`${key}.zoneId`, "nothing", "the zone of its routes and rules");
  }
  const percents = steps.map(({ percent }) => percent);
  if (percents.some((percent, index) => index > 0 && percent <= (percents[index - 1] ?? 0))) {
    problem(`${key}.steps`, percents.join(", "), "shares that grow from step to step");
  }
}

function covers(routeOrDomain: string, hostname: string): boolean {
  const [host = ""] = routeOrDomain.split("/");
  return host === hostname || (host.startsWith("*") && hostname.endsWith(host.slice(1)));
}
