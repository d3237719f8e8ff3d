import type { ClusterRelease, ClusterService } from "../manifest.ts";
import { label, part, releaseName, workloadName } from "../names.ts";
import type { KubernetesObject } from "./object.ts";
import { containerSecurity, podSecurity, scratch } from "./security.ts";

/** Labels by which the pods of a service in one release are found; the fingerprint is their identity. */
export function podSelector(release: ClusterRelease, service: ClusterService): Record<string, string> {
  return {
    [label.system]: release.manifest.system,
    [label.service]: service.name,
    [label.fingerprint]: release.fingerprint,
  };
}

export function releaseLabels({ fingerprint, colour, manifest }: ClusterRelease): Record<string, string> {
  return {
    "app.kubernetes.io/part-of": manifest.system,
    "app.kubernetes.io/managed-by": "switchyard",
    [label.system]: manifest.system,
    [label.fingerprint]: fingerprint,
    [label.colour]: colour,
    [label.release]: manifest.release,
  };
}

/**
 * What runs a service. A serving one is a Deployment: kept whole while its pods are replaced. A singleton is a
 * StatefulSet, because a Deployment starts a deleted pod's successor while that one still drains.
 */
export function workload(
  release: ClusterRelease,
  service: ClusterService,
  replicas: number,
): KubernetesObject {
  const { manifest } = release;
  const name = workloadName(manifest.system, service.name, release.fingerprint);
  const labels = { ...releaseLabels(release), [label.service]: service.name, [label.part]: part.workload };
  const metadata = { name, namespace: manifest.namespace, labels, annotations: skipAwait };
  const selector = { matchLabels: podSelector(release, service) };
  const template = podTemplate(release, service, name);
  if (service.kind === "singleton") {
    const update = { updateStrategy: { type: "OnDelete" }, podManagementPolicy: "OrderedReady" };
    const spec = { replicas: 0, serviceName: name, revisionHistoryLimit: 1, ...update, selector, template };
    return { apiVersion: "apps/v1", kind: "StatefulSet", metadata, spec };
  }
  // Replaced all at once, and none ends before its successor is ready: so kept connections end within seconds and the
  // release can take traffic at any moment.
  const strategy = { type: "RollingUpdate", rollingUpdate: { maxSurge: "100%", maxUnavailable: 0 } };
  const spec = { replicas, revisionHistoryLimit: 1, strategy, selector, template };
  return { apiVersion: "apps/v1", kind: "Deployment", metadata, spec };
}

/** The gates wait for the pods, and say what is wrong with them; the engine need not. */
export const skipAwait = { "pulumi.com/skipAwait": "true" };

function podTemplate(release: ClusterRelease, service: ClusterService, name: string) {
  const { manifest } = release;
  const selector = podSelector(release, service);
  const labels = { ...releaseLabels(release), ...selector };
  return {
    metadata: { labels },
    spec: {
      serviceAccountName: releaseName(manifest.system, release.fingerprint),
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      securityContext: podSecurity,
      terminationGracePeriodSeconds: service.drainSeconds + service.stopSeconds,
      topologySpreadConstraints: ["topology.kubernetes.io/zone", "kubernetes.io/hostname"].map(
        (topologyKey) => ({
          maxSkew: 1,
          topologyKey,
          whenUnsatisfiable: "ScheduleAnyway",
          labelSelector: { matchLabels: selector },
        }),
      ),
      volumes: [scratch.volume],
      containers: [container(release, service, name)],
    },
  };
}

function container({ manifest }: ClusterRelease, service: ClusterService, name: string) {
  const probe = { httpGet: { path: service.health, port: "http" }, timeoutSeconds: 2 };
  const hasSecrets = Object.keys(service.secrets).length > 0;
  return {
    name: service.name,
    image: service.image,
    // What a digest names never changes; a tag is for development, where the image was made on the spot.
    imagePullPolicy: "IfNotPresent",
    ...(service.command === undefined ? {} : { command: service.command }),
    ports: [{ name: "http", containerPort: service.port, protocol: "TCP" }],
    env: [
      { name: "PORT", value: String(service.port) },
      { name: "RELEASE", value: manifest.release },
    ],
    envFrom: [{ configMapRef: { name } }, ...(hasSecrets ? [{ secretRef: { name } }] : [])],
    startupProbe: { ...probe, periodSeconds: 1, failureThreshold: 120 },
    readinessProbe: { ...probe, periodSeconds: 2, failureThreshold: 2 },
    livenessProbe: { ...probe, timeoutSeconds: 5, periodSeconds: 10, failureThreshold: 3 },
    ...(service.drainSeconds > 0
      ? { lifecycle: { preStop: { sleep: { seconds: service.drainSeconds } } } }
      : {}),
    resources: { requests: service.resources, limits: service.resources },
    securityContext: containerSecurity,
    volumeMounts: [scratch.mount],
  };
}
