import { createHash, randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { label } from "../../../components/cluster/names.ts";
import { Listener, type Loopback } from "./loopback.ts";
import type { KubernetesObject } from "./objects.ts";

/** A request as whoever plays the service sees it. */
export interface Asked {
  readonly path: string;
  readonly service: string;
  /** Name of the Service that it came through; null: straight to the pod, as kubelet, gates and bake ask. */
  readonly door: string | null;
  /** Of its body. */
  readonly bytes: number;
}

/** How a release answers: a status, or more; null: as it should. */
export type Play = (asked: Asked) => number | Answer | null;

export interface Answer {
  readonly status?: number;
  /** Before it answers. */
  readonly seconds?: number;
  /** What /metrics says of its memory. */
  readonly residentBytes?: number;
  /** What every other path says of the database. @default "healthy" */
  readonly database?: string;
}

/** Seconds that a pod which was told to end is still there. */
const endingMilliseconds = 300;
const bounds = [0.005, 0.05, 0.25, 0.5, 1, 2.5, 5, 10];
let started = 0;

/** One replica of a workload: a process that answers under an address of its own. */
export class Pod {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly release: string;
  readonly service: string;
  /** The workload's uid and the revision of its pods. */
  readonly owner: string;
  readonly revision: string;
  readonly singleton: boolean;
  private readonly uid = randomUUID();
  private readonly workload: KubernetesObject;
  private readonly listener: Listener;
  private readonly play: Play;
  /** Two pods are never of one moment: their metrics are told apart by it. */
  private readonly startedAt = Date.now() / 1000 + (started++ % 1000) / 1000 - 1;
  private readonly seen = new Map<string, { count: number; seconds: number; within: number[] }>();
  private endingSince: string | null = null;
  private wasReady = false;

  static async start(workload: KubernetesObject, index: number, net: Loopback, play: Play): Promise<Pod> {
    const pod = new Pod(workload, index, net, play);
    await pod.listener.listen();
    return pod;
  }

  private constructor(workload: KubernetesObject, index: number, net: Loopback, play: Play) {
    const { kind, metadata } = workload;
    const { labels, container } = templateOf(workload);
    const suffix = kind === "StatefulSet" ? String(index) : randomUUID().slice(0, 5);
    this.name = `${metadata.name}-${suffix}`;
    this.workload = workload;
    this.singleton = kind === "StatefulSet";
    this.labels = labels;
    this.release = labels[label.release] ?? "";
    this.service = labels[label.service] ?? "";
    this.owner = metadata.uid;
    this.revision = revisionOf(workload);
    this.play = play;
    const port = container.ports[0]?.containerPort ?? 8080;
    this.listener = new Listener(net.address(), port, (request, response) => {
      void this.answer(request, response, null);
    });
  }

  get ending(): boolean {
    return this.endingSince !== null;
  }

  get ready(): boolean {
    if (this.ending) return false;
    const { readinessProbe } = templateOf(this.workload).container;
    const { status, seconds } = this.decide({
      path: readinessProbe?.httpGet.path ?? "/",
      door: null,
      bytes: 0,
    });
    const ready = status < 300 && seconds <= (readinessProbe?.timeoutSeconds ?? 1);
    this.wasReady ||= ready;
    return ready;
  }

  /** Answers what came to it, or to a Service that leads to it. */
  async answer(request: IncomingMessage, response: ServerResponse, door: string | null): Promise<void> {
    const [path = "/"] = (request.url ?? "/").split("?");
    const bytes = Number(request.headers["content-length"] ?? 0);
    request.resume();
    const began = performance.now();
    const { status, seconds, residentBytes, database } = this.decide({ path, door, bytes });
    if (seconds > 0) await new Promise((resolve) => setTimeout(resolve, seconds * 1000).unref());
    const { release, service } = this;
    response.writeHead(status, { "x-release": release, "content-type": "application/json" });
    if (path === "/metrics") {
      response.end(this.metrics(residentBytes));
    } else {
      const said = { status: "healthy", database: { status: database }, release, service, path };
      response.end(JSON.stringify(said));
    }
    this.count(path, status, (performance.now() - began) / 1000);
  }

  /** It is told to end, and is gone when this returns. */
  async end(): Promise<void> {
    this.endingSince = new Date().toISOString();
    await new Promise((resolve) => setTimeout(resolve, endingMilliseconds));
    await this.listener.close();
  }

  close(): Promise<void> {
    return this.listener.close();
  }

  object(): KubernetesObject {
    const { ready, labels, name, uid, workload } = this;
    const { namespace = "" } = workload.metadata;
    const deletion = this.endingSince === null ? {} : { deletionTimestamp: this.endingSince };
    return {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, namespace, uid, resourceVersion: uid, labels, ...deletion },
      status: {
        phase: "Running",
        podIP: this.listener.address,
        conditions: [{ type: "Ready", status: ready ? "True" : "False" }],
        containerStatuses: [
          {
            name: this.service,
            restartCount: 0,
            ready,
            started: this.wasReady,
            state: { running: {} },
          },
        ],
      },
    };
  }

  private decide(asked: Omit<Asked, "service">): Required<Answer> {
    const { service } = this;
    const found = this.play({ service, ...asked });
    const given = typeof found === "number" ? { status: found } : found;
    return { status: 200, seconds: 0, residentBytes: 64_000_000, database: "healthy", ...given };
  }

  private count(path: string, status: number, seconds: number): void {
    const key = `path="${path}",status="${status}"`;
    const seen = this.seen.get(key) ?? { count: 0, seconds: 0, within: bounds.map(() => 0) };
    seen.count += 1;
    seen.seconds += seconds;
    for (const [index, bound] of bounds.entries()) if (seconds <= bound) seen.within[index]! += 1;
    this.seen.set(key, seen);
  }

  private metrics(residentBytes: number): string {
    const lines = [
      `process_start_time_seconds ${this.startedAt}`,
      `process_resident_memory_bytes ${residentBytes}`,
    ];
    let requests = 0;
    for (const [key, { count, seconds, within }] of this.seen) {
      requests += count;
      const name = "http_request_duration_seconds";
      lines.push(`http_requests_total{${key}} ${count}`);
      for (const [index, bound] of bounds.entries()) {
        lines.push(`${name}_bucket{${key},le="${bound}"} ${within[index]}`);
      }
      lines.push(`${name}_bucket{${key},le="+Inf"} ${count}`);
      lines.push(`${name}_sum{${key}} ${seconds}`, `${name}_count{${key}} ${count}`);
    }
    lines.push(`process_cpu_seconds_total ${requests / 10_000}`);
    return `${lines.join("\n")}\n`;
  }
}

/** Another text of a workload's pod template means other pods. */
export function revisionOf(workload: KubernetesObject): string {
  return createHash("sha256").update(JSON.stringify(workload.spec?.template)).digest("hex").slice(0, 10);
}

interface Template {
  readonly labels: Readonly<Record<string, string>>;
  readonly container: {
    readonly ports: readonly { readonly containerPort: number }[];
    readonly readinessProbe?: {
      readonly httpGet: { readonly path: string };
      readonly timeoutSeconds?: number;
    };
  };
}

function templateOf({ spec, metadata }: KubernetesObject): Template {
  const template = spec?.template as
    | { metadata?: { labels?: Template["labels"] }; spec?: { containers?: Template["container"][] } }
    | undefined;
  const container = template?.spec?.containers?.[0];
  if (!container) throw new Error(`${metadata.name} has no container`);
  return {
    labels: template?.metadata?.labels ?? {},
    container: { ...container, ports: container.ports ?? [] },
  };
}
