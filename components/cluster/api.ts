import { request as plainRequest } from "node:http";
import { Agent, type RequestOptions, request } from "node:https";
import type { KubernetesObject } from "./objects/object.ts";

/** Where an API server is and how one speaks to it; made by `connect.ts` on the runner, from a token in the cluster. */
export interface Connection {
  readonly origin: string;
  /** TLS and credentials for each request: tokens change while a process lives. */
  readonly options: () => Promise<RequestOptions>;
}

/** What the API server said no with. */
export class ApiError extends Error {
  readonly status: number;

  constructor(what: string, status: number, message: string) {
    super(`${what}: ${message || `HTTP ${status}`}`);
    this.name = "ApiError";
    this.status = status;
  }
}

/** No answer came at all. */
export class NoAnswerError extends Error {
  /** It was asked over a connection that an earlier request had left open. */
  readonly wasKept: boolean;

  constructor(message: string, wasKept = false) {
    super(message);
    this.name = "NoAnswerError";
    this.wasKept = wasKept;
  }
}

/** An object as the API server returns it; only what this program reads of it. */
export interface LiveObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly uid: string;
    readonly resourceVersion: string;
    readonly generation?: number;
    readonly creationTimestamp?: string;
    readonly deletionTimestamp?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
}

/** The few kinds this program speaks of, each with its path. */
const collections: Readonly<Record<string, string>> = {
  ConfigMap: "api/v1/namespaces/{}/configmaps",
  Secret: "api/v1/namespaces/{}/secrets",
  Service: "api/v1/namespaces/{}/services",
  ServiceAccount: "api/v1/namespaces/{}/serviceaccounts",
  Pod: "api/v1/namespaces/{}/pods",
  Namespace: "api/v1/namespaces",
  Deployment: "apis/apps/v1/namespaces/{}/deployments",
  StatefulSet: "apis/apps/v1/namespaces/{}/statefulsets",
  Job: "apis/batch/v1/namespaces/{}/jobs",
  CronJob: "apis/batch/v1/namespaces/{}/cronjobs",
  Lease: "apis/coordination.k8s.io/v1/namespaces/{}/leases",
  PodDisruptionBudget: "apis/policy/v1/namespaces/{}/poddisruptionbudgets",
  NetworkPolicy: "apis/networking.k8s.io/v1/namespaces/{}/networkpolicies",
  Ingress: "apis/networking.k8s.io/v1/namespaces/{}/ingresses",
  Role: "apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles",
  RoleBinding: "apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings",
};

/**
 * The Kubernetes API, as little of it as this program needs, over Node's own client: the same in the runner and in the
 * baker, whose whole program has to fit into a ConfigMap. Every request is bounded.
 */
export class ClusterApi {
  readonly namespace: string;
  private readonly connection: Connection;
  private readonly seconds: number;

  /** @param seconds bound of each request. @default 10 */
  constructor(connection: Connection, namespace: string, seconds = 10) {
    this.connection = connection;
    this.namespace = namespace;
    this.seconds = seconds;
  }

  /** Null where there is none of that name. */
  async find<T extends LiveObject>(kind: string, name: string): Promise<T | null> {
    try {
      return await this.call<T>("GET", this.path(kind, name));
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return null;
      throw error;
    }
  }

  async list<T extends LiveObject>(kind: string, labels: string): Promise<T[]> {
    const path = `${this.path(kind)}?labelSelector=${encodeURIComponent(labels)}`;
    return (await this.call<{ items: T[] }>("GET", path)).items;
  }

  /** Null where there already is one of that name. */
  async create<T extends LiveObject>(object: KubernetesObject): Promise<T | null> {
    try {
      return await this.call<T>("POST", `${this.path(object.kind)}?fieldManager=switchyard`, object);
    } catch (error) {
      if (error instanceof ApiError && error.status === 409) return null;
      throw error;
    }
  }

  /** Null where it was changed since `object` was read (its resourceVersion says so). */
  async replace<T extends LiveObject>(object: T): Promise<T | null> {
    try {
      const path = `${this.path(object.kind, object.metadata.name)}?fieldManager=switchyard`;
      return await this.call<T>("PUT", path, object);
    } catch (error) {
      if (error instanceof ApiError && error.status === 409) return null;
      throw error;
    }
  }

  /** Merges: null takes a member away, lists are replaced. */
  async patch<T extends LiveObject>(kind: string, name: string, change: object): Promise<T> {
    const path = `${this.path(kind, name)}?fieldManager=switchyard`;
    return this.call<T>("PATCH", path, change, "application/merge-patch+json");
  }

  /** Makes the object what is given, whoever made it before (server-side apply). */
  async apply<T extends LiveObject>(object: KubernetesObject): Promise<T> {
    const path = `${this.path(object.kind, object.metadata.name)}?fieldManager=switchyard-placed&force=true`;
    return this.call<T>("PATCH", path, object, "application/apply-patch+yaml");
  }

  /** Also where there is none. @param uid deletes this very object only */
  async remove(kind: string, name: string, uid?: string): Promise<void> {
    const preconditions = uid === undefined ? {} : { preconditions: { uid } };
    const options = {
      kind: "DeleteOptions",
      apiVersion: "v1",
      propagationPolicy: "Background",
      ...preconditions,
    };
    try {
      await this.call("DELETE", this.path(kind, name), options);
    } catch (error) {
      if (!(error instanceof ApiError) || ![404, 409].includes(error.status)) throw error;
    }
  }

  /** The last lines a container wrote; "" where there are none to be had. */
  async logs(pod: string, container: string, lines: number, previous = false): Promise<string> {
    const path = `${this.path("Pod", pod)}/log?container=${container}&tailLines=${lines}&previous=${previous}`;
    try {
      return await this.exchange("GET", path);
    } catch (error) {
      if (error instanceof ApiError) return "";
      throw error;
    }
  }

  private path(kind: string, name?: string): string {
    const collection = collections[kind];
    if (!collection)
      throw new Error(`${kind} is no kind that this program knows: ${Object.keys(collections)}`);
    return `/${collection.replace("{}", this.namespace)}${name === undefined ? "" : `/${name}`}`;
  }

  private async call<T>(method: string, path: string, body?: object, type = "application/json"): Promise<T> {
    return JSON.parse(await this.exchange(method, path, body, type)) as T;
  }

  private async exchange(
    method: string,
    path: string,
    body?: object,
    type = "application/json",
  ): Promise<string> {
    try {
      return await this.exchangeOnce(method, path, body, type);
    } catch (error) {
      // The server closed a kept connection at the moment it was used: what may be said twice is said again.
      const again = error instanceof NoAnswerError && error.wasKept && ["GET", "PATCH"].includes(method);
      if (!again) throw error;
      return this.exchangeOnce(method, path, body, type);
    }
  }

  /** A kubeconfig may name a program that asks the network for a token. */
  private async inTime<T>(work: Promise<T>, what: string): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      const error = new NoAnswerError(`${what}: no answer within ${this.seconds} s`);
      timer = setTimeout(() => reject(error), this.seconds * 1000);
    });
    return Promise.race([work, late]).finally(() => clearTimeout(timer));
  }

  private async exchangeOnce(
    method: string,
    path: string,
    body: object | undefined,
    type: string,
  ): Promise<string> {
    const { origin, options } = this.connection;
    const common = await this.inTime(options(), `${origin}: its credentials`);
    const text = body === undefined ? undefined : JSON.stringify(body);
    const headers = {
      ...common.headers,
      ...(text === undefined ? {} : { "content-type": type, "content-length": Buffer.byteLength(text) }),
    } as Record<string, string>;
    const url = new URL(path, origin);
    const open = url.protocol === "http:" ? plainRequest : request;
    return new Promise((resolve, reject) => {
      const signal = AbortSignal.timeout(this.seconds * 1000);
      const what = `${method} ${url.pathname}`;
      const fail = (error: Error) => {
        const why = signal.aborted ? `no answer within ${this.seconds} s` : error.message;
        reject(new NoAnswerError(`${url.origin}: ${what}: ${why}`, !signal.aborted && sent.reusedSocket));
      };
      const sent = open(
        url,
        { ...common, method, headers, signal, agent: common.agent ?? agentFor(url) },
        (answer) => {
          let received = "";
          answer.setEncoding("utf8").on("data", (chunk: string) => {
            received += chunk;
          });
          answer.once("error", fail);
          answer.once("end", () => {
            const status = answer.statusCode ?? 0;
            if (status >= 200 && status < 300) resolve(received);
            else reject(new ApiError(what, status, messageOf(received)));
          });
        },
      );
      sent.once("error", fail);
      sent.end(text);
    });
  }
}

const kept = new Agent({ keepAlive: true });

function agentFor(url: URL): Agent | undefined {
  return url.protocol === "https:" ? kept : undefined;
}

function messageOf(text: string): string {
  try {
    return (JSON.parse(text) as { message?: string }).message ?? "";
  } catch {
    return text.slice(0, 200);
  }
}
