import { access } from "node:fs/promises";
import type { TargetObservation } from "../../../rollout/observation.ts";
import { buildDirectory } from "../builds.ts";
import { jobOf } from "../cutover-files.ts";
import { readJson } from "../durable.ts";
import type { Host } from "../host.ts";
import { longestCutover } from "../longest.ts";
import { listReleases, listSystems, type ReleaseRecord, readCutover } from "../records.ts";
import { doorsOf, environmentPath, unitName } from "../units.ts";
import { groundReceiptFile } from "./ground.ts";

/** What the program and the command line ask a box before they decide anything. */
export interface BoxObservation {
  /** Receipt of the last ground; null on a box that was never prepared. */
  readonly ground: string | null;
  readonly systems: Readonly<Record<string, TargetObservation>>;
  /** Why a system cannot be observed, by its name; absent: all can. The others are in `systems`. */
  readonly unreadable?: Readonly<Record<string, string>>;
}

export async function observe(host: Host): Promise<BoxObservation> {
  const ground = await readJson<{ receipt: string }>(groundReceiptFile(host));
  const systems: Record<string, TargetObservation> = {};
  const unreadable: Record<string, string> = {};
  for (const system of await listSystems(host)) {
    try {
      systems[system] = await observeSystem(host, system);
    } catch (error) {
      unreadable[system] = (error as Error).message;
    }
  }
  const found = { ground: ground?.receipt ?? null, systems };
  return Object.keys(unreadable).length === 0 ? found : { ...found, unreadable };
}

async function observeSystem(host: Host, system: string): Promise<TargetObservation> {
  const releases = await listReleases(host, system);
  const doors = new Map(releases.flatMap(doorsOf).map(({ door }) => [door.name, door]));
  const state = await readCutover(host, system);
  const present = await onDisk(host, releases);
  const confirmed = releases.find(({ fingerprint }) => fingerprint === state.confirmed);
  const longest = await longestCutover(host, system).catch(() => null);
  const led = await Promise.all(
    [...doors.values()].map(async (door) => ({
      door: door.name,
      port: door.port,
      fingerprint: (await host.doorServes(door).catch(() => null))?.fingerprint ?? null,
    })),
  );
  return {
    ...state,
    running: await host.launched(jobOf(system)),
    ...(longest === null ? {} : { longestCutover: longest }),
    intact: confirmed !== undefined && (await isIntact(host, confirmed, led)),
    known: releases.map(({ fingerprint, manifest, receipt, done }) => ({
      fingerprint,
      release: manifest.release,
      receipt,
      placed: done.gates !== undefined && present.has(fingerprint),
      manifest,
    })),
    doors: led,
  };
}

/** Every door of the release leads to it, and every process of it runs. */
async function isIntact(
  host: Host,
  release: ReleaseRecord,
  led: TargetObservation["doors"],
): Promise<boolean> {
  const own = doorsOf(release).map(({ door }) => door.name);
  const right = led.every(
    ({ door, fingerprint }) => fingerprint === (own.includes(door) ? release.fingerprint : null),
  );
  const units = release.manifest.services.map((service) => host.unitState(unitName(release, service)));
  return (
    right && (await Promise.all(units)).every(({ active }) => active === "running" || active === "starting")
  );
}

/** Fingerprints of the releases whose files are still there: what somebody deleted is placed again. */
async function onDisk(host: Host, releases: readonly ReleaseRecord[]): Promise<Set<string>> {
  const found = await Promise.all(
    releases.map(async (release) => {
      const environments = release.manifest.services.map((service) =>
        environmentPath(host, release, service),
      );
      const paths = [buildDirectory(host, release.manifest), ...environments];
      const there = await Promise.all(
        paths.map((path) =>
          access(path).then(
            () => true,
            () => false,
          ),
        ),
      );
      return there.every(Boolean) ? [release.fingerprint] : [];
    }),
  );
  return new Set(found.flat());
}
