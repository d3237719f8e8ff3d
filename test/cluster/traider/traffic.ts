import type { LiveObject } from "../../../components/cluster/api.ts";
import type { Cluster } from "../../support/cluster/cluster.ts";
import { type Load, type LoadOptions, type LoadSummary, startLoad } from "../../support/load/load.ts";
import type { World } from "./world.ts";

/**
 * POSTs to both of TRAIDER's Services from inside the cluster, each request once. @param path `/api/slow?ms=…` takes its
 * time, on every release
 */
export async function startTraffic(
  world: World,
  clients: Pick<LoadOptions, "newConnectionClients" | "keepAliveClients" | "held">,
  path = "/api/orders",
): Promise<Load> {
  const urls = await Promise.all(
    ["backend", "frontend"].map(async (service) => `${await doorOf(world, service)}${path}`),
  );
  return startLoad({
    enter: world.cluster.enter,
    urls,
    method: "POST",
    body: '{"symbol":"BTC"}',
    ...clients,
    requestsPerSecond: 25,
    timeoutSeconds: 20,
  });
}

export async function doorOf({ api }: World, service: string): Promise<string> {
  type Door = LiveObject & { spec: { clusterIP: string } };
  const door = await api.find<Door>("Service", `traider-${service}`);
  return `http://${door?.spec.clusterIP}`;
}

export interface Moved {
  /** Milliseconds from the moment traffic was to move until the last request that the release left began. */
  readonly fresh: number;
  readonly kept: number;
}

/**
 * How long after `at` requests still began that the release answered. Waits until it has answered nothing that began in
 * the last four seconds, on either kind of connection: longer than any of its answers takes.
 */
export async function lastOf(load: Load, release: string, at: Date): Promise<Moved> {
  const quiet = (summary: LoadSummary) => {
    const { new: fresh, keepAlive } = summary.releases[release] ?? {};
    return summary.to - Math.max(fresh?.lastStart ?? 0, keepAlive?.lastStart ?? 0) > 4000;
  };
  const { new: fresh, keepAlive } = (await load.until(quiet, 60)).releases[release] ?? {};
  const since = (time = 0) => Math.max(0, time - at.getTime());
  return { fresh: since(fresh?.lastStart), kept: since(keepAlive?.lastStart) };
}

/** SIGKILL to the baker's container, its watchdog and all. */
export async function killBaker(cluster: Cluster, namespace: string, job: string): Promise<void> {
  const path = "jsonpath={.items[-1:].status.containerStatuses[0].containerID}";
  const words = ["get", "pods", "-n", namespace, "-l", `batch.kubernetes.io/job-name=${job}`, "-o", path];
  const id = (await cluster.kubectl(words)).replace("containerd://", "");
  const killed = await cluster.inside([
    "ctr",
    "-n",
    "k8s.io",
    "tasks",
    "kill",
    "--all",
    "--signal",
    "SIGKILL",
    id,
  ]);
  if (killed.code !== 0) throw new Error(`the baker could not be killed: ${killed.stderr}`);
}
