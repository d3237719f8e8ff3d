import type { ClusterMigration, ClusterRelease, ClusterService } from "../manifest.ts";
import { annotation, bakerName, label, migrationName, part, releaseName, workloadName } from "../names.ts";
import type { KubernetesObject } from "./object.ts";
import { outward } from "./outward.ts";
import { containerSecurity, podSecurity, scratch } from "./security.ts";
import { podSelector, releaseLabels, skipAwait, workload } from "./workload.ts";

/** Values of a release's secrets, by name of environment variable. */
export type SecretValues = Readonly<Record<string, string>>;

/**
 * Everything of a release, in the order in which it is applied. The record comes first: what has no record is not the
 * program's.
 */
export function releaseObjects(
  release: ClusterRelease,
  replicas: Readonly<Record<string, number>>,
  secrets: SecretValues,
): KubernetesObject[] {
  const { services, migration } = release.manifest;
  return [
    record(release),
    serviceAccount(release),
    ...bakerRights(release),
    ...(migration ? migrationSettings(release, migration, secrets) : []),
    ...services.flatMap((service) => [
      ...settings(release, service, secrets),
      networkPolicy(release, service),
      ...(service.kind === "serving" ? [disruptionBudget(release, service)] : []),
    ]),
    ...services.map((service) => workload(release, service, replicas[service.name] ?? 1)),
  ];
}

/** What `observe` reads the placed releases from. */
function record(release: ClusterRelease): KubernetesObject {
  const { fingerprint, colour, manifest } = release;
  const labels = { ...releaseLabels(release), [label.part]: part.record };
  return {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { ...named(release, releaseName(manifest.system, fingerprint)), labels },
    data: { fingerprint, colour, manifest: JSON.stringify(manifest) },
  };
}

function serviceAccount(release: ClusterRelease): KubernetesObject {
  const metadata = named(release, releaseName(release.manifest.system, release.fingerprint));
  return { apiVersion: "v1", kind: "ServiceAccount", metadata, automountServiceAccountToken: false };
}

/** The baker may scale and replace the workloads of this release, by name, and nothing else. */
function bakerRights(release: ClusterRelease): KubernetesObject[] {
  const { manifest, fingerprint } = release;
  const name = `${bakerName(manifest.system)}-${fingerprint}`;
  const namesOf = (kind: ClusterService["kind"]) =>
    manifest.services
      .filter((service) => service.kind === kind)
      .map((service) => workloadName(manifest.system, service.name, fingerprint));
  const rule = (resource: string, resourceNames: string[]) =>
    resourceNames.length === 0
      ? []
      : [{ apiGroups: ["apps"], resources: [resource], resourceNames, verbs: ["get", "patch"] }];
  const rules = [...rule("deployments", namesOf("serving")), ...rule("statefulsets", namesOf("singleton"))];
  return roleFor(bakerName(manifest.system), named(release, name), rules);
}

/** A Role and its binding to a ServiceAccount of the same namespace. */
export function roleFor(
  account: string,
  metadata: KubernetesObject["metadata"],
  rules: readonly object[],
): KubernetesObject[] {
  const apiVersion = "rbac.authorization.k8s.io/v1";
  const { name, namespace = "" } = metadata;
  return [
    { apiVersion, kind: "Role", metadata, rules },
    {
      apiVersion,
      kind: "RoleBinding",
      metadata,
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name },
      subjects: [{ kind: "ServiceAccount", name: account, namespace }],
    },
  ];
}

/** ConfigMap and Secret of a service: immutable, because another value is another release. */
function settings(
  release: ClusterRelease,
  service: Pick<ClusterService, "name" | "environment" | "secrets">,
  values: SecretValues,
): KubernetesObject[] {
  const metadata = named(release, workloadName(release.manifest.system, service.name, release.fingerprint));
  return settingsNamed(metadata, service, values);
}

function migrationSettings(
  release: ClusterRelease,
  migration: ClusterMigration,
  values: SecretValues,
): KubernetesObject[] {
  const metadata = named(release, migrationName(release.manifest.system, "migration", release.fingerprint));
  return settingsNamed(metadata, migration, values);
}

function settingsNamed(
  metadata: KubernetesObject["metadata"],
  { environment, secrets }: Pick<ClusterService, "environment" | "secrets">,
  values: SecretValues,
): KubernetesObject[] {
  const names = Object.keys(secrets);
  const stringData = Object.fromEntries(names.map((name) => [name, values[name] ?? ""]));
  return [
    { apiVersion: "v1", kind: "ConfigMap", metadata, immutable: true, data: environment },
    ...(names.length === 0
      ? []
      : [{ apiVersion: "v1", kind: "Secret", metadata, type: "Opaque", immutable: true, stringData }]),
  ];
}

/** A drained node takes one pod of a service at a time. */
function disruptionBudget(release: ClusterRelease, service: ClusterService): KubernetesObject {
  const name = workloadName(release.manifest.system, service.name, release.fingerprint);
  const spec = {
    maxUnavailable: 1,
    unhealthyPodEvictionPolicy: "AlwaysAllow",
    selector: { matchLabels: podSelector(release, service) },
  };
  const metadata = { ...named(release, name), annotations: skipAwait };
  return { apiVersion: "policy/v1", kind: "PodDisruptionBudget", metadata, spec };
}

/**
 * In: the service's own port, for everybody where it serves, for the baker alone where it does not. Out: `outward`.
 */
function networkPolicy(release: ClusterRelease, service: ClusterService): KubernetesObject {
  const { system } = release.manifest;
  const baker = { podSelector: { matchLabels: { [label.system]: system, [label.part]: part.baker } } };
  const port = { protocol: "TCP", port: service.port };
  const spec = {
    podSelector: { matchLabels: podSelector(release, service) },
    policyTypes: ["Ingress", "Egress"],
    ingress: [{ ports: [port], ...(service.kind === "serving" ? {} : { from: [baker] }) }],
    egress: outward,
  };
  const metadata = named(release, workloadName(system, service.name, release.fingerprint));
  return { apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy", metadata, spec };
}

export type MigrationStep = "backup" | "apply" | "verify" | "revert";

/** One step of a migration as a Job: once, bounded, and its pod kept so that it can be asked what it said. */
export function migrationJob(
  release: ClusterRelease,
  migration: ClusterMigration,
  step: MigrationStep,
): KubernetesObject {
  const { system } = release.manifest;
  const settingsOf = migrationName(system, "migration", release.fingerprint);
  const hasSecrets = Object.keys(migration.secrets).length > 0;
  const labels = { ...releaseLabels(release), [label.part]: "migration" };
  const limits = { cpu: "1000m", memory: "1Gi" };
  return {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: { ...named(release, migrationName(system, step, release.fingerprint)), labels },
    spec: {
      backoffLimit: 0,
      activeDeadlineSeconds: migration.seconds,
      ttlSecondsAfterFinished: 7 * 24 * 3600,
      template: {
        metadata: { labels },
        spec: {
          restartPolicy: "Never",
          serviceAccountName: releaseName(system, release.fingerprint),
          automountServiceAccountToken: false,
          enableServiceLinks: false,
          securityContext: podSecurity,
          volumes: [scratch.volume],
          containers: [
            {
              name: step,
              image: migration.image,
              imagePullPolicy: "IfNotPresent",
              command: migration[step],
              env: [{ name: "RELEASE", value: release.manifest.release }],
              envFrom: [
                { configMapRef: { name: settingsOf } },
                ...(hasSecrets ? [{ secretRef: { name: settingsOf } }] : []),
              ],
              terminationMessagePolicy: "FallbackToLogsOnError",
              resources: { requests: { cpu: "100m", memory: "128Mi" }, limits },
              securityContext: containerSecurity,
              volumeMounts: [scratch.mount],
            },
          ],
        },
      },
    },
  };
}

function named(release: ClusterRelease, name: string) {
  const { namespace } = release.manifest;
  return { name, namespace, labels: releaseLabels(release) };
}

/** Marks that the runner leaves on a record; the engine's object never holds them. */
export const marks = [annotation.receipt, annotation.gates, annotation.backup, annotation.migrated] as const;
