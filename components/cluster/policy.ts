import type { BakePolicy } from "../gates/policy.ts";

/** What may change in place on a cluster, without a release. */
export interface ClusterPolicy extends BakePolicy {
  /** Pods of each serving service. */
  readonly replicas: Readonly<Record<string, number>>;
}
