import { clusterPrograms } from "./programs.ts";
import { reasonNoCluster } from "./reason.ts";

/** Before the first cluster test: builds what is missing, which takes longer than any test may. */
export async function setup(): Promise<void> {
  if (reasonNoCluster() === null) await clusterPrograms();
}
