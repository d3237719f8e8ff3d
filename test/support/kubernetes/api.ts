import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { json } from "node:stream/consumers";
import { label, part } from "../../../components/cluster/names.ts";
import type { Jobs } from "./jobs.ts";
import type { Listener } from "./loopback.ts";
import { carries, type KubernetesObject, type Objects, type Place, Refused, type Sent } from "./objects.ts";
import type { Running } from "./running.ts";

export interface ApiArgs {
  /** Names of the contexts, each with the stack whose cluster it is; a context's name is its token. */
  readonly contexts: Readonly<Record<string, string>>;
  readonly objects: Objects;
  readonly running: Running;
  readonly jobs: Jobs;
  /** A stable Service leads to another release than before. */
  readonly moved: (service: string, release: string | null) => void;
}

/** Collections of the API and what they hold. */
const kinds: Readonly<Record<string, string>> = {
  configmaps: "ConfigMap",
  secrets: "Secret",
  services: "Service",
  serviceaccounts: "ServiceAccount",
  pods: "Pod",
  namespaces: "Namespace",
  deployments: "Deployment",
  statefulsets: "StatefulSet",
  jobs: "Job",
  cronjobs: "CronJob",
  leases: "Lease",
  poddisruptionbudgets: "PodDisruptionBudget",
  networkpolicies: "NetworkPolicy",
  ingresses: "Ingress",
  roles: "Role",
  rolebindings: "RoleBinding",
};
const pathOf = /^\/(?:api\/v1|apis\/[^/]+\/v1)(?:\/namespaces\/([^/]+))?\/([a-z]+)(?:\/([^/]+))?(\/log)?$/;

interface Call {
  readonly context: string;
  readonly place: Place;
  readonly kind: string;
  readonly name: string;
  readonly query: URLSearchParams;
}

/** The API servers of all contexts on one port, and the proxy for Services' names. */
export class Api {
  private readonly args: ApiArgs;
  private readonly server: Server;

  constructor(args: ApiArgs) {
    this.args = args;
    this.server = createServer((request, response) => {
      this.answer(request, response).catch((error: Error) => {
        const code = error instanceof Refused ? error.status : 500;
        reply(response, code, { kind: "Status", status: "Failure", message: error.message, code });
      });
    });
    // Who asks by name makes its connection through here.
    this.server.on("connect", (request, socket) => {
      void this.door(request.url ?? "").then((door) => {
        if (!door) return socket.end("HTTP/1.1 502 Bad Gateway\r\n\r\n");
        socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
        return door.take(socket);
      });
    });
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  listen(): Promise<void> {
    return new Promise((resolve) => this.server.listen(0, "127.0.0.1", resolve));
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  /** @param host `<service>.<namespace>.<context>.svc`, a port behind it or not */
  async door(host: string): Promise<Listener | undefined> {
    const [service = "", namespace = "", context = ""] = host.split(".");
    const stack = this.args.contexts[context];
    if (stack === undefined) return undefined;
    await this.args.running.settle();
    const found = this.args.objects.find("Service", { stack, namespace }, service);
    return found && this.args.running.doorOf(found);
  }

  /** The release that a Service leads to; null where it leads nowhere. */
  releaseOf(place: Place, service: KubernetesObject): string | null {
    const { [label.fingerprint]: led = "" } = (service.spec?.selector ?? {}) as Record<string, string>;
    const [record] = this.args.objects.list("ConfigMap", place, {
      [label.part]: part.record,
      [label.fingerprint]: led,
    });
    return record?.metadata.labels?.[label.release] ?? null;
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = "GET", url = "/" } = request;
    if (url.startsWith("http:")) return this.forward(new URL(url), request, response);
    const { pathname, searchParams: query } = new URL(url, "http://kubernetes");
    const [path, namespace = "", collection = "", name = "", log] = pathOf.exec(pathname) ?? [];
    const context = request.headers.authorization?.replace("Bearer ", "") ?? "";
    const stack = this.args.contexts[context];
    if (stack === undefined) throw new Refused(401, "Unauthorized");
    const kind = kinds[collection];
    if (path === undefined || kind === undefined) throw new Refused(404, `there is no ${pathname}`);
    const call = { context, place: { stack, namespace }, kind, name, query };
    if (log) return void response.end(this.logOf(call));
    if (["Pod", "Service"].includes(kind)) await this.args.running.settle();
    const body = method === "GET" ? undefined : ((await json(request)) as Sent);
    const result = body === undefined ? this.read(call) : await this.change(method, call, body);
    reply(response, method === "POST" ? 201 : 200, result);
  }

  private read({ place, kind, name, query }: Call): object {
    const { objects, running, jobs } = this.args;
    if (name !== "") return running.addressed(objects.require(kind, place, name));
    const labels = labelsOf(query.get("labelSelector") ?? "");
    if (kind !== "Pod") {
      return { items: objects.list(kind, place, labels).map((object) => running.addressed(object)) };
    }
    const played = running.podsOf(place.stack).map((pod) => pod.object());
    const here = played.filter(({ metadata }) => metadata.namespace === place.namespace);
    return {
      items: [...here, ...jobs.podsOf(place)].filter(({ metadata }) => carries(metadata.labels, labels)),
    };
  }

  private async change(method: string, call: Call, body: Sent): Promise<object> {
    const { context, place, kind, name, query } = call;
    const { objects, jobs } = this.args;
    switch (method) {
      case "POST": {
        const created = objects.create(place, body);
        if (kind === "Job") await jobs.start(place, context, created);
        return created;
      }
      case "PUT":
        return objects.replace(place, name, body);
      case "PATCH": {
        const made = query.get("force") === "true" && !objects.find(kind, place, name);
        return made ? objects.create(place, body) : this.patch(call, body);
      }
      case "DELETE": {
        const { uid } = objects.require(kind, place, name).metadata;
        const { preconditions } = body as { preconditions?: { uid?: string } };
        objects.remove(place, kind, name, preconditions?.uid);
        if (kind === "Job") await jobs.remove(uid);
        return { kind: "Status", status: "Success" };
      }
      default:
        throw new Refused(405, `this Kubernetes answers no ${method}`);
    }
  }

  private async patch({ place, kind, name }: Call, change: Sent): Promise<object> {
    const { objects, running, moved } = this.args;
    const before = objects.require(kind, place, name);
    const changed = objects.patch(place, kind, name, change);
    if (["Deployment", "StatefulSet"].includes(kind)) await running.settle();
    if (kind === "Service" && changed.metadata.labels?.[label.part] === part.door) {
      const release = this.releaseOf(place, changed);
      if (release !== this.releaseOf(place, before)) moved(name, release);
    }
    return running.addressed(changed);
  }

  private logOf({ place, name }: Call): string {
    const { running, jobs } = this.args;
    const pod = running.podsOf(place.stack).find((one) => one.name === name);
    return pod ? `${pod.service} ${pod.release} runs\n` : (jobs.logOf(name) ?? "");
  }

  private async forward(url: URL, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const door = await this.door(url.hostname);
    if (!door) throw new Refused(502, `${url.hostname} is no Service of this Kubernetes`);
    request.url = `${url.pathname}${url.search}`;
    door.serve(request, response);
  }
}

/** @example "switchyard.dev/system=traider,switchyard.dev/part=record" */
function labelsOf(selector: string): Record<string, string> {
  const pairs = selector.split(",").filter((pair) => pair !== "");
  return Object.fromEntries(pairs.map((pair) => pair.split("=") as [string, string]));
}

function reply(response: ServerResponse, status: number, content: object): void {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(content));
}
