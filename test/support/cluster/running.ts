import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:https";
import { join } from "node:path";
import { until } from "../box/processes.ts";
import { check, type Finished, run } from "../box/run.ts";
import { nodeAddress, nodeName } from "./addresses.ts";
import type { Cluster, CommandOptions, ImageSource } from "./cluster.ts";
import { contextName } from "./credentials.ts";
import { type Image, layOut } from "./images.ts";
import { nodeLayer, writeLayer } from "./layers.ts";
import { environmentOf, type Programs } from "./programs.ts";
import { type ClusterRecord, clusters, removeCluster } from "./records.ts";
import { pauseName } from "./settings.ts";

/** Of every image but the first ones; replaced by what an image says itself. */
const nodeStart = { entrypoint: ["node"], user: "65532", environment: { NODE_ENV: "production" } };

/** A cluster that is up, by its record. */
export class RunningCluster implements Cluster {
  readonly name: string;
  readonly kubeconfig: string;
  readonly context = contextName;
  readonly enter: readonly string[];
  readonly nodeName = nodeName;
  readonly nodeAddress = nodeAddress;
  readonly kubectlProgram: string;
  /** Number of the first process of its namespaces. */
  readonly first: number;
  readonly #state: string;
  readonly #programs: Programs;

  constructor(record: ClusterRecord, programs: Programs) {
    if (!record.first) throw new Error(`the cluster ${record.name} has no namespaces`);
    this.name = record.name;
    this.first = record.first.pid;
    this.#state = clusters.of(record.name);
    this.#programs = programs;
    this.kubectlProgram = programs.kubectl;
    this.kubeconfig = join(this.#state, "kubeconfig");
    this.enter = ["nsenter", `--net=/proc/${this.first}/ns/net`];
  }

  get #nodeImageFile(): string {
    return join(this.#state, "node-image.json");
  }

  get nodeImage(): Image {
    return JSON.parse(readFileSync(this.#nodeImageFile, "utf8"));
  }

  inside(command: readonly string[], options: CommandOptions = {}): Promise<Finished> {
    const environment = Object.entries(environmentOf(this.#programs)).map((pair) => pair.join("="));
    const namespaces = ["nsenter", `--target=${this.first}`, "--net", "--mount", "--pid"];
    return run([...namespaces, "env", "-i", ...environment, ...command], options);
  }

  kubectl(words: readonly string[], options: CommandOptions = {}): Promise<string> {
    return check([this.kubectlProgram, `--kubeconfig=${this.kubeconfig}`, ...words], options);
  }

  async importImage(source: ImageSource): Promise<Image> {
    const { name, contents, base = "node", ...start } = source;
    if (!/^[a-z0-9-]+\.[a-z0-9.-]+\/[a-z0-9./_-]+:[\w.-]+$/.test(name))
      throw new Error(`an image's name is like switchyard.test/api:v1, found "${name}"`);
    const folder = mkdtempSync(join(this.#state, "image-"));
    try {
      const shared = base === "node" ? [await nodeLayer(this.#programs.busybox)] : [];
      const own =
        Object.keys(contents).length > 0 ? [await writeLayer(join(folder, "layer.tar"), contents)] : [];
      const started = base === "node" ? { ...nodeStart, ...start } : start;
      // 130 MB that need not be read again for each image.
      const known = existsSync(this.#nodeImageFile) ? shared.map(({ digest }) => digest) : [];
      const laidOut = join(folder, "image");
      const image = layOut(laidOut, name, [...shared, ...own], started, known);
      const script = 'tar -C "$1" --dereference -cf - . | ctr -n k8s.io images import --local -';
      const done = await this.inside(["sh", "-c", script, "sh", laidOut]);
      if (done.code !== 0) throw new Error(`the image ${name} could not be imported: ${done.stderr}`);
      return image;
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }

  stop(): Promise<void> {
    return removeCluster(this.name);
  }

  /** The image of pods' first containers, and the one that others are based on. */
  async importFirstImages(): Promise<void> {
    const socket = `/proc/${this.first}/root/run/containerd/containerd.sock`;
    await until(() => existsSync(socket), 60, "containerd does not start");
    const contents = { "/bin/busybox": { copyOf: this.#programs.busybox } };
    const entrypoint = ["/bin/busybox", "tail", "-f", "/dev/null"];
    const image = await this.importImage({ name: "switchyard.test/node:24", contents: {} });
    await this.importImage({ name: pauseName, base: "nothing", contents, entrypoint });
    writeFileSync(this.#nodeImageFile, JSON.stringify(image));
  }

  /** Waits until the API is whole, the node takes pods, and pods get their ServiceAccount. */
  async waitUntilReady(): Promise<void> {
    const { token, server, certificate } = this.#access();
    let last = "";
    const ask = async (path: string) => {
      const answer = await get(new URL(path, server), token, certificate);
      last = `${path}: ${answer.slice(0, 500)}`;
      return answer;
    };
    const isReady = async () => {
      if ((await ask("/readyz")) !== "ok") return false;
      const node = JSON.parse(await ask(`/api/v1/nodes/${nodeName}`));
      const conditions: { type: string; status: string }[] = node.status?.conditions ?? [];
      if (!conditions.some(({ type, status }) => type === "Ready" && status === "True")) return false;
      // Taken away by a controller once the node is ready: until then nothing is scheduled.
      if (node.spec?.taints) return false;
      return (await ask("/api/v1/namespaces/default/serviceaccounts/default")).includes('"ServiceAccount"');
    };
    await until(isReady, 120, "the node does not become ready", 50).catch((error) => {
      throw new Error(`${error.message}; last answer: ${last}`);
    });
  }

  #access(): { token: string; server: string; certificate: string } {
    const config = JSON.parse(readFileSync(this.kubeconfig, "utf8"));
    const cluster = config.clusters[0].cluster;
    const certificate = Buffer.from(cluster["certificate-authority-data"], "base64").toString();
    return { token: config.users[0].user.token, server: cluster.server, certificate };
  }
}

/** The body of the answer, whatever its status; empty when there is none. */
function get(url: URL, token: string, ca: string): Promise<string> {
  return new Promise((resolve) => {
    const asked = request(
      url,
      { ca, headers: { authorization: `Bearer ${token}` }, timeout: 5000 },
      (answer) => {
        const parts: string[] = [];
        answer.setEncoding("utf8").on("data", (text: string) => parts.push(text));
        answer.once("close", () => resolve(parts.join("")));
      },
    );
    asked.once("timeout", () => asked.destroy());
    asked.once("error", () => resolve(""));
    asked.end();
  });
}
