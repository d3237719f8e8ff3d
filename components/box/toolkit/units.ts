import { join, resolve } from "node:path";
import type { MaintenanceManifest, PlacedRelease, ServiceManifest } from "../../rollout/manifest.ts";
import { buildDirectory } from "./builds.ts";
import type { Door, Host, Unit } from "./host.ts";
import type { ReleaseRecord } from "./records.ts";

/** Names and paths of a release's processes and doors, derived in one place. */

export function unitName({ manifest, fingerprint }: PlacedRelease, service: ServiceManifest): string {
  return `${manifest.system}-${service.name}-${fingerprint}`;
}

export function releaseFolder(host: Host, { manifest, fingerprint }: PlacedRelease): string {
  return join(host.releasesDirectory, "releases", `${manifest.system}-${fingerprint}`);
}

export function environmentPath(host: Host, release: PlacedRelease, service: ServiceManifest): string {
  return join(releaseFolder(host, release), `${service.name}.env`);
}

export function unitOf(host: Host, release: PlacedRelease, service: ServiceManifest): Unit {
  const { system, release: name } = release.manifest;
  return {
    name: unitName(release, service),
    description: `${system} ${service.name} ${name} (${release.colour})`,
    kind: service.kind,
    lock: `${system}-${service.name}`,
    command: service.command,
    directory: buildDirectory(host, release.manifest),
    environmentFile: environmentPath(host, release, service),
    stopSeconds: service.stopSeconds,
  };
}

/** What the process of a service sees: its settings, its secrets, and what the box adds. */
export function environmentOf(
  host: Host,
  release: ReleaseRecord,
  service: ServiceManifest,
  secrets: Readonly<Record<string, string>>,
): Record<string, string> {
  const values: Record<string, string> = { ...service.environment };
  for (const name of Object.keys(service.secrets)) {
    const value = secrets[name];
    if (value === undefined) throw new Error(`${service.name}: the secret ${name} did not arrive`);
    values[name] = value;
  }
  const { maintenance } = release.manifest;
  return {
    ...values,
    ...(maintenance ? { MAINTENANCE_FILE: maintenanceFlag(host, maintenance) } : {}),
    HOST: "127.0.0.1",
    PORT: String(release.ports[service.name]),
    RELEASE: release.manifest.release,
    RELEASE_FINGERPRINT: release.fingerprint,
  };
}

/** Where a release's services look whether they are in maintenance. */
export function maintenanceFlag(host: Host, { flag }: MaintenanceManifest): string {
  return resolve(host.releasesDirectory, flag);
}

export function serving(release: PlacedRelease): ServiceManifest[] {
  return release.manifest.services.filter((service) => service.kind === "serving");
}

export function singletons(release: PlacedRelease): ServiceManifest[] {
  return release.manifest.services.filter((service) => service.kind === "singleton");
}

/** The public port of a service; a service on another port is another door, so both can stand during a cutover. */
export function doorOf(system: string, service: ServiceManifest): Door | null {
  if (service.door === undefined) return null;
  return { name: `${system}-${service.name}-${service.door}`, port: service.door };
}

export function doorsOf(release: PlacedRelease): { door: Door; service: ServiceManifest }[] {
  return release.manifest.services.flatMap((service) => {
    const door = doorOf(release.manifest.system, service);
    return door ? [{ door, service }] : [];
  });
}
