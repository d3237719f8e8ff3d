import { chmod, mkdir, rm } from "node:fs/promises";
import { build, buildDirectory, pruneBuilds } from "../builds.ts";
import { composeUnit, prepareCompose, removeProject } from "../compose.ts";
import { isComposed } from "../compose-file.ts";
import { writeDurably } from "../durable.ts";
import { environmentFile } from "../environment-file.ts";
import type { Host } from "../host.ts";
import { allotPort, returnPort } from "../ports.ts";
import {
  findRelease,
  forgetRelease,
  listReleases,
  markDone,
  namesOf,
  type ReleaseRecord,
  readCutover,
  readPolicy,
  readSecrets,
  requireRelease,
  writeRelease,
} from "../records.ts";
import {
  doorsOf,
  environmentOf,
  environmentPath,
  releaseFolder,
  serving,
  unitName,
  unitOf,
} from "../units.ts";

/** Builds the release, installs its processes beside what serves, and starts the serving ones. No traffic moves. */
export async function place(host: Host, system: string, fingerprint: string): Promise<void> {
  const release = await withPorts(host, await requireRelease(host, system, fingerprint));
  await build(host, release.manifest);
  await prepareCompose(host, release);
  await mkdir(releaseFolder(host, release), { recursive: true, mode: 0o755 });
  await chmod(releaseFolder(host, release), 0o755);
  const secrets = await readSecrets(host, release);
  for (const service of release.manifest.services) {
    await writeDurably(
      environmentPath(host, release, service),
      environmentFile(environmentOf(host, release, service, secrets)),
    );
    const unit = isComposed(service)
      ? await composeUnit(host, release, service)
      : unitOf(host, release, service);
    await host.installUnit(unit);
  }
  for (const { door } of doorsOf(release)) await host.openDoor(door);
  for (const service of serving(release)) await host.startUnit(unitName(release, service));
  await markDone(host, release, "place");
}

/** Removes a release that does not serve: processes, files, ports, and doors that no other release needs (ALL-7). */
export async function remove(host: Host, system: string, fingerprint: string): Promise<void> {
  const release = await findRelease(host, system, fingerprint);
  if (release) {
    await refuseIfServing(host, system, fingerprint);
    for (const service of release.manifest.services) {
      const name = unitName(release, service);
      await host.stopUnit(name);
      await host.removeUnit(name);
      await returnPort(host, name);
    }
    await removeProject(host, release);
    await rm(releaseFolder(host, release), { recursive: true, force: true });
    await forgetRelease(host, system, fingerprint);
  }
  const others = await listReleases(host, system);
  await closeUnusedDoors(host, system, others);
  const used = others.map((other) => buildDirectory(host, other.manifest));
  await pruneBuilds(host, system, used, (await readPolicy(host, system)).keptBuilds);
}

/** Nothing that serves is ever deleted: refuses while traffic is, or may be taken back, on the release. */
export async function refuseIfServing(host: Host, system: string, fingerprint: string): Promise<void> {
  const { confirmed, pending } = await readCutover(host, system);
  const release = await findRelease(host, system, fingerprint);
  const doors = release ? await Promise.all(doorsOf(release).map(({ door }) => host.doorServes(door))) : [];
  const answers = doors.some((backend) => backend?.fingerprint === fingerprint);
  if (confirmed !== fingerprint && pending?.to !== fingerprint && pending?.from !== fingerprint && !answers)
    return;
  throw new Error(
    `${system} ${release?.manifest.release ?? fingerprint} serves at this moment, so it is not deleted: make another ` +
      `release live first (\`switchyard release ${system} <version>\`), or arm a destroy (\`switchyard destroy --arm\`)`,
  );
}

/** The release with a port for each service, the same ones each time. */
export async function withPorts(host: Host, release: ReleaseRecord): Promise<ReleaseRecord> {
  const ports: Record<string, number> = {};
  for (const service of release.manifest.services) {
    ports[service.name] = await allotPort(host, unitName(release, service));
  }
  const record = { ...release, ports };
  await writeRelease(host, record);
  return record;
}

/** Doors follow from what is placed: one that no release needs is closed, also after a remove that was killed. */
async function closeUnusedDoors(
  host: Host,
  system: string,
  releases: readonly ReleaseRecord[],
): Promise<void> {
  const needed = new Set(releases.flatMap(doorsOf).map(({ door }) => door.name));
  const isOwn = await namesOf(host, system);
  for (const door of await host.doors()) {
    if (isOwn(door.name) && !needed.has(door.name)) await host.closeDoor(door);
  }
}
