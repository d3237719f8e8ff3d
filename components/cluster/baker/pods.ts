import type { ClusterApi, LiveObject } from "../api.ts";
import type { ClusterRelease, ClusterService } from "../manifest.ts";
import { label, selectorText } from "../names.ts";

/** What is read of a pod. */
export interface Pod extends LiveObject {
  readonly status: {
    readonly phase: string;
    readonly podIP?: string;
    readonly conditions?: readonly {
      readonly type: string;
      readonly status: string;
      readonly message?: string;
    }[];
    readonly containerStatuses?: readonly ContainerStatus[];
  };
}

interface ContainerStatus {
  readonly restartCount: number;
  readonly started?: boolean;
  readonly state?: {
    readonly waiting?: { readonly reason?: string; readonly message?: string };
    readonly terminated?: { readonly reason?: string; readonly exitCode: number; readonly message?: string };
  };
}

export function podsOf(
  api: ClusterApi,
  system: string,
  release: ClusterRelease | null = null,
): Promise<Pod[]> {
  const labels = { [label.system]: system, ...(release ? { [label.fingerprint]: release.fingerprint } : {}) };
  return api.list<Pod>("Pod", selectorText(labels));
}

export function belongsTo(pod: Pod, service: ClusterService): boolean {
  return pod.metadata.labels?.[label.service] === service.name;
}

/** Takes traffic, or could. */
export function isReady({ metadata, status }: Pod): boolean {
  const ready = status.conditions?.some((one) => one.type === "Ready" && one.status === "True");
  return metadata.deletionTimestamp === undefined && ready === true && status.podIP !== undefined;
}

/** Its process may still be doing something. */
export function isAlive({ status }: Pod): boolean {
  return status.phase !== "Succeeded" && status.phase !== "Failed";
}

export function originOf({ status: { podIP = "" } }: Pod, { port }: ClusterService): string {
  return `http://${podIP.includes(":") ? `[${podIP}]` : podIP}:${port}`;
}

export function restartsOf({ status }: Pod): number {
  return (status.containerStatuses ?? []).reduce((sum, { restartCount }) => sum + restartCount, 0);
}

/** Why a pod is not ready, in the words of the cluster. */
export function complaintOf(pod: Pod): string {
  const { name } = pod.metadata;
  for (const { state, restartCount } of pod.status.containerStatuses ?? []) {
    const { waiting, terminated } = state ?? {};
    const again = restartCount > 0 ? `, restarted ${restartCount} times` : "";
    if (waiting?.reason && waiting.reason !== "ContainerCreating") {
      return `${name}: ${waiting.reason}${waiting.message ? ` (${waiting.message.slice(0, 200)})` : ""}${again}`;
    }
    if (terminated) return `${name}: exited ${terminated.exitCode}${again}`;
  }
  const unscheduled = pod.status.conditions?.find(
    (one) => one.type === "PodScheduled" && one.status === "False",
  );
  if (unscheduled) return `${name}: not scheduled (${unscheduled.message ?? "no reason given"})`;
  return `${name}: ${pod.status.phase}, not ready`;
}
