import type { TargetObservation } from "../../../rollout/observation.ts";
import { readJson } from "../durable.ts";
import type { Host } from "../host.ts";
import { listReleases, listSystems, readCutover } from "../records.ts";
import { doorsOf } from "../units.ts";
import { groundReceiptFile } from "./ground.ts";

/** What the program and the command line ask a box before they decide anything. */
export interface BoxObservation {
  /** Receipt of the last ground; null on a box that was never prepared. */
  readonly ground: string | null;
  readonly systems: Readonly<Record<string, TargetObservation>>;
}

export async function observe(host: Host): Promise<BoxObservation> {
  const ground = await readJson<{ receipt: string }>(groundReceiptFile(host));
  const systems: Record<string, TargetObservation> = {};
  for (const system of await listSystems(host)) systems[system] = await observeSystem(host, system);
  return { ground: ground?.receipt ?? null, systems };
}

async function observeSystem(host: Host, system: string): Promise<TargetObservation> {
  const releases = await listReleases(host, system);
  const doors = new Map(releases.flatMap(doorsOf).map(({ door }) => [door.name, door]));
  return {
    ...(await readCutover(host, system)),
    known: releases.map(({ fingerprint, manifest, receipt, done }) => ({
      fingerprint,
      release: manifest.release,
      receipt,
      placed: done.place !== undefined,
      manifest,
    })),
    doors: await Promise.all(
      [...doors.values()].map(async (door) => ({
        door: door.name,
        port: door.port,
        fingerprint: (await host.doorServes(door).catch(() => null))?.fingerprint ?? null,
      })),
    ),
  };
}
