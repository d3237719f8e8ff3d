import { existsSync } from "node:fs";
import { join, relative } from "node:path";
import { Ruleset } from "@pulumi/cloudflare/ruleset.js";
import { Worker } from "@pulumi/cloudflare/worker.js";
import { WorkersCustomDomain } from "@pulumi/cloudflare/workersCustomDomain.js";
import { WorkersRoute } from "@pulumi/cloudflare/workersRoute.js";
import { WorkerVersion } from "@pulumi/cloudflare/workerVersion.js";
import * as pulumi from "@pulumi/pulumi";
import type { EdgeAddress } from "./api.ts";
import { plainBindings, secretBindings } from "./bindings.ts";
import { stageContent, stagedFolder } from "./content.ts";
import type { ReleaseRecord } from "./manifest.ts";

/** What of a leg is a resource of Cloudflare's: the Worker, what leads to it, what stands before it, and each version. */

export interface EdgeSite {
  /** Zone of the routes and rules. */
  readonly zoneId: string | null;
  /** Patterns whose requests the Worker answers: app.example.com/* */
  readonly routes: readonly string[];
  /** Hostnames that are the Worker's altogether; Cloudflare makes their DNS entry and certificate. */
  readonly domains: readonly string[];
  /** Reachable as <worker>.<subdomain>.workers.dev, each version at an address of its own too (previews). */
  readonly workersDev: boolean;
  readonly waf: WafRules | null;
  readonly rateLimits: readonly RateLimit[];
}

export interface WafRules {
  /** Cloudflare's managed rules, and OWASP's core rules. */
  readonly managed: boolean;
  readonly rules: readonly {
    readonly description: string;
    /** In Cloudflare's rules language. */
    readonly expression: string;
    readonly action: "block" | "challenge" | "js_challenge" | "managed_challenge" | "log";
  }[];
}

export interface RateLimit {
  readonly description: string;
  readonly expression: string;
  readonly requests: number;
  /** 10 or 60 … as the plan of the zone allows. */
  readonly seconds: number;
  /** How long whoever went above is refused. */
  readonly blockSeconds: number;
}

/** Identifiers of Cloudflare's own rulesets, the same in every zone. */
const managedRulesets = {
  cloudflare: "efb7b8c949ac4650a09736fc376e9aee",
  owasp: "4814384a9e5d4991b9815dcfc25d2f1f",
} as const;

export function registerWorker(
  name: string,
  { accountId, worker, system }: EdgeAddress,
  { workersDev }: EdgeSite,
  opts: pulumi.CustomResourceOptions,
): Worker {
  return new Worker(
    `${name}-worker`,
    {
      accountId,
      name: worker,
      observability: { enabled: true, headSamplingRate: 1 },
      subdomain: { enabled: workersDev, previewsEnabled: workersDev },
      tags: ["switchyard", system],
    },
    // Deleting it would end every version and all that leads to it.
    { ...opts, protect: true },
  );
}

/** What stands before the Worker, and then what leads to it, once it answers something. */
export function exposeWorker(
  name: string,
  { accountId, worker }: EdgeAddress,
  { zoneId, routes, domains, waf, rateLimits }: EdgeSite,
  { parent, after }: { readonly parent: pulumi.Resource; readonly after: readonly pulumi.Resource[] },
): void {
  const rules =
    zoneId === null ? [] : registerRules(name, zoneId, waf, rateLimits, { parent, dependsOn: [...after] });
  // Nobody reaches the Worker before the rules stand.
  const opts = { parent, dependsOn: [...after, ...rules] };
  for (const hostname of domains) {
    const args = { accountId, hostname, service: worker, ...(zoneId === null ? {} : { zoneId }) };
    new WorkersCustomDomain(`${name}-domain-${hostname}`, args, opts);
  }
  if (zoneId === null) return;
  for (const pattern of routes) {
    const args = { zoneId, pattern, script: worker };
    new WorkersRoute(`${name}-route-${pattern.replaceAll("/", "_")}`, args, opts);
  }
}

function registerRules(
  name: string,
  zoneId: string,
  waf: WafRules | null,
  rateLimits: readonly RateLimit[],
  opts: pulumi.CustomResourceOptions,
): Ruleset[] {
  const rulesets: Ruleset[] = [];
  if (waf && waf.rules.length > 0) rulesets.push(registerOwnRules(name, zoneId, waf.rules, opts));
  if (waf?.managed) rulesets.push(registerManagedRules(name, zoneId, opts));
  if (rateLimits.length > 0) rulesets.push(registerRateLimits(name, zoneId, rateLimits, opts));
  return rulesets;
}

function registerOwnRules(
  name: string,
  zoneId: string,
  rules: WafRules["rules"],
  opts: pulumi.CustomResourceOptions,
): Ruleset {
  return new Ruleset(
    `${name}-waf`,
    {
      zoneId,
      name: `${name} rules`,
      kind: "zone",
      phase: "http_request_firewall_custom",
      rules: rules.map((rule) => ({ ...rule, enabled: true })),
    },
    opts,
  );
}

function registerManagedRules(name: string, zoneId: string, opts: pulumi.CustomResourceOptions): Ruleset {
  const execute = (id: string, description: string) => ({
    action: "execute",
    actionParameters: { id },
    expression: "true",
    description,
    enabled: true,
  });
  return new Ruleset(
    `${name}-waf-managed`,
    {
      zoneId,
      name: `${name} managed rules`,
      kind: "zone",
      phase: "http_request_firewall_managed",
      rules: [
        execute(managedRulesets.cloudflare, "Cloudflare's managed rules"),
        execute(managedRulesets.owasp, "OWASP core rules"),
      ],
    },
    opts,
  );
}

function registerRateLimits(
  name: string,
  zoneId: string,
  limits: readonly RateLimit[],
  opts: pulumi.CustomResourceOptions,
): Ruleset {
  return new Ruleset(
    `${name}-rate-limits`,
    {
      zoneId,
      name: `${name} rate limits`,
      kind: "zone",
      phase: "http_ratelimit",
      rules: limits.map(({ description, expression, requests, seconds, blockSeconds }) => ({
        action: "block",
        description,
        expression,
        enabled: true,
        ratelimit: {
          characteristics: ["cf.colo.id", "ip.src"],
          period: seconds,
          requestsPerPeriod: requests,
          mitigationTimeout: blockSeconds,
        },
      })),
    },
    opts,
  );
}

export interface PlacedVersionArgs {
  readonly record: ReleaseRecord;
  readonly fingerprint: string;
  readonly secrets: Readonly<Record<string, string>>;
  readonly frozen: boolean;
}

/** The version of one release. Its files are copied first, so that what is uploaded is what was frozen. */
export function placeVersion(
  name: string,
  { accountId, worker }: EdgeAddress,
  { record, fingerprint, secrets, frozen }: PlacedVersionArgs,
  opts: pulumi.CustomResourceOptions,
): WorkerVersion {
  const { manifest } = record;
  const { main, assets } = manifest;
  const staged = pulumi.output(stagedPath(record, fingerprint));
  const inside = (path: string) => staged.apply((folder) => join(folder, path));
  const secret = secretBindings(manifest, secrets).map(({ text, ...binding }) => ({
    ...binding,
    text: pulumi.secret(text),
  }));
  return new WorkerVersion(
    name,
    {
      accountId,
      workerId: worker,
      annotations: {
        workersTag: fingerprint,
        workersMessage: `${manifest.system} ${manifest.release} (${manifest.version})`,
      },
      ...(main === null
        ? {}
        : {
            mainModule: main,
            modules: [
              { name: main, contentType: "application/javascript+module", contentFile: inside(main) },
            ],
          }),
      bindings: [...plainBindings(record), ...secret],
      compatibilityDate: manifest.compatibilityDate,
      compatibilityFlags: [...manifest.compatibilityFlags],
      ...(assets
        ? { assets: { directory: inside(assets.folder), config: { notFoundHandling: assets.notFound } } }
        : {}),
    },
    { ...opts, ignoreChanges: frozen ? ["*"] : [] },
  );
}

/**
 * Relative, so that it is the same on every runner. Where the files cannot be had the preflight says so and nothing is
 * uploaded; of a placed release nobody asks for them any more.
 */
async function stagedPath({ manifest }: ReleaseRecord, fingerprint: string): Promise<string> {
  const folder = stagedFolder(manifest, fingerprint);
  if (!existsSync(folder)) await stageContent(manifest, fingerprint).catch(() => {});
  return relative(process.cwd(), folder);
}
