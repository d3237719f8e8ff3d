import type { ClusterApi, LiveObject } from "./api.ts";
import { workloadName } from "./names.ts";
import { recordsOf, releaseOf } from "./observe.ts";

/**
 * Gives every placed release as many pods as are wanted now. One that was taken back has none, and keeps none until it
 * is tried again.
 */
export async function scale(
  api: ClusterApi,
  system: string,
  replicas: Readonly<Record<string, number>>,
): Promise<void> {
  for (const { fingerprint, manifest } of (await recordsOf(api, system)).map(releaseOf)) {
    for (const { name, kind } of manifest.services) {
      const wanted = replicas[name];
      if (kind === "singleton" || wanted === undefined) continue;
      const workload = workloadName(system, name, fingerprint);
      const found = await api.find<LiveObject & { spec: { replicas?: number } }>("Deployment", workload);
      if (!found?.spec.replicas || found.spec.replicas === wanted) continue;
      await api.patch("Deployment", workload, { spec: { replicas: wanted } });
    }
  }
}
