import { randomUUID } from "node:crypto";
import type { RecorderWorld, Thing } from "../recorder/world.ts";

/** An object as the API server gives it; only what is read of it has a type. */
export interface KubernetesObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: Metadata;
  readonly spec?: Members;
  readonly status?: Members;
  readonly data?: Readonly<Record<string, string>>;
}

interface Metadata {
  readonly name: string;
  readonly namespace?: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly deletionTimestamp?: string;
}

export type Members = Readonly<Record<string, unknown>>;
/** What is sent: names and versions may still be missing. */
export type Sent = Members & { readonly kind: string; readonly metadata: Partial<Metadata> };

/** Where an object is: the stack whose engine made the cluster's, and its namespace. */
export interface Place {
  readonly stack: string;
  readonly namespace: string;
}

export class Refused extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/**
 * The objects of all clusters: what the engine has made, as the recorded world holds it, with what verbs have changed
 * of it since, and what verbs have made themselves. A member that a verb has written stays as the verb wrote it when
 * the engine writes the object again: the program tells the engine to leave these alone. A new object of the same name
 * begins without them.
 */
export class Objects {
  private readonly world: RecorderWorld;
  private readonly own = new Map<string, KubernetesObject>();
  /** Merge patches by the uid of what they change, in order. */
  private readonly patches = new Map<string, Members[]>();
  private versions = 0;
  private read: { readonly at: number; readonly things: readonly Thing[] } | null = null;

  constructor(world: RecorderWorld) {
    this.world = world;
  }

  /** Those of one kind in a namespace whose labels are these. */
  list(kind: string, place: Place, labels: Readonly<Record<string, string>> = {}): KubernetesObject[] {
    return this.all(kind, place.stack).filter(
      ({ metadata }) => metadata.namespace === place.namespace && carries(metadata.labels, labels),
    );
  }

  find(kind: string, place: Place, name: string): KubernetesObject | undefined {
    const inCluster = this.all(kind, place.stack).filter(({ metadata }) => metadata.name === name);
    if (kind === "Namespace") return inCluster[0];
    return inCluster.find(({ metadata }) => metadata.namespace === place.namespace);
  }

  /** Every object of that kind in a cluster, whatever its namespace. */
  all(kind: string, stack: string): KubernetesObject[] {
    const things = this.things().filter((thing) => thing.stack === stack);
    const recorded = things.filter(({ type }) => type.endsWith(`:${kind}`)).map((thing) => this.live(thing));
    // Whatever is in a namespace goes with it.
    const namespaces = things.filter(({ type }) => type.endsWith(":Namespace"));
    const there = new Set(namespaces.map(({ place }) => place));
    const made = [...this.own].filter(([key, { metadata }]) => {
      if (!key.startsWith(`${stack}/${kind}/`)) return false;
      if (there.has(metadata.namespace ?? "")) return true;
      this.own.delete(key);
      return false;
    });
    return [...recorded, ...made.map(([, object]) => object)];
  }

  create(place: Place, sent: Sent): KubernetesObject {
    const { kind, metadata } = sent;
    const name = metadata.name ?? "";
    if (!this.find("Namespace", place, place.namespace)) {
      throw new Refused(404, `namespaces "${place.namespace}" not found`);
    }
    if (this.find(kind, place, name)) throw new Refused(409, `${kind} "${name}" already exists`);
    const uid = randomUUID();
    return this.put(place, { ...sent, metadata: { ...metadata, namespace: place.namespace, uid } });
  }

  /** @throws Refused where it is not the version that was read */
  replace(place: Place, name: string, sent: Sent): KubernetesObject {
    const found = this.require(sent.kind, place, name);
    if (!this.own.has(keyOf(place, sent.kind, name))) {
      throw new Refused(405, `this Kubernetes replaces what verbs have made, and ${name} is the engine's`);
    }
    if (sent.metadata.resourceVersion !== found.metadata.resourceVersion) {
      throw new Refused(409, `${sent.kind} "${name}" has been modified`);
    }
    return this.put(place, sent);
  }

  /** JSON merge patch: null takes a member away. */
  patch(place: Place, kind: string, name: string, change: Members): KubernetesObject {
    const found = this.require(kind, place, name);
    if (this.own.has(keyOf(place, kind, name))) return this.put(place, merge(found, change) as Sent);
    const { uid } = found.metadata;
    this.versions += 1;
    this.patches.set(uid, [...(this.patches.get(uid) ?? []), change]);
    return this.require(kind, place, name);
  }

  /** Only what verbs have made; the engine's are removed by the engine. */
  remove(place: Place, kind: string, name: string, uid?: string): void {
    const { metadata } = this.require(kind, place, name);
    if (uid !== undefined && uid !== metadata.uid) throw new Refused(409, `${name} is another one by now`);
    if (!this.own.delete(keyOf(place, kind, name))) {
      throw new Refused(405, `this Kubernetes removes what verbs have made, and ${name} is the engine's`);
    }
  }

  require(kind: string, place: Place, name: string): KubernetesObject {
    const found = this.find(kind, place, name);
    if (found) return found;
    throw new Refused(404, `${kind} "${name}" not found`);
  }

  private put(place: Place, sent: Sent): KubernetesObject {
    this.versions += 1;
    const metadata = { ...sent.metadata, resourceVersion: `own.${this.versions}` };
    const object = { ...sent, metadata } as unknown as KubernetesObject;
    this.own.set(keyOf(place, sent.kind, metadata.name ?? ""), object);
    return object;
  }

  /** The whole world is a folder of files: requests that come together share a look at it. */
  private things(): readonly Thing[] {
    const now = performance.now();
    if (!this.read || now - this.read.at > 50) {
      this.read = { at: now, things: this.world.things({ package: "kubernetes" }) };
    }
    return this.read.things;
  }

  private live({ type, inputs, outputs }: Thing): KubernetesObject {
    const [, version = "", kind = ""] = /^kubernetes:(.+):(\w+)$/.exec(type) ?? [];
    const apiVersion = version.replace(/^core\//, "");
    const { stringData: _, ...known } = { ...inputs, ...outputs } as Members;
    const recorded = { ...known, apiVersion, kind } as unknown as KubernetesObject;
    const patches = this.patches.get(recorded.metadata.uid) ?? [];
    const { metadata, ...rest } = patches.reduce(merge, recorded) as KubernetesObject;
    const resourceVersion = `${metadata.resourceVersion}.${patches.length}`;
    return { ...rest, metadata: { ...metadata, resourceVersion } };
  }
}

export function carries(
  labels: Readonly<Record<string, string>> = {},
  wanted: Readonly<Record<string, string>>,
): boolean {
  return Object.entries(wanted).every(([name, value]) => labels[name] === value);
}

function keyOf({ stack, namespace }: Place, kind: string, name: string): string {
  return `${stack}/${kind}/${namespace}/${name}`;
}

function merge(target: unknown, change: unknown): object {
  const merged: Record<string, unknown> = isObject(target) ? { ...target } : {};
  for (const [name, value] of Object.entries(change as object)) {
    if (value === null) delete merged[name];
    else merged[name] = isObject(value) ? merge(merged[name], value) : value;
  }
  return merged;
}

function isObject(value: unknown): value is Members {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}
