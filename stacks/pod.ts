import type * as pulumi from "@pulumi/pulumi";
import type { ClusterLegPlan } from "../components/cluster/open-leg.ts";
import type { OutsideCheck } from "../components/gates/outside.ts";
import { type BakePolicy, bakeSight } from "../components/gates/policy.ts";
import { podRules } from "../components/gates/tables.ts";
import { backupsOf, type Leg } from "../components/rollout/leg.ts";
import { type Release, resolveReleases } from "../components/rollout/releases.ts";
import { Rollout } from "../components/rollout/rollout.ts";
import { bakePolicy, boxPolicy } from "./config/bake.ts";
import { type ClusterConfig, clusterDoor, clusterPlace } from "./config/cluster.ts";
import { edgePlace, edgePolicy } from "./config/edge.ts";
import type { ReleaseEntry } from "./config/fields.ts";
import { frontendAsked } from "./pod.config.ts";
import { beforehand, evidenceOf, held, outsideApi, outsideFrontend, outsideMcp } from "./pod.gates.ts";
import {
  apiManifest,
  apiOrigin,
  frontendManifest,
  mcpLocally,
  mcpManifest,
  type PodStack,
  secretValues,
} from "./pod.manifests.ts";
import { packed, publish } from "./pod.packages.ts";
import type { Site } from "./site.ts";

/**
 * POD Protocol (seeds: 002-pod): the API by compose on the box, the MCP server on the cluster, the frontend on the edge.
 * The order of an update (POD-2, POD-3, POD-6, POD-11): scans, certificates, access to the database, staging's word,
 * packages packed → backup → prisma migrate deploy → API placed, smoke test → MCP placed → assets placed → cutover API,
 * MCP, frontend, each verified from outside before it is watched; back in reverse → packages published, which is
 * irreversible and so comes last.
 */
export async function pod(site: Site, opts?: pulumi.ComponentResourceOptions) {
  const { newReceipt } = site;
  const stack: PodStack = site.stack;
  const { pod: config } = stack;
  const legs: Leg[] = await Promise.all([apiLeg(site, stack), mcpLeg(site, stack), frontendLeg(site, stack)]);
  // After the legs, whose targets are asked side by side: the box has answered by now.
  const { box } = await site.box(config.box);
  const releases = resolveReleases("pod", config, legs, newReceipt);
  const checked = releases.flatMap((release) => [
    ...beforehand(stack, release, { box, served: hasBaked(legs, release) }),
    ...packed(stack, release, opts),
  ]);
  const rollout = new Rollout("pod", { legs, releases, newReceipt }, { ...opts, dependsOn: checked });
  const evidence = releases.filter(hasServed(legs)).map((release) => {
    const verified = held(release, legs, rollout.cutover);
    publish(stack, release, verified.passed);
    return evidenceOf(stack, release, verified);
  });
  return {
    live: config.live ?? null,
    kept: config.kept,
    ...addressesOf(stack),
    bake: bakeSight(podPolicy(stack, [])),
    ...backupsOf(legs),
    evidence,
  };
}

/** The live release, and kept ones that were live before: what was done after their cutover stays done. */
function hasServed(legs: readonly Leg[]) {
  return (release: Release, index: number) => index === 0 || hasBaked(legs, release);
}

/** It has served a whole bake on every target that answers. */
function hasBaked(legs: readonly Leg[], { fingerprint }: Release): boolean {
  return legs.every(({ observed }) => observed === null || observed.baked.includes(fingerprint));
}

async function apiLeg(site: Site, stack: PodStack): Promise<Leg> {
  return site.boxLeg(stack.pod.box, {
    system: "pod",
    render: (name, entry) => apiManifest(stack, name, entry),
    policy: boxPolicy(stack.environment, podPolicy(stack, outsideApi(stack.pod))),
    secrets: secretValues(stack.pod),
    backedUp: stack.pod.secrets,
  });
}

async function mcpLeg(site: Site, stack: PodStack): Promise<Leg> {
  const { pod: config } = stack;
  if (config.cluster === "local") {
    const render = (name: string, entry: ReleaseEntry) => mcpLocally(stack, name, entry);
    const policy = boxPolicy(stack.environment, podPolicy(stack, outsideMcp));
    return site.boxLeg("local", { system: "pod-cluster", name: "cluster", render, policy, secrets: {} });
  }
  const { openClusterLeg } = await import("../components/cluster/open-leg.ts");
  return openClusterLeg((address) => site.observe(address), mcpOnCluster(stack, config.cluster));
}

/** The MCP server's leg on a cluster, as the config has it. */
export function mcpOnCluster(stack: PodStack, cluster: Exclude<ClusterConfig, "local">): ClusterLegPlan {
  const { environment, pod: config } = stack;
  return {
    ...clusterPlace("pod", cluster),
    environment,
    render: (name, entry) => mcpManifest(stack, cluster.namespace, name, entry),
    doors: [clusterDoor("mcp", config.mcp)],
    policy: {
      ...podPolicy(stack, outsideMcp),
      replicas: { mcp: config.replicas ?? (environment === "production" ? 2 : 1) },
    },
    secrets: {},
  };
}

async function frontendLeg(site: Site, stack: PodStack): Promise<Leg> {
  const { environment, pod: config } = stack;
  return site.edgeLeg({
    system: "pod",
    place: edgePlace("pod", environment, config.edge, config.frontend.port),
    render: (name, entry) => frontendManifest(stack, name, entry),
    policy: edgePolicy(config.edge, {
      ...podPolicy(stack, outsideFrontend(stack)),
      probes: frontendAsked.probes,
    }),
    secrets: {},
  });
}

/** POD-8, judged while a release bakes. */
function podPolicy({ environment, pod: config }: PodStack, outside: readonly OutsideCheck[]): BakePolicy {
  return bakePolicy(environment, config, { rules: podRules, probes: ["/"], outside });
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
