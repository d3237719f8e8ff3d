import * as kubernetes from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import type { KubernetesObject } from "./objects/object.ts";

type Constructor = new (
  name: string,
  args: never,
  opts?: pulumi.CustomResourceOptions,
) => pulumi.CustomResource;

/** The engine's class of each kind this program makes. */
const classes: Readonly<Record<string, () => Constructor>> = {
  Namespace: () => kubernetes.core.v1.Namespace,
  ConfigMap: () => kubernetes.core.v1.ConfigMap,
  Secret: () => kubernetes.core.v1.Secret,
  Service: () => kubernetes.core.v1.Service,
  ServiceAccount: () => kubernetes.core.v1.ServiceAccount,
  Deployment: () => kubernetes.apps.v1.Deployment,
  StatefulSet: () => kubernetes.apps.v1.StatefulSet,
  CronJob: () => kubernetes.batch.v1.CronJob,
  PodDisruptionBudget: () => kubernetes.policy.v1.PodDisruptionBudget,
  NetworkPolicy: () => kubernetes.networking.v1.NetworkPolicy,
  Ingress: () => kubernetes.networking.v1.Ingress,
  Role: () => kubernetes.rbac.v1.Role,
  RoleBinding: () => kubernetes.rbac.v1.RoleBinding,
};

/** Registers an object with the engine under a logical name; a Secret's values are secrets of the state. */
export function register(
  name: string,
  object: KubernetesObject,
  opts: pulumi.CustomResourceOptions,
): pulumi.CustomResource {
  const known = classes[object.kind];
  if (!known)
    throw new Error(`${object.kind} is no kind that this program makes: ${Object.keys(classes).join(", ")}`);
  const { apiVersion: _, kind: __, ...args } = object;
  const inputs = object.kind === "Secret" ? { ...args, stringData: pulumi.secret(object.stringData) } : args;
  return new (known())(name, inputs as never, opts);
}
