import { spawn } from "node:child_process";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import type { ClusterApi } from "../../../components/cluster/api.ts";
import { bundleBaker } from "../../../components/cluster/bundle.ts";
import { connectCluster } from "../../../components/cluster/connect.ts";
import type { ClusterManifest } from "../../../components/cluster/manifest.ts";
import type { ClusterGround } from "../../../components/cluster/objects/ground.ts";
import { observeCluster } from "../../../components/cluster/observe.ts";
import type { ClusterConfig } from "../../../stacks/config/cluster.ts";
import type { ReleaseEntry } from "../../../stacks/config/fields.ts";
import { traiderSchema } from "../../../stacks/traider.config.ts";
import { type TraiderStack, traiderOnCluster } from "../../../stacks/traider.ts";
import { secondsWithin } from "../../support/busy.ts";
import type { Cluster } from "../../support/cluster/cluster.ts";
import { examplePort } from "../../support/cluster/example.ts";
import type { Image } from "../../support/cluster/images.ts";
import { overcommit } from "../../support/cluster/overcommit.ts";
import type { Pin } from "./deployer.ts";
import { migration, schemaUrl } from "./schema.ts";

/** TRAIDER on a real node: its runbook's own manifests, with the example service as every image. */

export const namespace = "traider-dev";
/** Tags of the example that the releases are made of: two good ones, and one that never becomes healthy. */
export const tags = ["v1", "v2", "never-healthy"] as const;

export interface World {
  readonly cluster: Cluster;
  readonly images: Readonly<Record<string, Image>>;
  /** Today's: a release that is made after a change has the new value. */
  readonly secrets: { jwtSecret: string };
  readonly api: ClusterApi;
  /** What the cluster has of TRAIDER apart from its releases, with first bakes of that length. */
  ground(bakeSeconds?: number): ClusterGround;
  /** What TRAIDER's runbook makes of a release whose images are the example's of its tag. */
  manifest(pin: Pin): ClusterManifest;
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

const checkout = join(import.meta.dirname, "../../..");

/** Config of TRAIDER's development stack for the test's node: the documents' sizes, the example's command and paths. */
export function traiderConfig(cluster: Cluster, bakeSeconds = 20): Record<string, unknown> {
  return {
    cluster: { context: cluster.context, namespace, bakerImage: cluster.nodeImage.reference },
    settings: {
      LINGER_MILLISECONDS: "3000",
      ...{ "worker.MODE": "singleton", "worker.LINGER_MILLISECONDS": "0" },
      "migration.SCHEMA_URL": schemaUrl,
    },
    migration,
    services: {
      backend: { port: examplePort },
      frontend: { port: examplePort },
      worker: {
        command: ["node", "/app/dist/service.mjs"],
        port: examplePort,
      },
    },
    health: {
      path: "/health",
      checks: [{ path: "/health/detailed", expect: { status: "healthy" } }, { path: "/api/auth/csrf" }],
    },
    bake: { seconds: bakeSeconds, shortSeconds: 2, healthSeconds: secondsWithin(10) },
  };
}

/** Makes the revisions of secrets, and so a part of every release's fingerprint. */
export const fingerprintKey = "k";

export async function makeWorld(cluster: Cluster, images: Readonly<Record<string, Image>>): Promise<World> {
  const secrets = { jwtSecret: "jwt-1" };
  const planned = (bakeSeconds?: number) => {
    const config = { ...traiderSchema.parse(traiderConfig(cluster, bakeSeconds)), secrets };
    const stack: TraiderStack = { environment: "development", fingerprintKey, traider: config };
    return traiderOnCluster(stack, config.cluster as Exclude<ClusterConfig, "local">);
  };
  await overcommit(cluster);
  const environment = { ...process.env, KUBECONFIG: cluster.kubeconfig };
  process.env.KUBECONFIG = cluster.kubeconfig;
  const api = await connectCluster({ context: cluster.context, namespace });
  const { render } = planned();
  const bakerProgram = await bundleBaker();
  return {
    cluster,
    images,
    secrets,
    api,
    ground: (bakeSeconds) => {
      const { address, ...plan } = planned(bakeSeconds);
      return { ...plan, namespace: address.namespace, bakerProgram };
    },
    environment,
    observe: () => observeCluster(api, "traider"),
    manifest: (pin) => render(pin.name, entryOf(images, pin)),
    verb: (words, input) =>
      runVerb(environment, [...words, "--namespace", namespace, "--context", cluster.context], input),
  };
}

export function entryOf(
  images: Readonly<Record<string, Image>>,
  { tag, migrates = false }: Pin,
): ReleaseEntry {
  const reference = images[tag]?.reference ?? "";
  const entry = { version: tag, images: { backend: reference, frontend: reference, worker: reference } };
  if (!migrates) return entry;
  const schema = { folder: "migrations", provides: 2, needs: 1, change: "expand" } as const;
  return { ...entry, images: { ...entry.images, migration: reference }, schema };
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
