import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { BakerRequest } from "../../../components/cluster/baker/request.ts";
import { bundleBaker } from "../../../components/cluster/bundle.ts";
import { label } from "../../../components/cluster/names.ts";
import type { ClusterPolicy } from "../../../components/cluster/policy.ts";
import type { KubernetesObject, Members, Objects, Place } from "./objects.ts";

export interface JobsArgs {
  readonly objects: Objects;
  /** Port of the API on 127.0.0.1. */
  readonly port: () => number;
  /** What the bakers take for their policy's: a first bake in production lasts five minutes. */
  readonly policy: () => Partial<ClusterPolicy>;
  /** Why a Job of that name (`backup v2`) fails; null: it does not. */
  readonly failureOf: (name: string) => string | null;
  readonly said: (what: string) => void;
}

interface JobPod {
  readonly name: string;
  readonly uid: string;
  restarts: number;
  phase: "Running" | "Succeeded" | "Failed";
  state: Members;
  log: string;
}

/** Jobs as the clusters run them: of a baker the real program, of a migration what the test says. */
export class Jobs {
  private readonly args: JobsArgs;
  private readonly folder = mkdtempSync(join(tmpdir(), "switchyard-bakers-"));
  /** By the Job's uid. */
  private readonly pods = new Map<string, JobPod>();
  private readonly children = new Map<string, ChildProcess>();
  private program: Promise<string> | null = null;

  constructor(args: JobsArgs) {
    this.args = args;
  }

  async start(place: Place, context: string, job: KubernetesObject): Promise<void> {
    const { uid, name } = job.metadata;
    const pod: JobPod = {
      name: `${name}-${randomUUID().slice(0, 5)}`,
      uid: randomUUID(),
      restarts: 0,
      phase: "Running",
      state: { running: {} },
      log: "",
    };
    this.pods.set(uid, pod);
    if (containerOf(job).name === "baker") return this.bake(place, context, job, pod);
    const { [label.release]: release = "" } = job.metadata.labels ?? {};
    const step = `${containerOf(job).name} ${release}`;
    const failure = this.args.failureOf(step);
    this.args.said(`job ${step}${failure === null ? "" : " failed"}`);
    pod.log = `starting\n${failure ?? `done: ${step}`}\n`;
    // As with FallbackToLogsOnError: only one that failed has its log for its last message.
    if (failure === null) this.end(place, job, pod, { exitCode: 0 });
    else this.end(place, job, pod, { exitCode: 1, message: pod.log });
  }

  /** Its pod ends with it. */
  async remove(uid: string): Promise<void> {
    this.pods.delete(uid);
    const child = this.children.get(uid);
    if (!child) return;
    this.children.delete(uid);
    child.kill("SIGKILL");
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  }

  async stop(): Promise<void> {
    for (const uid of [...this.children.keys()]) await this.remove(uid);
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** Pods of the Jobs that are there. */
  podsOf(place: Place): KubernetesObject[] {
    return this.args.objects.list("Job", place).flatMap((job) => {
      const pod = this.pods.get(job.metadata.uid);
      if (!pod) return [];
      const { name, uid, restarts: restartCount, phase, state } = pod;
      const labels = {
        ...templateOf(job).metadata?.labels,
        "batch.kubernetes.io/job-name": job.metadata.name,
      };
      const { namespace } = place;
      return [
        {
          apiVersion: "v1",
          kind: "Pod",
          metadata: { name, namespace, uid, resourceVersion: uid, labels },
          status: { phase, containerStatuses: [{ name: containerOf(job).name, restartCount, state }] },
        },
      ];
    });
  }

  /** What the pod of that name wrote; undefined where none of a Job has it. */
  logOf(name: string): string | undefined {
    return [...this.pods.values()].find((pod) => pod.name === name)?.log;
  }

  /** The real program as a process of this machine, started again while its Job allows. */
  private async bake(place: Place, context: string, job: KubernetesObject, pod: JobPod): Promise<void> {
    this.program ??= bundleBaker().then((text) => {
      const path = join(this.folder, "baker.cjs");
      writeFileSync(path, text);
      return path;
    });
    const program = await this.program;
    const lastWords = join(this.folder, `${pod.name}.txt`);
    const inPod = new URL("in-pod.ts", import.meta.url).href;
    const words = ["--disable-warning=ExperimentalWarning", `--import=${inPod}`, program];
    const child = spawn(process.execPath, words, {
      env: {
        PATH: process.env.PATH,
        ...this.environmentOf(place, job, pod),
        KUBERNETES_SERVICE_HOST: "127.0.0.1",
        KUBERNETES_SERVICE_PORT: String(this.args.port()),
        SWITCHYARD_TEST_TOKEN: context,
        SWITCHYARD_TEST_LAST_WORDS: lastWords,
      },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const { uid } = job.metadata;
    this.children.set(uid, child);
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        pod.log += text;
      });
    }
    child.once("close", (exitCode) => {
      if (this.children.get(uid) !== child) return;
      this.children.delete(uid);
      const again = exitCode !== 0 && Number(job.spec?.backoffLimit ?? 6) > 0;
      if (!again) return this.end(place, job, pod, { exitCode: exitCode ?? 137, message: read(lastWords) });
      pod.restarts += 1;
      void this.bake(place, context, job, pod);
    });
  }

  private environmentOf(place: Place, job: KubernetesObject, pod: JobPod): Record<string, string> {
    const fields: Readonly<Record<string, string>> = {
      "metadata.namespace": place.namespace,
      "metadata.name": pod.name,
    };
    const named = (containerOf(job).env ?? []).map(({ name, value, valueFrom }): [string, string] => [
      name,
      value ?? fields[valueFrom?.fieldRef.fieldPath ?? ""] ?? "",
    ]);
    const environment = Object.fromEntries(named);
    const request = JSON.parse(environment.SWITCHYARD_REQUEST ?? "{}") as BakerRequest;
    const policy = { ...request.policy, ...this.args.policy() };
    return { ...environment, SWITCHYARD_REQUEST: JSON.stringify({ ...request, policy }) };
  }

  private end(
    place: Place,
    job: KubernetesObject,
    pod: JobPod,
    how: { readonly exitCode: number; readonly message?: string },
  ): void {
    const ok = how.exitCode === 0;
    pod.phase = ok ? "Succeeded" : "Failed";
    pod.state = { terminated: { reason: ok ? "Completed" : "Error", ...how } };
    const { name, uid } = job.metadata;
    if (this.args.objects.find("Job", place, name)?.metadata.uid !== uid) return;
    const conditions = [
      {
        type: ok ? "Complete" : "Failed",
        status: "True",
        ...(ok ? {} : { message: "Job has reached its limit" }),
      },
    ];
    this.args.objects.patch(place, "Job", name, { status: { conditions } });
  }
}

interface Container {
  readonly name: string;
  readonly env?: readonly {
    readonly name: string;
    readonly value?: string;
    readonly valueFrom?: { readonly fieldRef: { readonly fieldPath: string } };
  }[];
}

function templateOf({ spec }: KubernetesObject) {
  return spec?.template as {
    readonly metadata?: { readonly labels?: Readonly<Record<string, string>> };
    readonly spec: { readonly containers: readonly Container[] };
  };
}

function containerOf(job: KubernetesObject): Container {
  const [container] = templateOf(job).spec.containers;
  if (!container) throw new Error(`Job ${job.metadata.name} has no container`);
  return container;
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
