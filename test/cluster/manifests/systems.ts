import type { ClusterMigration, ClusterRelease } from "../../../components/cluster/manifest.ts";
import { bakerJob, bakerJobFor } from "../../../components/cluster/objects/baker.ts";
import { groundObjects } from "../../../components/cluster/objects/ground.ts";
import type { KubernetesObject } from "../../../components/cluster/objects/object.ts";
import { migrationJob, releaseObjects } from "../../../components/cluster/objects/release.ts";
import type { ClusterLegPlan } from "../../../components/cluster/open-leg.ts";
import { vaultTimerObjects } from "../../../components/vault/cron-job.ts";
import type { ReleaseEntry } from "../../../stacks/config/fields.ts";
import { podSchema } from "../../../stacks/pod.config.ts";
import { mcpOnCluster } from "../../../stacks/pod.ts";
import { sanctumSchema } from "../../../stacks/sanctum.config.ts";
import { sanctumOnCluster } from "../../../stacks/sanctum.ts";
import { traiderSchema } from "../../../stacks/traider.config.ts";
import { traiderOnCluster } from "../../../stacks/traider.ts";

/** What each runbook gives a cluster in staging and production: its own plan, with everything that config can add. */

export type Guarded = "staging" | "production";
export const systems = ["traider", "sanctum", "pod"] as const;
export type System = (typeof systems)[number];

export const fingerprint = "0123456789ab";
const digest = `sha256:${"a".repeat(64)}`;

export const namespaceOf = (system: System, environment: Guarded) => `${system}-${environment}`;

function clusterOf(system: System, environment: Guarded) {
  return {
    namespace: namespaceOf(system, environment),
    bakerImage: `registry.example/node@${digest}`,
    ingressClass: "nginx",
  };
}

function hostsOf(system: System, name: string) {
  const host = `${name}.${system}.example`;
  return { live: host, blue: `blue-${host}`, green: `green-${host}`, tlsSecret: `${system}-tls` };
}

const plans: Readonly<Record<System, (environment: Guarded) => [ClusterLegPlan, ReleaseEntry]>> = {
  traider(environment) {
    const cluster = clusterOf("traider", environment);
    const config = traiderSchema.parse({
      cluster,
      services: {
        backend: { hosts: hostsOf("traider", "api") },
        frontend: { hosts: hostsOf("traider", "www") },
        worker: { command: ["python", "-m", "traider.worker"] },
      },
      migration: { repository: "traider-backend", backup: ["backup"] },
    });
    const traider = { ...config, secrets: { jwtSecret: "jwt", dbPassword: "pw" } };
    const schema = { folder: "migrations", provides: 2, needs: 1, change: "expand" } as const;
    const images = { backend: digest, frontend: digest, migration: digest };
    const stack = { environment, fingerprintKey: "k", traider };
    return [traiderOnCluster(stack, cluster), { images, schema }];
  },
  sanctum(environment) {
    const cluster = clusterOf("sanctum", environment);
    const services = ["auth", "directory", "messaging"] as const;
    const hosts = Object.fromEntries(services.map((name) => [name, { hosts: hostsOf("sanctum", name) }]));
    const config = sanctumSchema.parse({ cluster, services: hosts, settings: { LOG_LEVEL: "info" } });
    const stack = { environment, fingerprintKey: "k", sanctum: { ...config, secrets: {} } };
    const images = Object.fromEntries(services.map((name) => [name, digest]));
    return [sanctumOnCluster(stack, cluster), { images }];
  },
  pod(environment) {
    const cluster = clusterOf("pod", environment);
    const config = podSchema.parse({
      box: { host: "pod.example" },
      cluster,
      edge: "local",
      source: { git: "https://pod.example/pod.git" },
      mcp: { hosts: hostsOf("pod", "mcp"), command: ["node", "dist/mcp.js"] },
      frontend: { content: { folder: "frontend/{version}" } },
    });
    const stack = { environment, fingerprintKey: "k", pod: { ...config, secrets: {} } };
    return [mcpOnCluster(stack, cluster), { images: { mcp: digest } }];
  },
};

/** What runs in the Jobs, each one file. */
export interface Programs {
  readonly baker: string;
  readonly vault: string;
}

/** Every object of a system with one release: what the engine registers, then the Jobs that the verbs make. */
export function objectsOf(
  system: System,
  environment: Guarded,
  { baker: bakerProgram, vault: program }: Programs,
): readonly KubernetesObject[] {
  const [plan, entry] = plans[system](environment);
  const { namespace } = plan.address;
  const ground = { ...plan, namespace, bakerProgram };
  const image = `registry.example/vault@${digest}`;
  const manifest = plan.render("v1", entry);
  const release: ClusterRelease = { fingerprint, colour: "green", manifest };
  const migrate = (migration: ClusterMigration) =>
    (["backup", "apply", "verify", "revert"] as const).map((step) => migrationJob(release, migration, step));
  return [
    ...groundObjects(ground),
    ...(system === "traider" ? vaultTimerObjects({ system, namespace, image, program, settings: "{}" }) : []),
    ...releaseObjects(release, plan.policy.replicas, plan.secrets),
    ...(manifest.migration ? migrate(manifest.migration) : []),
    bakerJobFor(bakerJob(ground), { id: "1" }),
  ];
}

/** `<kind> <number>`, in the alphabet's order: what a system consists of. */
export function inventoryOf(objects: readonly KubernetesObject[]): string[] {
  const counted = new Map<string, number>();
  for (const { kind } of objects) counted.set(kind, (counted.get(kind) ?? 0) + 1);
  return [...counted].map(([kind, count]) => `${kind} ${count}`).sort();
}
