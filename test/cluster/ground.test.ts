import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { children, identify, isAlive, type ProcessIdentity, until } from "../support/box/processes.ts";
import { run } from "../support/box/run.ts";
import { cgroupsNamed } from "../support/cgroups.ts";
import { type Cluster, startCluster } from "../support/cluster/cluster.ts";
import { exampleImages, examplePort } from "../support/cluster/example.ts";
import type { Image } from "../support/cluster/images.ts";
import { cgroupName, clusters, removeLeftovers } from "../support/cluster/records.ts";
import { describeOnCluster } from "../support/cluster/suite.ts";

/** The test ground itself: what the other cluster tests rely on. */

const namespace = "ground";
const serviceAddress = "10.96.1.1";

/** As strict as a namespace can ask for. */
const restrictedPod = {
  runAsNonRoot: true,
  runAsUser: 65532,
  seccompProfile: { type: "RuntimeDefault" },
};
const restrictedContainer = {
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  capabilities: { drop: ["ALL"] },
};

/** Asks the API from a pod with the pod's own account; ends with 0 when the answer was the status it was told to expect. */
const patchProgram = `
  import { readFileSync } from "node:fs";
  import { request } from "node:https";
  const [name, expected] = process.argv.slice(2);
  const mounted = (file) => readFileSync("/var/run/secrets/kubernetes.io/serviceaccount/" + file, "utf8");
  const asked = request({
    host: process.env.KUBERNETES_SERVICE_HOST,
    port: process.env.KUBERNETES_SERVICE_PORT,
    path: "/api/v1/namespaces/" + mounted("namespace") + "/configmaps/" + name,
    method: "PATCH",
    ca: mounted("ca.crt"),
    headers: { authorization: "Bearer " + mounted("token"), "content-type": "application/merge-patch+json" },
  }, (answer) => {
    console.log(answer.statusCode);
    process.exit(answer.statusCode === Number(expected) ? 0 : 1);
  });
  asked.end(JSON.stringify({ data: { by: "the job" } }));
`;

function deployment(release: string, image: Image) {
  const labels = { app: "api", release };
  const container = {
    name: "api",
    image: image.reference,
    imagePullPolicy: "Never",
    env: [{ name: "RELEASE", value: release }],
    readinessProbe: { httpGet: { path: "/health", port: examplePort }, periodSeconds: 1 },
    securityContext: restrictedContainer,
  };
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: `api-${release}`, namespace },
    spec: {
      replicas: 1,
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: {
          automountServiceAccountToken: false,
          securityContext: restrictedPod,
          terminationGracePeriodSeconds: 2,
          containers: [container],
        },
      },
    },
  };
}

function job(name: string, image: Image, words: readonly string[]) {
  const containers = [
    {
      name,
      image: image.reference,
      imagePullPolicy: "Never",
      args: words,
      securityContext: restrictedContainer,
    },
  ];
  return {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: { name, namespace },
    spec: {
      backoffLimit: 0,
      template: {
        spec: {
          serviceAccountName: "patcher",
          restartPolicy: "Never",
          securityContext: restrictedPod,
          containers,
        },
      },
    },
  };
}

/** What the kubelet would set for the whole machine, and folders it would fill there. */
function machine() {
  const settings = ["vm/overcommit_memory", "kernel/panic", "kernel/panic_on_oops"];
  const folders = ["/var/lib/kubelet", "/var/lib/etcd", "/var/lib/cni", "/var/log/pods", "/run/netns"];
  return {
    settings: settings.map((name) => readFileSync(join("/proc/sys", name), "utf8").trim()),
    folders: folders.filter((folder) => existsSync(folder)),
  };
}

function leftOf(name: string): string[] {
  const mounts = readFileSync("/proc/self/mounts", "utf8").split("\n");
  return [
    ...clusters.names().filter((one) => one === name),
    ...cgroupsNamed(cgroupName(name)),
    ...mounts.filter((line) => line.includes(`switchyard-cluster/${name}`)),
  ];
}

function descendants(pid: number): ProcessIdentity[] {
  return children(pid).flatMap((child) => [identify(child) ?? [], descendants(child)].flat());
}

describeOnCluster("a real cluster", () => {
  const before = machine();
  let cluster: Cluster;
  beforeAll(async () => {
    cluster = await startCluster();
    await apply({
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { name: namespace, labels: { "pod-security.kubernetes.io/enforce": "restricted" } },
    });
  });
  afterAll(() => cluster?.stop());

  const apply = (...items: readonly object[]) =>
    cluster.kubectl(["apply", "-f", "-"], {
      stdin: JSON.stringify({ apiVersion: "v1", kind: "List", items }),
    });
  const get = (words: string, path: string) =>
    cluster.kubectl(["get", "--namespace", namespace, ...words.split(" "), "-o", `jsonpath=${path}`]);
  const settled = (condition: string, what: string) =>
    cluster.kubectl(
      ["wait", "--namespace", namespace, `--for=condition=${condition}`, "--timeout=60s", what],
      {
        timeoutSeconds: 70,
      },
    );
  /** Release that answers a new connection to the Service; what curl said when none does. */
  const answering = async () => {
    const words = ["curl", "--silent", "--show-error", "--max-time", "2", `http://${serviceAddress}/`];
    const { code, stdout, stderr } = await cluster.inside(words);
    return code === 0 ? JSON.parse(stdout).release : stderr;
  };

  it("has one node, ready, which this process and its children can ask about", async () => {
    expect(await get("nodes", "{.items[*].metadata.name}")).toBe("node");
    expect(await get("node node", '{.status.conditions[?(@.type=="Ready")].status}')).toBe("True");
    const context = await cluster.kubectl(["config", "current-context"]);
    expect(context.trim()).toBe(cluster.context);
  });

  it("knows who may do what: an account has no rights of its own, a namespace can refuse a careless pod", async () => {
    const account = `--as=system:serviceaccount:${namespace}:default`;
    await expect(cluster.kubectl(["auth", "can-i", "list", "secrets", account])).rejects.toThrow(/no/);
    const careless = { containers: [{ name: "root", image: cluster.nodeImage.reference }] };
    const pod = { apiVersion: "v1", kind: "Pod", metadata: { name: "careless", namespace }, spec: careless };
    await expect(apply(pod)).rejects.toThrow(/violates PodSecurity "restricted/);
  });

  it("runs releases by digest; new connections to their Service go where its selector points", async () => {
    const images = await exampleImages(cluster, ["v1", "v2"]);
    expect(images.v1.reference).toMatch(/^switchyard\.test\/example@sha256:[0-9a-f]{64}$/);
    expect(images.v2.digest).not.toBe(images.v1.digest);
    const selector = { app: "api", release: "v1" };
    const ports = [{ port: 80, targetPort: examplePort }];
    const service = {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "api", namespace },
      spec: { clusterIP: serviceAddress, selector, ports },
    };
    await apply(service, deployment("v1", images.v1), deployment("v2", images.v2));
    for (const release of ["v1", "v2"]) await settled("Available", `deployment/api-${release}`);
    await until(async () => (await answering()) === "v1", 10, "v1 does not answer", 100);
    const patch = JSON.stringify({ spec: { selector: { release: "v2" } } });
    await cluster.kubectl(["patch", "service", "api", "--namespace", namespace, "--patch", patch]);
    await until(async () => (await answering()) === "v2", 10, "v2 does not answer", 100);
    const nodes = await get("pods -l app=api", "{.items[*].spec.nodeName}");
    expect(nodes).toBe("node node");
  });

  it("lets a Job change through the API what its account may, and nothing else", async () => {
    const metadata = { name: "patcher", namespace };
    const group = "rbac.authorization.k8s.io";
    const rule = { apiGroups: [""], resources: ["configmaps"], resourceNames: ["mine"], verbs: ["patch"] };
    const contents = { "/app/patch.mjs": patchProgram };
    const image = await cluster.importImage({ name: "switchyard.test/patch:1", contents });
    const again = await cluster.importImage({ name: "switchyard.test/patch:1", contents });
    expect(again).toEqual(image);
    const map = (name: string) => ({
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name, namespace },
      data: { by: "the test" },
    });
    await apply(
      { apiVersion: "v1", kind: "ServiceAccount", metadata },
      { apiVersion: `${group}/v1`, kind: "Role", metadata, rules: [rule] },
      {
        apiVersion: `${group}/v1`,
        kind: "RoleBinding",
        metadata,
        subjects: [{ kind: "ServiceAccount", ...metadata }],
        roleRef: { apiGroup: group, kind: "Role", name: metadata.name },
      },
      map("mine"),
      map("others"),
      job("allowed", image, ["/app/patch.mjs", "mine", "200"]),
      job("refused", image, ["/app/patch.mjs", "others", "403"]),
    );
    for (const name of ["allowed", "refused"]) await settled("Complete", `job/${name}`);
    expect(await cluster.kubectl(["logs", "--namespace", namespace, "job/refused"])).toBe("403\n");
    expect(await get("configmaps mine others", "{.items[*].data.by}")).toBe("the job the test");
  });

  it("ends with a test run that is killed, and the next start removes what is left of it alone", async () => {
    const program = `
      import { startCluster } from ${JSON.stringify(join(import.meta.dirname, "../support/cluster/cluster.ts"))};
      await startCluster({ name: "orphan" });
      console.log("up");
      setInterval(() => {}, 1000);`;
    const owner = spawn(process.execPath, ["--input-type=module", "--eval", program], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    await once(owner.stdout, "data");
    const supervisor = clusters.read("orphan")!.supervisor!;
    const ofCluster = [supervisor, ...descendants(supervisor.pid)];
    expect(ofCluster.length).toBeGreaterThan(8);
    owner.kill("SIGKILL");
    await until(() => !ofCluster.some(isAlive), 20, "processes of the killed run's cluster go on");
    expect(await removeLeftovers()).toContain("orphan");
    expect(leftOf("orphan")).toEqual([]);
    expect(await answering()).toBe("v2");
  });

  it("leaves the machine as it was", async () => {
    expect(machine()).toEqual(before);
    const name = cluster.name;
    const supervisor = clusters.read(name)!.supervisor!;
    const ofCluster = [supervisor, ...descendants(supervisor.pid)];
    const port = new URL(JSON.parse(readFileSync(cluster.kubeconfig, "utf8")).clusters[0].cluster.server)
      .port;
    await cluster.stop();
    expect(ofCluster.filter(isAlive)).toEqual([]);
    expect(leftOf(name)).toEqual([]);
    expect(machine()).toEqual(before);
    // 7: refused. Nothing listens there any more.
    expect((await run(["curl", "--silent", "--max-time", "2", `https://127.0.0.1:${port}/`])).code).toBe(7);
  });
});
