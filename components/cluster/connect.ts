import type { RequestOptions } from "node:https";
import { UnreachableError } from "../rollout/leg.ts";
import { ClusterApi, type Connection, NoAnswerError } from "./api.ts";

/** Which cluster, and where in it; no credentials: these are the runner's (KUBECONFIG, else ~/.kube/config). */
export interface ClusterLocation {
  /** Context of the kubeconfig. @default its current one */
  readonly context?: string | undefined;
  readonly namespace: string;
}

/**
 * The API of a cluster with the runner's credentials.
 * @throws UnreachableError where the kubeconfig names no such context
 */
export async function connectCluster(location: ClusterLocation, seconds?: number): Promise<ClusterApi> {
  return new ClusterApi(await connectionOf(location), location.namespace, seconds);
}

export function describeCluster({ context, namespace }: ClusterLocation): string {
  return `namespace ${namespace} of the cluster ${context ?? "of the kubeconfig's current context"}`;
}

/** Runs `work`; an API server that gave no answer is said to be unreachable. */
export async function reaching<T>(
  location: ClusterLocation,
  work: (api: ClusterApi) => Promise<T>,
): Promise<T> {
  try {
    return await work(await connectCluster(location));
  } catch (error) {
    if (error instanceof NoAnswerError) throw new UnreachableError(describeCluster(location), error.message);
    throw error;
  }
}

async function connectionOf(location: ClusterLocation): Promise<Connection> {
  // Only its reader of kubeconfigs: the whole client takes twice as long to load, in every update.
  const { KubeConfig } = await import("@kubernetes/client-node/dist/config.js");
  const config = new KubeConfig();
  const unreachable = (why: string) => new UnreachableError(describeCluster(location), why);
  try {
    config.loadFromDefault();
  } catch (error) {
    throw unreachable(`the kubeconfig cannot be read: ${(error as Error).message}`);
  }
  if (location.context !== undefined) {
    const known = config.getContexts().map(({ name }) => name);
    if (!known.includes(location.context)) {
      throw unreachable(
        `the kubeconfig has no context "${location.context}"; it has: ${known.join(", ") || "none"}`,
      );
    }
    config.setCurrentContext(location.context);
  }
  const cluster = config.getCurrentCluster();
  if (!cluster) throw unreachable("the kubeconfig names no cluster: set KUBECONFIG");
  return {
    origin: cluster.server,
    options: async () => {
      const options: RequestOptions = {};
      await config.applyToHTTPSOptions(options);
      // Its agent opens a connection for each request; through a proxy there is no other.
      if (!cluster.proxyUrl) delete options.agent;
      return options;
    },
  };
}
