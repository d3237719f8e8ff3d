/** The status that a healthy cluster comes to give an object. */
import { type Properties, plain, type Value } from "../protocol/values.ts";

/** @param kind `Deployment` @returns undefined where objects of that kind have none */
export function statusOf(
  kind: string,
  inputs: Properties,
  generation: number,
  time: string,
): Value | undefined {
  const spec = record(plain(inputs.spec ?? {}));
  const replicas = typeof spec.replicas === "number" ? spec.replicas : 1;
  switch (kind) {
    case "Deployment":
      return {
        observedGeneration: generation,
        replicas,
        updatedReplicas: replicas,
        readyReplicas: replicas,
        availableReplicas: replicas,
        conditions: [
          condition("Available", "MinimumReplicasAvailable", time),
          condition("Progressing", "NewReplicaSetAvailable", time),
        ],
      };
    case "StatefulSet":
      return {
        observedGeneration: generation,
        replicas,
        updatedReplicas: replicas,
        readyReplicas: replicas,
        availableReplicas: replicas,
        currentReplicas: replicas,
      };
    case "ReplicaSet":
      return {
        observedGeneration: generation,
        replicas,
        readyReplicas: replicas,
        availableReplicas: replicas,
      };
    case "DaemonSet":
      return {
        observedGeneration: generation,
        currentNumberScheduled: 1,
        desiredNumberScheduled: 1,
        updatedNumberScheduled: 1,
        numberAvailable: 1,
        numberMisscheduled: 0,
        numberReady: 1,
      };
    case "Job":
      if (spec.suspend === true) return { conditions: [condition("Suspended", "JobSuspended", time)] };
      return {
        startTime: time,
        completionTime: time,
        succeeded: typeof spec.completions === "number" ? spec.completions : 1,
        conditions: [condition("Complete", "CompletionsReached", time)],
      };
    case "Pod":
      return {
        phase: "Running",
        podIP: "10.244.0.10",
        startTime: time,
        conditions: [condition("Ready", "", time)],
      };
    case "Service":
      return { loadBalancer: spec.type === "LoadBalancer" ? ingress : {} };
    case "Ingress":
      return { loadBalancer: ingress };
    case "Namespace":
      return { phase: "Active" };
    case "PersistentVolumeClaim":
      return { phase: "Bound" };
    case "PodDisruptionBudget":
      return {
        observedGeneration: generation,
        currentHealthy: 1,
        desiredHealthy: 1,
        expectedPods: 1,
        disruptionsAllowed: 0,
      };
    case "CronJob":
    case "HorizontalPodAutoscaler":
    case "ResourceQuota":
      return {};
    default:
      return undefined;
  }
}

/** A TEST-NET address: nothing answers there. */
const ingress = { ingress: [{ ip: "192.0.2.10" }] };

function condition(type: string, reason: string, time: string): Value {
  return { type, status: "True", lastTransitionTime: time, ...(reason === "" ? {} : { reason }) };
}

export function record(value: Value | undefined): Properties {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Properties) : {};
}
