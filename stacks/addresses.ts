import { type EnvironmentName, environmentOf } from "../components/rollout/environment.ts";
import type { LegAddress } from "../components/rollout/leg.ts";
import { box as boxField } from "./config/box.ts";
import { type ClusterConfig, clusterAddress, cluster as clusterField } from "./config/cluster.ts";
import { edge as edgeField, edgePlace } from "./config/edge.ts";
import { systemNames } from "./config/read.ts";

export interface NamedAddress {
  readonly name: string;
  readonly address: LegAddress;
}

/**
 * Where each system of a stack is, providers before consumers: box → cluster → edge. Read off the stack's file, without
 * the engine and also where other keys are wrong, so that `status` and `flip` work in an emergency.
 */
export function legAddresses(
  stack: string,
  config: Readonly<Record<string, unknown>>,
): Map<string, NamedAddress[]> {
  const environment = environmentOf(stack);
  const systems = systemNames.map(
    (system) => [system, environment ? legsOf(system, environment, config) : []] as const,
  );
  return new Map(systems.filter(([, legs]) => legs.length > 0));
}

function legsOf(
  system: string,
  environment: EnvironmentName,
  config: Readonly<Record<string, unknown>>,
): NamedAddress[] {
  const legs: NamedAddress[] = [];
  const box = boxField.safeParse(config[`${system}:box`]);
  if (box.success) legs.push({ name: "box", address: { kind: "box", system, location: box.data } });
  const cluster = clusterField.safeParse(config[`${system}:cluster`]);
  if (cluster.success) {
    legs.push({ name: "cluster", address: addressOnCluster(system, cluster.data, box.success) });
  }
  const edge = edgeField.safeParse(config[`${system}:edge`]);
  if (edge.success)
    legs.push({ name: "edge", address: edgePlace(system, environment, edge.data, 0).address });
  return legs;
}

/** In development a cluster leg is on this machine's box, under a name of its own beside a box leg. */
function addressOnCluster(system: string, config: ClusterConfig, besideBox: boolean): LegAddress {
  if (config !== "local") return clusterAddress(system, config);
  return { kind: "box", system: besideBox ? `${system}-cluster` : system, location: "local" };
}
