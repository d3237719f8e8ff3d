import type { EnvironmentName } from "../rollout/environment.ts";
import type { ServiceKind } from "../rollout/manifest.ts";

/**
 * What a release renders to on a cluster: plain values, from which `objects/` makes Kubernetes objects. Never a
 * secret's value, only its revision; what changes in place (replicas, rules, hosts) is not part of it.
 */
export interface ClusterManifest {
  readonly environment: EnvironmentName;
  readonly system: string;
  /** The name under which the pins know the release. */
  readonly release: string;
  readonly version: string;
  readonly namespace: string;
  readonly services: readonly ClusterService[];
  readonly migration?: ClusterMigration;
}

export interface ClusterService {
  readonly name: string;
  /** A singleton is placed at 0 replicas; only the cutover starts it, once every other one of its kind is gone. */
  readonly kind: ServiceKind;
  /** By digest: `registry/name@sha256:…`; by tag in development only. */
  readonly image: string;
  /** Program and arguments; absent: what the image starts. */
  readonly command?: readonly string[];
  /** Port of the container, in PORT too. */
  readonly port: number;
  /** Plain settings, byte for byte what the process sees. PORT and RELEASE are added. */
  readonly environment: Readonly<Record<string, string>>;
  /** Names of environment variables whose values are secret, each with the revision (HMAC) of its value. */
  readonly secrets: Readonly<Record<string, string>>;
  /** Path that answers 2xx when the process can work: startup, readiness and liveness probes ask it. */
  readonly health: string;
  /** What the gates ask besides, on every pod and through the Services. */
  readonly checks: readonly HealthCheck[];
  /** Path of Prometheus text metrics, on the same port. */
  readonly metrics?: string;
  readonly resources: Resources;
  /** Seconds a pod goes on serving after it was told to end, while the cluster stops sending it new connections. */
  readonly drainSeconds: number;
  /** Seconds between SIGTERM and SIGKILL, after the drain. */
  readonly stopSeconds: number;
}

export interface HealthCheck {
  readonly path: string;
  /** Values that members of the JSON answer must have, by dotted path, @example { "database.status": "healthy" } */
  readonly expect?: Readonly<Record<string, string>>;
}

/** Request and limit at once, in Kubernetes' own units: what a pod may use is what it is sure to get. */
export interface Resources {
  readonly cpu: string;
  readonly memory: string;
}

/** The schema's migration as Jobs in the cluster, before anything of the release runs (TRD-5). */
export interface ClusterMigration {
  readonly image: string;
  /** Saves the database; the last line it writes to /dev/termination-log says where to. */
  readonly backup: readonly string[];
  readonly apply: readonly string[];
  readonly verify: readonly string[];
  /** Takes `apply` back when it or `verify` fails. */
  readonly revert: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly secrets: Readonly<Record<string, string>>;
  /** Bound of each of them. */
  readonly seconds: number;
}

/** A release as the cluster is to hold it. */
export interface ClusterRelease {
  readonly fingerprint: string;
  readonly colour: "blue" | "green";
  readonly manifest: ClusterManifest;
}
