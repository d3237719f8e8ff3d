import { describe, expect, it } from "vitest";
import type { ClusterMigration } from "../../../components/cluster/manifest.ts";
import { bakerJob, bakerJobFor } from "../../../components/cluster/objects/baker.ts";
import { groundObjects } from "../../../components/cluster/objects/ground.ts";
import { type KubernetesObject, manifestFiles } from "../../../components/cluster/objects/object.ts";
import { migrationJob, releaseObjects } from "../../../components/cluster/objects/release.ts";
import { manifestOf, policy, releaseOf } from "./releases.ts";

const inventory = (objects: readonly KubernetesObject[]) =>
  objects.map(({ kind, metadata }) => `${kind} ${metadata.name}`);
const find = (objects: readonly KubernetesObject[], kind: string, name: string) => {
  const found = objects.find((object) => object.kind === kind && object.metadata.name === name);
  if (!found) throw new Error(`no ${kind} ${name} among ${inventory(objects).join(", ")}`);
  return found;
};
const podOf = (object: KubernetesObject) =>
  (object.spec as { template: { spec: Record<string, unknown> & { containers: Record<string, unknown>[] } } })
    .template.spec;

const release = releaseOf("v1", "abcdef012345");
const objects = releaseObjects(release, policy.replicas, { TOKEN: "s3cret" });

describe("what a release is on a cluster", () => {
  it("is exactly these objects, the record first, what runs last", () => {
    expect(inventory(objects)).toEqual([
      "ConfigMap shop-abcdef012345",
      "ServiceAccount shop-abcdef012345",
      "Role shop-baker-abcdef012345",
      "RoleBinding shop-baker-abcdef012345",
      "ConfigMap shop-api-abcdef012345",
      "Secret shop-api-abcdef012345",
      "NetworkPolicy shop-api-abcdef012345",
      "PodDisruptionBudget shop-api-abcdef012345",
      "ConfigMap shop-web-abcdef012345",
      "NetworkPolicy shop-web-abcdef012345",
      "PodDisruptionBudget shop-web-abcdef012345",
      "ConfigMap shop-worker-abcdef012345",
      "NetworkPolicy shop-worker-abcdef012345",
      "Deployment shop-api-abcdef012345",
      "Deployment shop-web-abcdef012345",
      "StatefulSet shop-worker-abcdef012345",
    ]);
    expect(new Set(objects.map(({ metadata }) => metadata.namespace))).toEqual(new Set(["shop-prod"]));
  });

  it("shares no name with another release of the system", () => {
    const others = releaseObjects(releaseOf("v2", "999999999999"), policy.replicas, {});
    const common = inventory(others).filter((name) => inventory(objects).includes(name));
    expect(common).toEqual([]);
  });

  it("selects pods by the fingerprint, never by the colour", () => {
    const { spec } = find(objects, "Deployment", "shop-api-abcdef012345");
    expect(spec?.selector).toEqual({
      matchLabels: {
        "switchyard.dev/system": "shop",
        "switchyard.dev/service": "api",
        "switchyard.dev/fingerprint": "abcdef012345",
      },
    });
  });

  it("has as many pods as the policy wants; a singleton none until a cutover starts it", () => {
    expect(find(objects, "Deployment", "shop-api-abcdef012345").spec?.replicas).toBe(2);
    expect(find(objects, "StatefulSet", "shop-worker-abcdef012345").spec?.replicas).toBe(0);
  });

  it("replaces pods without one too few, so that it can take traffic at any moment", () => {
    const { spec } = find(objects, "Deployment", "shop-web-abcdef012345");
    expect(spec?.strategy).toEqual({
      type: "RollingUpdate",
      rollingUpdate: { maxSurge: "100%", maxUnavailable: 0 },
    });
  });

  it("drains for five seconds, probes three ways, and gets what it may use", () => {
    const pod = podOf(find(objects, "Deployment", "shop-web-abcdef012345"));
    expect(pod.terminationGracePeriodSeconds).toBe(25);
    const [container] = pod.containers;
    expect(container).toMatchObject({
      lifecycle: { preStop: { sleep: { seconds: 5 } } },
      startupProbe: { httpGet: { path: "/health", port: "http" } },
      readinessProbe: { httpGet: { path: "/health", port: "http" } },
      livenessProbe: { httpGet: { path: "/health", port: "http" } },
      resources: { requests: { cpu: "500m", memory: "512Mi" }, limits: { cpu: "500m", memory: "512Mi" } },
      env: [
        { name: "PORT", value: "3000" },
        { name: "RELEASE", value: "v1" },
      ],
    });
    const worker = podOf(find(objects, "StatefulSet", "shop-worker-abcdef012345")).containers[0];
    expect(worker?.lifecycle).toBeUndefined();
  });

  it("runs every container of every kind under restricted security, without a token", () => {
    const migration: ClusterMigration = {
      image: "m@sha256:1",
      backup: ["b"],
      apply: ["a"],
      verify: ["v"],
      revert: ["r"],
      environment: {},
      secrets: {},
      seconds: 60,
    };
    const jobs = (["backup", "apply", "verify", "revert"] as const).map((step) =>
      migrationJob(release, migration, step),
    );
    const workloads = objects.filter(({ kind }) => ["Deployment", "StatefulSet"].includes(kind));
    for (const pod of [...workloads, ...jobs].map(podOf)) {
      expect(pod.automountServiceAccountToken).toBe(false);
      expect(pod.securityContext).toMatchObject({
        runAsNonRoot: true,
        seccompProfile: { type: "RuntimeDefault" },
      });
      for (const { securityContext } of pod.containers) {
        expect(securityContext).toEqual({
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ["ALL"] },
        });
      }
    }
  });

  it("holds a secret's value in its Secret and nowhere else", () => {
    const holders = objects.filter((object) => JSON.stringify(object).includes("s3cret"));
    expect(inventory(holders)).toEqual(["Secret shop-api-abcdef012345"]);
  });

  it("keeps a setting byte for byte, and frozen", () => {
    const settings = find(objects, "ConfigMap", "shop-api-abcdef012345");
    expect(settings).toMatchObject({ immutable: true, data: { GREETING: "hello; $HOME 'quoted'\n" } });
  });

  it("lets the baker touch the workloads of the release by name, nothing else", () => {
    expect(find(objects, "Role", "shop-baker-abcdef012345").rules).toEqual([
      {
        apiGroups: ["apps"],
        resources: ["deployments"],
        resourceNames: ["shop-api-abcdef012345", "shop-web-abcdef012345"],
        verbs: ["get", "patch"],
      },
      {
        apiGroups: ["apps"],
        resources: ["statefulsets"],
        resourceNames: ["shop-worker-abcdef012345"],
        verbs: ["get", "patch"],
      },
    ]);
  });

  it("reaches no cloud machine's credentials; a singleton is reached by the baker alone", () => {
    const policies = objects.filter(({ kind }) => kind === "NetworkPolicy");
    for (const { spec } of policies) expect(JSON.stringify(spec?.egress)).toContain("169.254.169.254/32");
    expect(find(objects, "NetworkPolicy", "shop-worker-abcdef012345").spec?.ingress).toEqual([
      {
        ports: [{ protocol: "TCP", port: 8000 }],
        from: [
          {
            podSelector: {
              matchLabels: { "switchyard.dev/system": "shop", "switchyard.dev/part": "baker" },
            },
          },
        ],
      },
    ]);
  });

  it("has migration settings of its own where it migrates", () => {
    const migration = {
      ...({ image: "m", seconds: 60 } as ClusterMigration),
      environment: { A: "1" },
      secrets: { TOKEN: "r" },
    };
    const migrating = { ...release, manifest: manifestOf("v1", { migration }) };
    expect(inventory(releaseObjects(migrating, {}, { TOKEN: "x" })).slice(4, 6)).toEqual([
      "ConfigMap shop-migration-abcdef012345",
      "Secret shop-migration-abcdef012345",
    ]);
  });
});

describe("what belongs to the system", () => {
  const ground = {
    system: "shop",
    namespace: "shop-prod",
    bakerImage: "node@sha256:0",
    bakerProgram: "run()",
    policy,
    doors: [
      {
        service: "api",
        port: 80,
        hosts: { live: "api.shop.example", blue: "blue-api.shop.example", green: "green-api.shop.example" },
      },
      { service: "web", port: 80 },
    ],
  };
  const objects = groundObjects(ground);

  it("is exactly these objects, the namespace first", () => {
    expect(inventory(objects)).toEqual([
      "Namespace shop-prod",
      "ConfigMap shop-policy",
      "ConfigMap shop-baker",
      "ServiceAccount shop-baker",
      "Role shop-baker",
      "RoleBinding shop-baker",
      "Service shop-api",
      "Service shop-api-blue",
      "Service shop-api-green",
      "Ingress shop-api",
      "Service shop-web",
      "Service shop-web-blue",
      "Service shop-web-green",
    ]);
  });

  it("enforces restricted pod security on the namespace", () => {
    expect(objects[0]?.metadata.labels).toMatchObject({ "pod-security.kubernetes.io/enforce": "restricted" });
  });

  it("makes Services that select nothing, and that the engine does not wait for", () => {
    for (const { metadata, spec } of objects.filter(({ kind }) => kind === "Service")) {
      expect((spec?.selector as Record<string, string>)["switchyard.dev/fingerprint"]).toBe("none");
      expect(metadata.annotations).toEqual({ "pulumi.com/skipAwait": "true" });
    }
  });

  it("gives each colour a host name of its own (TRD-3)", () => {
    const rules = find(objects, "Ingress", "shop-api").spec?.rules as {
      host: string;
      http: { paths: { backend: { service: { name: string } } }[] };
    }[];
    expect(rules.map(({ host, http }) => [host, http.paths[0]?.backend.service.name])).toEqual([
      ["api.shop.example", "shop-api"],
      ["blue-api.shop.example", "shop-api-blue"],
      ["green-api.shop.example", "shop-api-green"],
    ]);
  });

  it("names whatever the baker may change", () => {
    const rules = find(objects, "Role", "shop-baker").rules as {
      verbs: string[];
      resourceNames?: string[];
    }[];
    const unnamed = rules.filter(({ resourceNames }) => resourceNames === undefined);
    expect(unnamed).toEqual([{ apiGroups: [""], resources: ["pods"], verbs: ["list"] }]);
    expect(rules.flatMap(({ verbs }) => verbs)).not.toContain("*");
    expect(rules.some((rule) => JSON.stringify(rule).includes("secrets"))).toBe(false);
  });

  it("hands the baker its request in its Job, and only there", () => {
    const template = bakerJob(ground);
    const job = bakerJobFor(template, { id: "1" });
    expect(JSON.stringify(job)).toContain('"value":"{\\"id\\":\\"1\\"}"');
    expect(JSON.stringify(template)).not.toContain("SWITCHYARD_REQUEST");
  });
});

it("writes objects as files whose names keep the order in which they are applied", () => {
  const files = manifestFiles(objects.slice(0, 2));
  expect(files.map(({ name }) => name)).toEqual([
    "01-configmap-shop-abcdef012345.json",
    "02-serviceaccount-shop-abcdef012345.json",
  ]);
  expect(JSON.parse(files[0]?.text ?? "")).toEqual(objects[0]);
});
