import { rmSync } from "node:fs";
import { end, isAlive, type ProcessIdentity, until } from "../box/processes.ts";
import { removeCgroups } from "../cgroups.ts";
import { MachineFolders, type MachineRecord } from "../machine-folders.ts";

export interface ClusterRecord extends MachineRecord {
  /** The first process of its namespaces. */
  readonly first?: ProcessIdentity;
}

export const clusters = new MachineFolders<ClusterRecord>("cluster");

/** The control group of the cluster's pods in each hierarchy. */
export function cgroupName(name: string): string {
  return `switchyard-cluster-${name}`;
}

/** Ends the cluster and removes all that was its own: processes, cgroups, state. Mounts and networks end with it. */
export async function removeCluster(name: string): Promise<void> {
  const record = clusters.read(name);
  if (record?.supervisor) await end(record.supervisor);
  const first = record?.first;
  // It is gone when everything else in its pid namespace is.
  if (first) await until(() => !isAlive(first), 30, `the processes of the cluster ${name} do not end`);
  await removeCgroups(cgroupName(name));
  rmSync(clusters.of(name), { recursive: true, force: true });
}

/** Removes the clusters of owners that were killed, and no other. Returns their names. */
export async function removeLeftovers(): Promise<string[]> {
  const names = clusters.leftovers();
  for (const name of names) await removeCluster(name);
  return names;
}
