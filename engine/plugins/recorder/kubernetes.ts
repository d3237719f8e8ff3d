/** Kubernetes as its plugin presents it: any object of the API, on a cluster where everything becomes ready at once. */
import {
  isUnknown,
  type Properties,
  plain,
  plainProperties,
  secret,
  unknown,
  type Value,
} from "../protocol/values.ts";
import { clusterWide, replacingPaths } from "./kubernetes-rules.ts";
import { record, statusOf } from "./kubernetes-status.ts";
import { autoName, digits, type Model, type Moment, type Subject, uuid, within } from "./model.ts";

const autonamed = "pulumi.com/autonamed";
const namespaceType = "kubernetes:core/v1:Namespace";
/** Namespaces that every cluster has. */
const given = new Set(["default", "kube-system", "kube-public", "kube-node-lease"]);

export function kubernetes(): Model {
  let namespace = "default";
  let mutable = { secrets: false, configMaps: false };
  let upsert = false;

  const placeOf = (type: string, inputs: Properties): string | undefined => {
    const { name, namespace: space } = names(inputs);
    if (name === undefined) return undefined;
    return clusterWide.has(kindOf(type).kind) ? name : `${space ?? namespace}/${name}`;
  };

  return {
    package: "kubernetes",
    replacingConfig: new Set(["kubeconfig", "context", "cluster", "clusterIdentifier"]),
    configure(settings) {
      const given = plainProperties(settings);
      if (typeof given.namespace === "string") namespace = given.namespace;
      const told = (name: string, variable: string): boolean =>
        ["true", true].includes((given[name] ?? process.env[variable] ?? false) as string | boolean);
      mutable = {
        secrets: told("enableSecretMutable", "PULUMI_K8S_ENABLE_SECRET_MUTABLE"),
        configMaps: told("enableConfigMapMutable", "PULUMI_K8S_ENABLE_CONFIGMAP_MUTABLE"),
      };
      upsert = told("upsertExistingObjects", "PULUMI_K8S_UPSERT_EXISTING_OBJECTS");
    },

    check({ type, name: programName, urn }, olds, news, taken) {
      const { kind } = kindOf(type);
      const metadata = within(news.metadata, (found) => {
        if (isUnknown(found)) return found;
        const own = record(found);
        const space = clusterWide.has(kind) ? {} : { namespace: own.namespace ?? namespace };
        if (own.name !== undefined) return { ...own, ...space };
        const annotations = { ...record(own.annotations), [autonamed]: "true" };
        const old = olds === undefined ? undefined : plain(olds.metadata ?? null);
        const kept = record(record(old).annotations)[autonamed] === "true" ? record(old).name : undefined;
        const free = (name: string): boolean => {
          const place = placeOf(type, { metadata: { ...space, name } });
          return isUnknown(space.namespace) || place === undefined || !taken(type, place);
        };
        return { ...own, ...space, annotations, name: kept ?? autoName(programName, urn, 8, free) };
      });
      return { ...news, metadata };
    },

    replaces: (type, news) => replacingPaths(kindOf(type).title, news, mutable),
    keepsName(type, olds, news) {
      const annotations = record(record(plain(news.metadata ?? null)).annotations);
      return annotations[autonamed] !== "true" && placeOf(type, olds) === placeOf(type, news);
    },
    place: placeOf,
    takesOver: () => upsert,
    needs(type, inputs) {
      const { namespace: space } = names(inputs);
      if (clusterWide.has(kindOf(type).kind) || space === undefined || given.has(space)) return undefined;
      return { type: namespaceType, place: space, missing: `namespaces "${space}" not found` };
    },

    make(subject, inputs, moment) {
      const id = placeOf(subject.type, inputs);
      if (id === undefined) throw new Error(`${subject.type} ${subject.name} has no metadata.name`);
      const own = {
        uid: uuid(subject.stack, subject.type, id, moment.sequence),
        creationTimestamp: moment.time,
      };
      return { id, outputs: outputs(subject, id, inputs, { ...own, generation: 1 }, moment) };
    },
    foresee({ type }, inputs) {
      const { kind } = kindOf(type);
      const own = { uid: unknown, creationTimestamp: unknown, generation: unknown, resourceVersion: unknown };
      const status = statusOf(kind, inputs, 1, "") === undefined ? {} : { status: unknown };
      const spec = kind === "Service" ? { spec: withAddress(inputs.spec, unknown) } : {};
      return { ...sealed(kind, inputs), ...spec, ...status, metadata: merged(inputs.metadata, own) };
    },
    change(subject, id, olds, news, moment) {
      const {
        uid = unknown,
        creationTimestamp = moment.time,
        generation,
      } = record(plain(olds.metadata ?? null));
      const before = typeof generation === "number" ? generation : 1;
      const same = JSON.stringify(plain(olds.spec ?? null)) === JSON.stringify(plain(news.spec ?? null));
      const own = { uid, creationTimestamp, generation: same ? before : before + 1 };
      return outputs(subject, id, news, own, moment);
    },
    stays: () => false,
    contains: (type, place, other) =>
      type === namespaceType && other.type !== namespaceType && other.place.startsWith(`${place}/`),
    invoke(token) {
      throw new Error(`the recorder has no function ${token}`);
    },
  };
}

function outputs(
  { stack, type }: Subject,
  id: string,
  inputs: Properties,
  own: { readonly uid: Value; readonly creationTimestamp: Value; readonly generation: number },
  { sequence, time }: Moment,
): Properties {
  const { kind } = kindOf(type);
  const address = `10.96.${Number.parseInt(digits(2, stack, id), 16)}.${Number.parseInt(digits(2, id, stack), 16)}`;
  const status = statusOf(kind, inputs, own.generation, time);
  return {
    ...sealed(kind, inputs),
    ...(kind === "Service" ? { spec: withAddress(inputs.spec, address) } : {}),
    ...(status === undefined ? {} : { status }),
    metadata: merged(inputs.metadata, { ...own, resourceVersion: String(sequence) }),
  };
}

/** What a Secret holds is secret, however it was given. */
function sealed(kind: string, inputs: Properties): Properties {
  if (kind !== "Secret") return inputs;
  const { data, stringData } = inputs;
  return {
    ...inputs,
    ...(data === undefined ? {} : { data: secret(data) }),
    ...(stringData === undefined ? {} : { stringData: secret(stringData) }),
  };
}

function merged(value: Value | undefined, more: Properties): Value {
  return within(value, (inner) => (isUnknown(inner) ? inner : { ...record(inner), ...more }));
}

/** A Service gets an address, unless it says which or that it wants none. */
function withAddress(spec: Value | undefined, address: string): Value {
  return within(spec, (inner) => {
    if (isUnknown(inner)) return inner;
    const own = record(inner);
    const clusterIP = own.type === "ExternalName" ? undefined : (own.clusterIP ?? address);
    return {
      type: "ClusterIP",
      ...own,
      ...(clusterIP === undefined ? {} : { clusterIP, clusterIPs: [clusterIP] }),
    };
  });
}

function names(inputs: Properties): {
  readonly name: string | undefined;
  readonly namespace: string | undefined;
} {
  const { name, namespace } = record(plain(inputs.metadata ?? null));
  const known = (value: Value | undefined): string | undefined =>
    typeof value === "string" && !isUnknown(value) ? value : undefined;
  return { name: known(name), namespace: known(namespace) };
}

/** `kubernetes:apps/v1:Deployment` */
function kindOf(type: string): { readonly kind: string; readonly title: string } {
  const [, group = "", version = "", kind = ""] = /^kubernetes:([\w.-]+)\/(v\w+):(\w+)$/.exec(type) ?? [];
  const unlike =
    group === "" || /^(helm\.sh|kustomize|yaml|apiextensions\.k8s\.io\/.*:CustomResource)$/.test(group);
  if (unlike || kind.endsWith("Patch") || (kind.endsWith("List") && kind !== "List")) {
    throw new Error(
      `the recorder has no ${type}; it has single objects of the API: kubernetes:apps/v1:Deployment`,
    );
  }
  return { kind, title: `${group}/${version}:${kind}` };
}
