import { afterAll, beforeAll, expect, it } from "vitest";
import { bundleBaker } from "../../components/cluster/bundle.ts";
import { vaultProgram } from "../../components/vault/cron-job.ts";
import { until } from "../support/box/processes.ts";
import { type Cluster, startCluster } from "../support/cluster/cluster.ts";
import { describeOnCluster } from "../support/cluster/suite.ts";
import {
  fingerprint,
  type Guarded,
  inventoryOf,
  namespaceOf,
  objectsOf,
  type Programs,
  type System,
  systems,
} from "./manifests/systems.ts";

/** Every object that the runbooks give a cluster, as staging and production have it, before a real API server. */

let cluster: Cluster;
let programs: Programs;

const shared = ["Namespace 1", "Role 2", "RoleBinding 2"];
const inventories: Readonly<Record<System, readonly string[]>> = {
  traider: [
    ...["ConfigMap 8", "CronJob 1", "Deployment 2", "Ingress 2", "Job 5", "NetworkPolicy 4"],
    ...["PodDisruptionBudget 2", "Secret 5", "Service 6", "ServiceAccount 3", "StatefulSet 1", ...shared],
  ].sort(),
  sanctum: [
    ...["ConfigMap 6", "Deployment 3", "Ingress 3", "Job 1", "NetworkPolicy 3", "PodDisruptionBudget 3"],
    ...["Service 9", "ServiceAccount 2", ...shared],
  ].sort(),
  pod: [
    ...["ConfigMap 4", "Deployment 1", "Ingress 1", "Job 1", "NetworkPolicy 1", "PodDisruptionBudget 1"],
    ...["Service 3", "ServiceAccount 2", ...shared],
  ].sort(),
};

/** Pods of a system in staging, by what they belong to. */
const pods: Readonly<Record<System, Readonly<Record<string, number>>>> = {
  traider: {
    ...{ [`traider-backend-${fingerprint}`]: 2, [`traider-frontend-${fingerprint}`]: 2 },
    ...{ [`traider-worker-${fingerprint}`]: 1, [`traider-backup-${fingerprint}`]: 1 },
    ...{ [`traider-apply-${fingerprint}`]: 1, [`traider-verify-${fingerprint}`]: 1 },
    ...{ [`traider-revert-${fingerprint}`]: 1, "traider-baker": 1 },
  },
  sanctum: {
    ...{ [`sanctum-auth-${fingerprint}`]: 2, [`sanctum-directory-${fingerprint}`]: 2 },
    ...{ [`sanctum-messaging-${fingerprint}`]: 2, "sanctum-baker": 1 },
  },
  pod: { [`pod-mcp-${fingerprint}`]: 1, "pod-baker": 1 },
};

/** Strict: a field that the API does not know is refused, not dropped. */
async function apply(...objects: readonly object[]): Promise<string[]> {
  const items = { apiVersion: "v1", kind: "List", items: objects };
  const words = ["apply", "--server-side", "--validate=strict", "-f", "-"];
  const said = await cluster.kubectl(words, { stdin: JSON.stringify(items), timeoutSeconds: 60 });
  return said.trim().split("\n");
}

const everywhere = systems.flatMap((system) =>
  (["staging", "production"] as const).map((environment): [System, Guarded] => [system, environment]),
);

describeOnCluster("manifests before a real API server", () => {
  beforeAll(async () => {
    const made = await Promise.all([startCluster(), bundleBaker(), vaultProgram()]);
    cluster = made[0];
    programs = { baker: made[1], vault: made[2] };
  }, 600_000);
  afterAll(() => cluster?.stop(), 60_000);

  it.each(everywhere)("of %s in %s are accepted to the last field", async (system, environment) => {
    const objects = objectsOf(system, environment, programs);
    expect(inventoryOf(objects)).toEqual(inventories[system]);
    expect(await apply(...objects)).toHaveLength(objects.length);
  });

  it.each(
    systems,
  )("of %s make pods that a restricted namespace lets in: as many as wanted, of every workload and Job", async (system) => {
    const namespace = namespaceOf(system, "staging");
    const level = "jsonpath={.metadata.labels.pod-security\\.kubernetes\\.io/enforce}";
    expect(await cluster.kubectl(["get", "namespace", namespace, "-o", level])).toBe("restricted");
    for (const { kind, metadata } of objectsOf(system, "staging", programs)) {
      if (kind !== "StatefulSet") continue;
      // A singleton is placed with none: a cutover starts it.
      await cluster.kubectl(["scale", "statefulset", metadata.name, "--replicas=1", "-n", namespace]);
    }
    const wanted = pods[system];
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
    const failed = ["--field-selector", "reason=FailedCreate", "-o", "name"];
    expect(await cluster.kubectl(["get", "events", "-n", namespace, ...failed])).toBe("");
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
