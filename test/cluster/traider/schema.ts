import type { LiveObject } from "../../../components/cluster/api.ts";
import type { Cluster } from "../../support/cluster/cluster.ts";
import type { World } from "./world.ts";

/**
 * A database as migrations see it: a pod that has a schema of some number and writes down who changed it. The steps of a
 * migration are Jobs of the program's, and ask it from inside the cluster.
 */

const namespace = "database";
const address = "10.96.1.50";
/** In the environment of the migrations' Jobs. */
export const schemaUrl = `http://${address}:8080`;

/** The release whose migration does not verify. */
export const spoiled = "v4-spoiled";

const server = `
let schema = 1;
const asked = [];
const steps = {
  backup: (release) => [200, "schema " + schema + " is at /backups/" + release],
  apply: () => [200, "schema " + (schema += 1)],
  verify: (release) => release === "${spoiled}" ? [409, "3 rows are missing"] : [200, "all rows are there"],
  revert: () => [200, "schema " + (schema -= 1)],
};
require("node:http").createServer(({ url }, response) => {
  const [, step, release] = url.split("/");
  if (!(step in steps)) return response.end(JSON.stringify({ schema, asked }));
  asked.push(step + " " + release);
  const [status, text] = steps[step](release);
  response.writeHead(status).end(text);
}).listen(8080);
`;

const client = `
fetch(process.env.SCHEMA_URL + "/" + process.argv[1] + "/" + process.env.RELEASE).then(async (answer) => {
  console.log(await answer.text());
  process.exit(answer.ok ? 0 : 1);
});
`;

const step = (name: string) => ["node", "-e", client, name];

/** `traider:migration`, whose image is the release's own. */
export const migration = {
  repository: "switchyard.test/example",
  backup: step("backup"),
  apply: step("apply"),
  verify: step("verify"),
  revert: step("revert"),
  seconds: 120,
};

/** Puts the database on the node and waits until it answers. */
export async function startSchema(cluster: Cluster): Promise<void> {
  const labels = { app: "schema" };
  const image = cluster.nodeImage.reference;
  const containers = [{ name: "schema", image, imagePullPolicy: "Never", args: ["-e", server] }];
  const items = [
    { apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } },
    { apiVersion: "v1", kind: "Pod", metadata: { name: "schema", namespace, labels }, spec: { containers } },
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "schema", namespace },
      spec: { clusterIP: address, selector: labels, ports: [{ port: 8080 }] },
    },
  ];
  const list = JSON.stringify({ apiVersion: "v1", kind: "List", items });
  await cluster.kubectl(["apply", "--server-side", "-f", "-"], { stdin: list });
  const ready = ["wait", "-n", namespace, "--for=condition=Ready", "pod/schema", "--timeout=60s"];
  await cluster.kubectl(ready, { timeoutSeconds: 90 });
}

export interface Schema {
  readonly schema: number;
  /** `<step> <release>`, in order. */
  readonly asked: readonly string[];
}

export async function readSchema(cluster: Cluster): Promise<Schema> {
  const { code, stdout, stderr } = await cluster.inside(["curl", "-sS", "-m", "10", `${schemaUrl}/`]);
  if (code !== 0) throw new Error(`the database does not answer: ${stderr}`);
  return JSON.parse(stdout) as Schema;
}

export interface RanStep {
  readonly phase: string;
  /** Milliseconds; Kubernetes says whole seconds. */
  readonly started: number;
  readonly finished: number;
}

/** The pods that the steps of a release's migration have run in, by step; each step has one. */
export async function migrationPods(
  { api, cluster }: World,
  release: string,
): Promise<Record<string, RanStep>> {
  type Pod = LiveObject & {
    spec: { nodeName: string; containers: { name: string }[] };
    status: {
      phase: string;
      containerStatuses?: { state: { terminated?: { startedAt: string; finishedAt: string } } }[];
    };
  };
  const labels = `switchyard.dev/release=${release},switchyard.dev/part=migration`;
  const pods = await api.list<Pod>("Pod", labels);
  const steps: Record<string, RanStep> = {};
  for (const { spec, status } of pods) {
    const [{ name: step = "" } = {}] = spec.containers;
    if (spec.nodeName !== cluster.nodeName) throw new Error(`${step} of ${release} ran on no node`);
    if (steps[step]) throw new Error(`${step} of ${release} ran in more than one pod`);
    const ended = status.containerStatuses?.[0]?.state.terminated;
    const [started, finished] = [ended?.startedAt, ended?.finishedAt].map((at) => Date.parse(at ?? ""));
    steps[step] = { phase: status.phase, started: started ?? Number.NaN, finished: finished ?? Number.NaN };
  }
  return steps;
}

/** When the workloads of a release were made, by name without fingerprint; empty where none is there. */
export async function workloadsOf({ api }: World, release: string): Promise<Record<string, number>> {
  const found = await Promise.all(
    ["Deployment", "StatefulSet"].map((kind) => api.list(kind, `switchyard.dev/release=${release}`)),
  );
  return Object.fromEntries(
    found.flat().map(({ metadata }) => {
      const { name, creationTimestamp = "" } = metadata as typeof metadata & { creationTimestamp?: string };
      return [name.replace(/-[0-9a-f]{12}$/, ""), Date.parse(creationTimestamp)];
    }),
  );
}
