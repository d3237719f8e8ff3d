import { afterAll, beforeAll, expect, it } from "vitest";
import { bundleBaker } from "../../components/cluster/bundle.ts";
import type { ClusterMigration, ClusterRelease } from "../../components/cluster/manifest.ts";
import { bakerJob, bakerJobFor } from "../../components/cluster/objects/baker.ts";
import { groundObjects } from "../../components/cluster/objects/ground.ts";
import type { KubernetesObject } from "../../components/cluster/objects/object.ts";
import { migrationJob, releaseObjects } from "../../components/cluster/objects/release.ts";
import { traiderRules } from "../../components/gates/tables.ts";
import { bakePolicy } from "../../stacks/config/bake.ts";
import type { EnvironmentName } from "../../stacks/config/read.ts";
import { traiderEnvironment, traiderSchema } from "../../stacks/traider.config.ts";
import { traiderDoors, traiderManifest } from "../../stacks/traider.ts";
import { until } from "../support/box/processes.ts";
import { type Cluster, startCluster } from "../support/cluster/cluster.ts";
import { describeOnCluster } from "../support/cluster/suite.ts";

/** Every kind of object that the program makes, as production and staging have it, before a real API server. */
const digest = `sha256:${"a".repeat(64)}`;
const schema = { folder: "m", provides: 2, needs: 1, change: "expand" } as const;

let cluster: Cluster;
let program: string;

function everything(environment: EnvironmentName): KubernetesObject[] {
  const namespace = `traider-${environment}`;
  const hosts = (name: string) => ({
    live: `${name}.traider.example`,
    blue: `blue-${name}.traider.example`,
    green: `green-${name}.traider.example`,
    tlsSecret: "traider-tls",
  });
  const config = {
    ...traiderSchema.parse({
      cluster: { namespace, bakerImage: `node@${digest}`, ingressClass: "nginx" },
      services: {
        backend: { hosts: hosts("api") },
        frontend: { hosts: hosts("www") },
        worker: { command: ["python", "-m", "traider.worker"] },
      },
      migration: { repository: "traider-backend", backup: ["backup"] },
    }),
    secrets: { jwtSecret: "jwt", dbPassword: "pw" },
  };
  const stack = { environment, fingerprintKey: "k", traider: config };
  const { replicas } = traiderEnvironment(config, environment);
  const policy = bakePolicy(environment, config.bake, { rules: traiderRules, probes: ["/"] });
  const ground = {
    system: "traider",
    namespace,
    bakerImage: `node@${digest}`,
    bakerProgram: program,
    ingressClass: "nginx",
    doors: traiderDoors(config),
    policy: { ...policy, replicas: { backend: replicas, frontend: replicas } },
  };
  const images = { backend: digest, frontend: digest, migration: digest };
  const manifest = traiderManifest(stack, "v1", { images, schema });
  const release: ClusterRelease = { fingerprint: "0123456789ab", colour: "green", manifest };
  const migration = manifest.migration as ClusterMigration;
  return [
    ...groundObjects(ground),
    ...releaseObjects(release, ground.policy.replicas, { JWT_SECRET: "jwt", DATABASE_PASSWORD: "pw" }),
    ...(["backup", "apply", "verify", "revert"] as const).map((step) =>
      migrationJob(release, migration, step),
    ),
    bakerJobFor(bakerJob(ground), { id: "1" }),
  ];
}

describeOnCluster("manifests before a real API server", () => {
  beforeAll(async () => {
    [cluster, program] = await Promise.all([startCluster(), bundleBaker()]);
  }, 600_000);
  afterAll(() => cluster?.stop(), 60_000);

  it.each([
    "staging",
    "production",
  ] as const)("are accepted as %s has them, to the last field, with restricted pod security", async (environment) => {
    const objects = everything(environment);
    const items = { apiVersion: "v1", kind: "List", items: objects };
    const words = ["apply", "--server-side", "--validate=strict", "-f", "-"];
    const applied = await cluster.kubectl(words, { stdin: JSON.stringify(items), timeoutSeconds: 60 });
    expect(applied.trim().split("\n")).toHaveLength(objects.length);
    expect(new Set(objects.map(({ kind }) => kind))).toEqual(
      new Set([
        ...[
          "Namespace",
          "ConfigMap",
          "Secret",
          "Service",
          "Ingress",
          "ServiceAccount",
          "Role",
          "RoleBinding",
        ],
        ...["NetworkPolicy", "PodDisruptionBudget", "Deployment", "StatefulSet", "Job"],
      ]),
    );
  });

  it("make pods that the namespace lets in: as many as wanted, of every workload and Job", async () => {
    const namespace = "traider-staging";
    await cluster.kubectl(["scale", "statefulset", "--all", "--replicas=1", "-n", namespace]);
    const wanted = {
      "traider-backend-0123456789ab": 2,
      "traider-frontend-0123456789ab": 2,
      "traider-worker-0123456789ab": 1,
      "traider-backup-0123456789ab": 1,
      "traider-apply-0123456789ab": 1,
      "traider-verify-0123456789ab": 1,
      "traider-revert-0123456789ab": 1,
      "traider-baker": 1,
    };
    let found: Record<string, number> = {};
    const all = async () => {
      const { items } = JSON.parse(await cluster.kubectl(["get", "pods", "-n", namespace, "-o", "json"])) as {
        items: { metadata: { name: string } }[];
      };
      const counted = Object.keys(wanted).map((name) => [
        name,
        items.filter(({ metadata }) => metadata.name.startsWith(`${name}-`)).length,
      ]);
      found = Object.fromEntries(counted);
      return JSON.stringify(found) === JSON.stringify(wanted);
    };
    await until(all, 60, "not every pod was let in", 500).catch(() => expect(found).toEqual(wanted));
    const refused = await cluster.kubectl([
      "get",
      "events",
      "-n",
      namespace,
      "--field-selector",
      "reason=FailedCreate",
      "-o",
      "name",
    ]);
    expect(refused).toBe("");
  });

  it("make Services that lead nowhere until a cutover has spoken", async () => {
    const slices = JSON.parse(
      await cluster.kubectl(["get", "endpointslices", "-n", "traider-staging", "-o", "json"]),
    ) as {
      items: { endpoints: object[] | null }[];
    };
    expect(slices.items.flatMap(({ endpoints }) => endpoints ?? [])).toEqual([]);
  });

  it("give the baker what it needs and no more", async () => {
    const baker = "system:serviceaccount:traider-staging:traider-baker";
    const may = async (...words: string[]) =>
      (
        await cluster
          .kubectl(["auth", "can-i", ...words, "-n", "traider-staging", "--as", baker])
          .catch(() => "no")
      ).trim();
    expect(await may("patch", "services/traider-backend")).toBe("yes");
    expect(await may("update", "leases.coordination.k8s.io/switchyard-traider")).toBe("yes");
    expect(await may("patch", "deployments.apps/traider-backend-0123456789ab")).toBe("yes");
    expect(await may("list", "pods")).toBe("yes");
    const refused = [
      ["get", "secrets"],
      ["get", "configmaps/traider-policy"],
      ["delete", "pods"],
      ["create", "pods"],
      ["delete", "deployments.apps/traider-backend-0123456789ab"],
      ["patch", "deployments.apps/another"],
      ["patch", "services/another"],
      ["create", "jobs.batch"],
    ];
    for (const words of refused) expect([...words, await may(...words)]).toEqual([...words, "no"]);
  });
});
