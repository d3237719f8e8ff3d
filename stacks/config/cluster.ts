import { z } from "zod";
import type { ClusterAddress } from "../../components/cluster/driver.ts";
import type { Door } from "../../components/cluster/objects/ground.ts";
import type { ClusterLegPlan } from "../../components/cluster/open-leg.ts";
import type { EnvironmentName } from "../../components/rollout/environment.ts";
import type { KeyPath } from "./advice.ts";
import { port, settings, source } from "./fields.ts";
import type { SystemContext } from "./read.ts";

/** Fields of a leg on Kubernetes. Credentials are the runner's own (KUBECONFIG); only the context's name is config. */

const dnsName = z
  .string()
  .regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, "a DNS label: small letters, digits, dashes; at most 63");

const host = z
  .string()
  .regex(/^[a-z0-9]([a-z0-9.-]*[a-z0-9])$/, "a host name: small letters, digits, dots, dashes");

/** Host names of what is live and of each colour. */
export const colourHosts = z.strictObject({
  live: host,
  blue: host,
  green: host,
  tlsSecret: dnsName.optional(),
});

export const cluster = z.union([
  z.literal("local"),
  z.strictObject({
    /** Context of the runner's kubeconfig; absent: its current one. */
    context: z.string().min(1).optional(),
    namespace: dnsName,
    /** Image with Node 18 or later on its PATH, which the baker runs on. */
    bakerImage: z.string().min(1),
    ingressClass: dnsName.optional(),
  }),
]);

export type ClusterConfig = z.infer<typeof cluster>;

/** Where on a cluster a system is, as its leg and whoever else looks for it is told. */
export function clusterAddress(
  system: string,
  { context, namespace }: Exclude<ClusterConfig, "local">,
): ClusterAddress {
  return { kind: "cluster", system, namespace, ...(context === undefined ? {} : { context }) };
}

/** What of a leg on a cluster is the same for every system. */
export function clusterPlace(
  system: string,
  config: Exclude<ClusterConfig, "local">,
): Pick<ClusterLegPlan, "system" | "address" | "bakerImage" | "ingressClass"> {
  const { bakerImage, ingressClass } = config;
  const address = clusterAddress(system, config);
  return { system, address, bakerImage, ...(ingressClass === undefined ? {} : { ingressClass }) };
}

const quantity = (example: string) =>
  z.string().regex(/^\d+(\.\d+)?(m|Ki|Mi|Gi)?$/, `a Kubernetes quantity: ${example}`);

/** What a pod asks for and gets, request and limit alike. */
export const resources = z.strictObject({ cpu: quantity("500m"), memory: quantity("512Mi") });

/** A service in a container: what of it is config and not release. */
export const containerService = z.strictObject({
  /** Repository of its image; the release says which one of it. */
  repository: z.string().min(1).optional(),
  command: z.array(z.string().min(1)).min(1).optional(),
  port: port.optional(),
  hosts: colourHosts.optional(),
});

/** The stable Service of one in a container, with its hosts where it has any. */
export function clusterDoor(service: string, { hosts }: z.infer<typeof containerService>): Door {
  if (!hosts) return { service, port: 80 };
  const { tlsSecret, ...names } = hosts;
  return { service, port: 80, hosts: names, ...(tlsSecret === undefined ? {} : { tlsSecret }) };
}

/**
 * Each host name leads to one thing: with two rules for one name an Ingress follows one of them, and who asks a colour
 * would be answered by what is live.
 *
 * @param below where the services are in the config
 */
export function checkHosts(
  below: readonly string[],
  services: Readonly<Record<string, z.infer<typeof containerService>>>,
  problem: SystemContext["problem"],
): void {
  const taken = new Map<string, string>();
  for (const [service, { hosts }] of Object.entries(services)) {
    if (!hosts) continue;
    for (const what of ["live", "blue", "green"] as const) {
      const key = [...below, service, "hosts", what];
      const name = hosts[what];
      const other = taken.get(name);
      if (other === undefined) taken.set(name, key.join("."));
      else problem(key, name, `a host name of its own: ${other} has that one`);
    }
  }
}

/** What a system has that is a cluster's whole. */
export const clusterSystem = {
  cluster,
  /** Where the local machine builds it from; a cluster runs images. */
  source: source.optional(),
  build: z.array(z.string().min(1)).optional(),
  settings: settings.default({}),
  replicas: z.number().int().min(1).max(100).optional(),
  resources: resources.optional(),
};

/**
 * A release's image of a service: by digest where the release names one, else by the release's tag.
 * @param named entry of the release, @example "sha256:3f…" (64 hex digits), "v1.4.2", or a whole reference
 */
export function imageOf(repository: string, named: string | undefined, version: string): string {
  if (named === undefined) return `${repository}:${version}`;
  if (named.includes("/")) return named;
  return named.startsWith("sha256:") ? `${repository}@${named}` : `${repository}:${named}`;
}

/** What a digest names is the same for ever; a tag in production is an error of the config. */
export function checkImage(
  key: KeyPath,
  image: string,
  environment: EnvironmentName,
  problem: SystemContext["problem"],
): void {
  if (/@sha256:0{64}$/.test(image)) {
    problem(key, "zeros", "the digest of an image: sha256: and 64 hex digits");
    return;
  }
  if (environment !== "production" || /@sha256:[0-9a-f]{64}$/.test(image)) return;
  problem(key, image, "an image by its digest in production: sha256: and 64 hex digits; a tag can be moved");
}

/** Outside development a leg on a cluster is one. */
export function checkCluster(config: ClusterConfig, { environment, problem }: SystemContext): void {
  if (environment === "development") return;
  if (config === "local") {
    problem("cluster", '"local"', "a cluster with context, namespace and bakerImage outside development");
  } else {
    checkImage("cluster.bakerImage", config.bakerImage, environment, problem);
  }
}
