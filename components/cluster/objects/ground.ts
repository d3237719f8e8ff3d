import {
  bakerName,
  colourDoorName,
  doorName,
  label,
  nothing,
  part,
  policyName,
  stateName,
} from "../names.ts";
import type { ClusterPolicy } from "../policy.ts";
import { bakerJob } from "./baker.ts";
import type { KubernetesObject } from "./object.ts";
import { roleFor } from "./release.ts";
import { skipAwait } from "./workload.ts";

/** What belongs to a system on a cluster and not to one of its releases. */
export interface ClusterGround {
  readonly system: string;
  readonly namespace: string;
  readonly doors: readonly Door[];
  readonly policy: ClusterPolicy;
  /** Image with Node 18 or later on its PATH, that the baker runs on; by digest outside development. */
  readonly bakerImage: string;
  /** The baker's program, one file. */
  readonly bakerProgram: string;
  /** Class of the Ingress that serves the hosts; absent: the cluster's default one. */
  readonly ingressClass?: string;
}

/** A serving service as the rest of the world reaches it. */
export interface Door {
  readonly service: string;
  /** Port of its Services; the pods' own may differ from release to release. */
  readonly port: number;
  /** Host names of what is live and of each colour (TRD-3); absent: reached inside the cluster only. */
  readonly hosts?: Readonly<Record<"live" | "blue" | "green", string>>;
  /** Secret with the hosts' certificate, where the Ingress terminates TLS. */
  readonly tlsSecret?: string;
}

export const colours = ["blue", "green"] as const;

/** Namespace first, then what the baker works with, then the doors. */
export function groundObjects(ground: ClusterGround): KubernetesObject[] {
  return [
    namespace(ground),
    ...bakerObjects(ground),
    ...ground.doors.flatMap((door) => doorObjects(ground, door)),
  ];
}

function namespace({ namespace: name }: ClusterGround): KubernetesObject {
  const levels = ["enforce", "audit", "warn"].map((mode) => [
    `pod-security.kubernetes.io/${mode}`,
    "restricted",
  ]);
  return {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name, labels: { ...managed, ...Object.fromEntries(levels) } },
  };
}

function bakerObjects(ground: ClusterGround): KubernetesObject[] {
  const { system, policy, bakerProgram } = ground;
  const name = bakerName(system);
  const job = JSON.stringify(bakerJob(ground));
  return [
    configMap(ground, policyName(system), { policy: JSON.stringify(policy, null, 2) }),
    configMap(ground, name, { "baker.cjs": bakerProgram, job }),
    {
      apiVersion: "v1",
      kind: "ServiceAccount",
      metadata: named(ground, name),
      automountServiceAccountToken: false,
    },
    ...roleFor(name, named(ground, name), bakerRules(ground)),
  ];
}

/** By name wherever Kubernetes can: the system's state, its Lease and its Services; of pods, where they are. */
function bakerRules({ system, doors }: ClusterGround): object[] {
  const state = [stateName(system)];
  const services = doors.flatMap(({ service }) => serviceNames(system, service));
  return [
    { apiGroups: [""], resources: ["configmaps"], resourceNames: state, verbs: ["get", "update"] },
    {
      apiGroups: ["coordination.k8s.io"],
      resources: ["leases"],
      resourceNames: state,
      verbs: ["get", "update"],
    },
    { apiGroups: [""], resources: ["services"], resourceNames: services, verbs: ["get", "patch"] },
    { apiGroups: [""], resources: ["pods"], verbs: ["list"] },
  ];
}

function serviceNames(system: string, service: string): string[] {
  return [doorName(system, service), ...colours.map((colour) => colourDoorName(system, service, colour))];
}

/** The stable Service, one for each colour, and the Ingress with their hosts. All are born selecting nothing. */
function doorObjects(ground: ClusterGround, door: Door): KubernetesObject[] {
  const { system } = ground;
  const { service, hosts } = door;
  return [
    serviceObject(ground, door, doorName(system, service), part.door),
    ...colours.map((colour) =>
      serviceObject(ground, door, colourDoorName(system, service, colour), part.colour),
    ),
    ...(hosts ? [ingress(ground, door, hosts)] : []),
  ];
}

/** What a Service of the system selects when it leads to a release; `nothing` where it leads nowhere. */
export function doorSelector(
  system: string,
  service: string,
  fingerprint: string = nothing,
): Record<string, string> {
  return { [label.system]: system, [label.service]: service, [label.fingerprint]: fingerprint };
}

function serviceObject(ground: ClusterGround, door: Door, name: string, kind: string): KubernetesObject {
  const metadata = named(ground, name);
  const labels = { ...metadata.labels, [label.service]: door.service, [label.part]: kind };
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { ...metadata, labels, annotations: skipAwait },
    spec: {
      type: "ClusterIP",
      selector: doorSelector(ground.system, door.service),
      ports: [{ name: "http", port: door.port, targetPort: "http", protocol: "TCP" }],
    },
  };
}

function ingress(ground: ClusterGround, door: Door, hosts: NonNullable<Door["hosts"]>): KubernetesObject {
  const { system, ingressClass } = ground;
  const { service, port, tlsSecret } = door;
  const rule = (host: string, name: string) => ({
    host,
    http: {
      paths: [{ path: "/", pathType: "Prefix", backend: { service: { name, port: { number: port } } } }],
    },
  });
  const rules = [
    rule(hosts.live, doorName(system, service)),
    ...colours.map((colour) => rule(hosts[colour], colourDoorName(system, service, colour))),
  ];
  return {
    apiVersion: "networking.k8s.io/v1",
    kind: "Ingress",
    metadata: { ...named(ground, doorName(system, service)), annotations: skipAwait },
    spec: {
      ...(ingressClass === undefined ? {} : { ingressClassName: ingressClass }),
      ...(tlsSecret === undefined
        ? {}
        : { tls: [{ secretName: tlsSecret, hosts: rules.map(({ host }) => host) }] }),
      rules,
    },
  };
}

function configMap(ground: ClusterGround, name: string, data: Record<string, string>): KubernetesObject {
  return { apiVersion: "v1", kind: "ConfigMap", metadata: named(ground, name), data };
}

const managed = { "app.kubernetes.io/managed-by": "switchyard" };

function named({ system, namespace }: ClusterGround, name: string) {
  const labels = { ...managed, "app.kubernetes.io/part-of": system, [label.system]: system };
  return { name, namespace, labels };
}
