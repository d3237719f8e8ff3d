/** Which changes of a Kubernetes object its API refuses, so that the plugin makes a new one (as of plugin 4.34). */
import type { Path } from "../protocol/diff.ts";
import { type Properties, plainProperties } from "../protocol/values.ts";

const workload = ["spec.selector"];
const pod = [
  "affinity",
  "automountServiceAccountToken",
  "containers",
  "dnsConfig",
  "dnsPolicy",
  "enableServiceLinks",
  "hostAliases",
  "hostIPC",
  "hostNetwork",
  "hostPID",
  "hostname",
  "imagePullSecrets",
  "initContainers",
  "nodeName",
  "nodeSelector",
  "overhead",
  "preemptionPolicy",
  "priority",
  "priorityClassName",
  "readinessGates",
  "restartPolicy",
  "runtimeClassName",
  "schedulerName",
  "securityContext",
  "serviceAccount",
  "serviceAccountName",
  "shareProcessNamespace",
  "subdomain",
  "terminationGracePeriodSeconds",
  "volumes",
];
const claim = ["accessModes", "selector", "storageClassName", "volumeName"];
const statefulSet = [
  "podManagementPolicy",
  "revisionHistoryLimit",
  "selector",
  "serviceName",
  "volumeClaimTemplates",
];
const inSpec = (names: readonly string[]): string[] => names.map((name) => `spec.${name}`);

const byKind: Readonly<Record<string, readonly string[]>> = {
  "apps/v1:DaemonSet": workload,
  "apps/v1:Deployment": workload,
  "apps/v1:StatefulSet": inSpec(statefulSet),
  "batch/v1:Job": inSpec(["completions", "parallelism", "selector", "template"]),
  "core/v1:PersistentVolumeClaim": inSpec(claim),
  "core/v1:Pod": inSpec(pod),
  "core/v1:ResourceQuota": ["spec.scopes"],
  "core/v1:Service": ["spec.clusterIP"],
  "rbac.authorization.k8s.io/v1:ClusterRoleBinding": ["roleRef"],
  "rbac.authorization.k8s.io/v1:RoleBinding": ["roleRef"],
  "storage.k8s.io/v1:StorageClass": ["parameters", "provisioner"],
};

/**
 * A Secret's and a ConfigMap's content replaces, unless the provider was told that they may change and the object does
 * not forbid it.
 * @param kind `apps/v1:Deployment`
 */
export function replacingPaths(
  kind: string,
  inputs: Properties,
  mutable: { readonly secrets: boolean; readonly configMaps: boolean },
): (path: Path) => boolean {
  const rules = ["metadata.name", "metadata.namespace", ...(byKind[kind] ?? [])];
  const immutable = plainProperties(inputs).immutable === true;
  if (kind === "core/v1:Secret") {
    rules.push("type", ...(mutable.secrets && !immutable ? [] : ["data", "stringData"]));
  }
  if (kind === "core/v1:ConfigMap" && !(mutable.configMaps && !immutable)) rules.push("data", "binaryData");
  return (path) => {
    const at = path.join(".");
    // A whole `spec` that came or went took what is in it along.
    return rules.some((rule) => at === rule || at.startsWith(`${rule}.`) || rule.startsWith(`${at}.`));
  };
}

/** Kinds of the whole cluster; every other one is in a namespace. */
export const clusterWide: ReadonlySet<string> = new Set([
  "APIService",
  "CSIDriver",
  "CSINode",
  "CertificateSigningRequest",
  "ClusterRole",
  "ClusterRoleBinding",
  "ClusterTrustBundle",
  "CustomResourceDefinition",
  "DeviceClass",
  "FlowSchema",
  "IPAddress",
  "IngressClass",
  "MutatingAdmissionPolicy",
  "MutatingAdmissionPolicyBinding",
  "MutatingWebhookConfiguration",
  "Namespace",
  "Node",
  "PersistentVolume",
  "PriorityClass",
  "PriorityLevelConfiguration",
  "ResourceSlice",
  "RuntimeClass",
  "ServiceCIDR",
  "StorageClass",
  "StorageVersion",
  "ValidatingAdmissionPolicy",
  "ValidatingAdmissionPolicyBinding",
  "ValidatingWebhookConfiguration",
  "VolumeAttachment",
  "VolumeAttributesClass",
]);
