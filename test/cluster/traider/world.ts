import { spawn } from "node:child_process";
import { text } from "node:stream/consumers";
import type { ClusterApi } from "../../../components/cluster/api.ts";
import { bundleBaker } from "../../../components/cluster/bundle.ts";
import { connectCluster } from "../../../components/cluster/connect.ts";
import type { ClusterManifest } from "../../../components/cluster/manifest.ts";
import type { ClusterGround } from "../../../components/cluster/objects/ground.ts";
import { observeCluster } from "../../../components/cluster/observe.ts";
import { traiderRules } from "../../../components/gates/tables.ts";
import { bakePolicy } from "../../../stacks/config/bake.ts";
import type { ReleaseEntry } from "../../../stacks/config/fields.ts";
import { traiderSchema } from "../../../stacks/traider.config.ts";
import { type TraiderStack, traiderManifest } from "../../../stacks/traider.ts";
import type { Cluster } from "../../support/cluster/cluster.ts";
import { examplePort } from "../../support/cluster/example.ts";
import type { Image } from "../../support/cluster/images.ts";

/** TRAIDER on a real node: its runbook's own manifests, with the example service as every image. */

export const namespace = "traider-dev";
/** Tags of the example that the releases are made of: two good ones, and two that go wrong in their own ways. */
export const tags = ["v1", "v2", "never-healthy", "slow"] as const;

export interface World {
  readonly cluster: Cluster;
  readonly api: ClusterApi;
  readonly ground: ClusterGround;
  /** What TRAIDER's runbook makes of a release whose images are the example's of that tag. */
  manifest(name: string, tag: string): ClusterManifest;
  observe(): ReturnType<typeof observeCluster>;
  /** Runs a verb of the program on this machine, as the engine does. */
  verb(words: readonly string[], input: unknown): Promise<VerbResult>;
  readonly environment: NodeJS.ProcessEnv;
}

export interface VerbResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const checkout = new URL("../../..", import.meta.url).pathname;

/** Config of TRAIDER for the test's node: documented but for sizes that fit two cores, and the example's paths. */
export function traiderStack(cluster: Cluster, more: object = {}): TraiderStack {
  const config = traiderSchema.parse({
    cluster: { context: cluster.context, namespace, bakerImage: cluster.nodeImage.reference },
    resources: { cpu: "50m", memory: "160Mi" },
    replicas: 2,
    settings: { LINGER_MILLISECONDS: "3000" },
    services: {
      backend: { port: examplePort },
      frontend: { port: examplePort },
      worker: { port: examplePort, settings: { MODE: "singleton", LINGER_MILLISECONDS: "0" } },
    },
    health: {
      path: "/health",
      checks: [{ path: "/health/detailed", expect: { status: "healthy" } }, { path: "/api/auth/csrf" }],
    },
    bake: { seconds: 8, shortSeconds: 2, healthSeconds: 30 },
    ...more,
  });
  return {
    environment: "development",
    fingerprintKey: "k",
    traider: { ...config, secrets: { jwtSecret: "jwt-1" } },
  };
}

export async function makeWorld(cluster: Cluster, images: Readonly<Record<string, Image>>): Promise<World> {
  const stack = traiderStack(cluster);
  const environment = { ...process.env, KUBECONFIG: cluster.kubeconfig };
  process.env.KUBECONFIG = cluster.kubeconfig;
  const api = await connectCluster({ context: cluster.context, namespace });
  const policy = bakePolicy("development", stack.traider.bake, {
    rules: traiderRules,
    probes: ["/api/auth/csrf"],
  });
  const ground: ClusterGround = {
    system: "traider",
    namespace,
    bakerImage: cluster.nodeImage.reference,
    bakerProgram: await bundleBaker(),
    doors: [
      { service: "backend", port: 80 },
      { service: "frontend", port: 80 },
    ],
    policy: { ...policy, replicas: { backend: 2, frontend: 2 } },
  };
  return {
    cluster,
    api,
    ground,
    environment,
    observe: () => observeCluster(api, "traider"),
    manifest: (name, tag) => traiderManifest(stack, name, entryOf(images, tag)),
    verb: (words, input) =>
      runVerb(environment, [...words, "--namespace", namespace, "--context", cluster.context], input),
  };
}

export function entryOf(images: Readonly<Record<string, Image>>, tag: string): ReleaseEntry {
  const reference = images[tag]?.reference ?? "";
  return { version: tag, images: { backend: reference, frontend: reference, worker: reference } };
}

async function runVerb(
  env: NodeJS.ProcessEnv,
  words: readonly string[],
  input: unknown,
): Promise<VerbResult> {
  const child = spawn("engine/node.sh", ["components/cluster/main.ts", ...words], { cwd: checkout, env });
  child.stdin.end(JSON.stringify(input));
  const [stdout, stderr, code] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    new Promise<number>((resolve) => child.once("close", (exit) => resolve(exit ?? 137))),
  ]);
  return { code, stdout, stderr };
}
