import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { json } from "node:stream/consumers";
import { ClusterApi } from "../../../components/cluster/api.ts";
import type { ClusterRelease } from "../../../components/cluster/manifest.ts";
import { groundObjects } from "../../../components/cluster/objects/ground.ts";
import { releaseObjects } from "../../../components/cluster/objects/release.ts";
import { policy } from "./releases.ts";

/**
 * An API server in memory: objects with versions, merge patches, conflicts; and controllers that make a workload's pods
 * at once, all of them answered by one server of this process. It shows the order of calls, not what Kubernetes does.
 */
interface Stored {
  kind: string;
  metadata: {
    name: string;
    resourceVersion: string;
    uid: string;
    labels?: Record<string, string>;
    [key: string]: unknown;
  };
  spec?: Record<string, unknown> & { replicas?: number };
  [key: string]: unknown;
}

export interface FakeCluster {
  readonly api: ClusterApi;
  readonly port: number;
  readonly objects: Map<string, Stored>;
  /** What was changed, in order: `PATCH services/shop-api`. */
  readonly changes: string[];
  /** Called before each change; a number it returns is the answer's status instead. */
  before: (what: string, body: unknown) => number | undefined;
  /** Workloads whose pods never become ready. */
  readonly broken: Set<string>;
  /** Milliseconds until a pod that was told to end has gone. */
  endsAfter: number;
  apply(object: object): void;
  place(release: ClusterRelease): void;
  close(): Promise<void>;
}

export async function startFakeCluster(): Promise<FakeCluster> {
  const objects = new Map<string, Stored>();
  const pods = await listen(
    createServer((_, response) => {
      response.end("{}");
    }),
  );
  let versions = 0;
  const cluster = {
    objects,
    broken: new Set<string>(),
    changes: [] as string[],
    before: (() => undefined) as FakeCluster["before"],
    endsAfter: 0,
  };

  const store = (path: string, object: Stored): Stored => {
    versions += 1;
    const uid = object.metadata.uid ?? `uid-${versions}`;
    const stored = { ...object, metadata: { ...object.metadata, uid, resourceVersion: String(versions) } };
    objects.set(path, stored);
    if (stored.kind === "Deployment" || stored.kind === "StatefulSet") reconcile(stored);
    return stored;
  };

  const reconcile = ({ kind, metadata, spec }: Stored): void => {
    const prefix = `pods/${metadata.name}-`;
    const own = [...objects.keys()].filter((path) => path.startsWith(prefix));
    const wanted = spec?.replicas ?? 1;
    for (const path of own.slice(wanted)) setTimeout(() => objects.delete(path), cluster.endsAfter);
    const template = spec?.template as { metadata: { labels: Record<string, string> } };
    for (let index = own.length; index < wanted; index++) {
      const name = `${metadata.name}-${kind === "StatefulSet" ? index : `x${++versions}`}`;
      const conditions = [{ type: "Ready", status: cluster.broken.has(metadata.name) ? "False" : "True" }];
      store(`pods/${name}`, {
        kind: "Pod",
        metadata: { name, labels: template.metadata.labels, uid: name, resourceVersion: "" },
        status: {
          phase: "Running",
          podIP: "127.0.0.1",
          conditions,
          containerStatuses: [{ restartCount: 0, started: true }],
        },
      });
    }
  };

  const server = await listen(
    createServer(async (request, response) => {
      const { method = "GET", url = "" } = request;
      const { pathname, searchParams } = new URL(url, "http://fake");
      const path = pathname.replace(/^.*\/namespaces\/[^/]+\//, "");
      const body = method === "GET" ? undefined : ((await json(request)) as Stored);
      const answer = (status: number, value: unknown) =>
        response.writeHead(status).end(JSON.stringify(value));
      if (method !== "GET") {
        cluster.changes.push(`${method} ${method === "POST" ? `${path}/${body?.metadata.name}` : path}`);
        const refused = cluster.before(`${method} ${path}`, body);
        if (refused) return answer(refused, { message: "refused" });
      }
      const found = objects.get(path);
      if (method === "GET" && !path.includes("/"))
        return answer(200, { items: listed(objects, path, searchParams.get("labelSelector") ?? "") });
      if (method === "POST") {
        const name = `${path}/${body?.metadata.name}`;
        return objects.has(name) ? answer(409, {}) : answer(201, store(name, body as Stored));
      }
      if (!found) return answer(404, { message: `${path} not found` });
      if (method === "PUT") {
        if (body?.metadata.resourceVersion !== found.metadata.resourceVersion) return answer(409, {});
        return answer(200, store(path, body));
      }
      if (method === "PATCH") return answer(200, store(path, merge(found, body) as Stored));
      if (method === "DELETE") {
        objects.delete(path);
        return answer(200, {});
      }
      return answer(200, found);
    }),
  );

  const { port } = server.address() as AddressInfo;
  const origin = `http://127.0.0.1:${port}`;
  const apply = (object: object) => {
    const { kind, metadata } = object as Stored;
    const plural = kind === "NetworkPolicy" ? "networkpolicies" : `${kind.toLowerCase()}s`;
    store(`${kind === "Ingress" ? "ingresses" : plural}/${metadata.name}`, object as Stored);
  };
  return Object.assign(cluster, {
    api: new ClusterApi({ origin, options: async () => ({}) }, "shop-prod"),
    port,
    apply,
    place: (release: ClusterRelease) => {
      const services = release.manifest.services.map((service) => ({
        ...service,
        port: (pods.address() as AddressInfo).port,
      }));
      const placed = { ...release, manifest: { ...release.manifest, services } };
      for (const object of releaseObjects(placed, policy.replicas, {})) apply(object);
    },
    close: async () => {
      for (const one of [server, pods]) {
        one.closeAllConnections();
        await new Promise((resolve) => one.close(resolve));
      }
    },
  });
}

/** Everything that belongs to the system, with the Services' addresses leading nowhere that answers. */
export function ground(cluster: FakeCluster): void {
  const doors = [
    { service: "api", port: 80 },
    { service: "web", port: 80 },
  ];
  const args = { system: "shop", namespace: "shop-prod", bakerImage: "n", bakerProgram: "p", policy, doors };
  for (const object of groundObjects(args)) cluster.apply(object);
}

function listed(objects: ReadonlyMap<string, Stored>, collection: string, selector: string): Stored[] {
  const wanted = selector.split(",").map((pair) => pair.split("="));
  return [...objects]
    .filter(([path]) => path.startsWith(`${collection}/`))
    .map(([, object]) => object)
    .filter(({ metadata }) => wanted.every(([name = "", value]) => metadata.labels?.[name] === value));
}

function merge(target: unknown, change: unknown): unknown {
  if (change === null || typeof change !== "object" || Array.isArray(change)) return change;
  const merged: Record<string, unknown> = { ...(target as object) };
  for (const [name, value] of Object.entries(change)) {
    if (value === null) delete merged[name];
    else merged[name] = merge(merged[name], value);
  }
  return merged;
}

function listen(server: Server): Promise<Server> {
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
}
