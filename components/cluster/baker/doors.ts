import { setTimeout as pause } from "node:timers/promises";
import type { ClusterApi, LiveObject } from "../api.ts";
import { annotation, label, nothing } from "../names.ts";
import { doorSelector } from "../objects/ground.ts";

/** A Service of the system, stable or of a colour. */
export interface DoorObject extends LiveObject {
  readonly spec: {
    readonly clusterIP: string;
    readonly ports: readonly { readonly port: number }[];
    readonly selector?: Readonly<Record<string, string>>;
  };
}

/** Fingerprint that a Service leads to; null where it leads nowhere. */
export function ledTo({ spec }: DoorObject): string | null {
  const fingerprint = spec.selector?.[label.fingerprint];
  return fingerprint === undefined || fingerprint === nothing ? null : fingerprint;
}

/** Where users ask a service inside the cluster; by address, because not every cluster has names. */
export function doorOrigin({ spec }: DoorObject): string {
  const { clusterIP, ports } = spec;
  return `http://${clusterIP.includes(":") ? `[${clusterIP}]` : clusterIP}:${ports[0]?.port ?? 80}`;
}

/**
 * Points Services at a release, one call after the other and nothing in between: for no longer than one call do two of
 * them lead to different releases (TRD-2). A call that fails is made again before the next one.
 */
export async function pointDoors(
  api: ClusterApi,
  system: string,
  doors: readonly { readonly name: string; readonly service: string }[],
  to: string | null,
): Promise<void> {
  for (const { name, service } of doors) {
    const metadata = { annotations: { [annotation.switched]: new Date().toISOString() } };
    const spec = { selector: doorSelector(system, service, to ?? nothing) };
    await persistently(() => api.patch("Service", name, { metadata, spec }));
  }
}

async function persistently(work: () => Promise<unknown>): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await work();
      return;
    } catch (error) {
      if (attempt === 3) throw error;
      await pause(100);
    }
  }
}
