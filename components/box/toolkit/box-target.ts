import type { CutoverTarget, Finding } from "../../rollout/cutover/machine.ts";
import type { CutoverState } from "../../rollout/cutover/state.ts";
import type { ServiceManifest } from "../../rollout/manifest.ts";
import { bake } from "./bake.ts";
import type { Door, Host } from "./host.ts";
import {
  findRelease,
  listReleases,
  type ReleaseRecord,
  readCutover,
  readPolicy,
  requireRelease,
  writeCutover,
} from "./records.ts";
import { checkServiceHealth } from "./service-health.ts";
import { doorsOf, serving, singletons, unitName } from "./units.ts";

/** The box as the cutover's state machine sees it: doors and processes of one system. */
export class BoxTarget implements CutoverTarget {
  private readonly host: Host;
  private readonly system: string;
  private readonly doorsShut: boolean;

  /** `doorsShut`: at boot, before the front door opens, there is no traffic to move, only what it will open on. */
  constructor(host: Host, system: string, { doorsShut = false } = {}) {
    this.host = host;
    this.system = system;
    this.doorsShut = doorsShut;
  }

  readState(): Promise<CutoverState> {
    return readCutover(this.host, this.system);
  }

  writeState(state: CutoverState): Promise<void> {
    return writeCutover(this.host, this.system, state);
  }

  async checkHealth(fingerprint: string): Promise<Finding | null> {
    const release = await requireRelease(this.host, this.system, fingerprint);
    const { healthSeconds } = await readPolicy(this.host, this.system);
    for (const service of serving(release)) {
      await this.start(release, service);
      const finding = await checkServiceHealth(this.host, release, service, healthSeconds);
      if (finding) return finding;
    }
    return null;
  }

  async moveTraffic(to: string | null, direction: "forward" | "back"): Promise<void> {
    if (this.doorsShut) return;
    const releases = await listReleases(this.host, this.system);
    const next = to === null ? null : await requireRelease(this.host, this.system, to);
    const started = await Promise.allSettled(
      next ? serving(next).map((service) => this.start(next, service)) : [],
    );
    if (direction === "forward") {
      refuseFailed(started);
      await this.stopOtherSingletons(releases, to);
      await this.pointDoors(releases, next);
    } else {
      // One process that does not start must not keep the others' requests on a release that is left.
      await this.pointDoors(releases, next);
      await this.stopOtherSingletons(releases, to);
      refuseFailed(started);
    }
    if (next) for (const service of singletons(next)) await this.start(next, service);
  }

  async bake(fingerprint: string, short: boolean): Promise<Finding | null> {
    const release = await requireRelease(this.host, this.system, fingerprint);
    const policy = await readPolicy(this.host, this.system);
    return bake(this.host, release, policy, short ? policy.shortBakeSeconds : policy.bakeSeconds);
  }

  async remember(fingerprint: string | null): Promise<void> {
    const release = fingerprint === null ? null : await findRelease(this.host, this.system, fingerprint);
    for (const { door, backend } of this.routes(await listReleases(this.host, this.system), release)) {
      await this.host.rememberDoor(door, backend);
    }
  }

  async drain(): Promise<void> {
    if (this.doorsShut) return;
    const seconds = new Map<string, { door: Door; seconds: number }>();
    for (const release of await listReleases(this.host, this.system)) {
      for (const { door, service } of doorsOf(release)) {
        const longest = Math.max(service.drainSeconds, seconds.get(door.name)?.seconds ?? 0);
        seconds.set(door.name, { door, seconds: longest });
      }
    }
    await Promise.all([...seconds.values()].map((entry) => this.host.drainDoor(entry.door, entry.seconds)));
  }

  async releaseName(fingerprint: string): Promise<string> {
    return (await findRelease(this.host, this.system, fingerprint))?.manifest.release ?? fingerprint;
  }

  now(): Date {
    return new Date();
  }

  private start(release: ReleaseRecord, service: ServiceManifest): Promise<void> {
    return this.host.startUnit(unitName(release, service));
  }

  private async stopOtherSingletons(releases: ReleaseRecord[], to: string | null): Promise<void> {
    const others = releases.filter((release) => release.fingerprint !== to);
    await Promise.all(
      others.flatMap((other) =>
        singletons(other).map((service) => this.host.stopUnit(unitName(other, service))),
      ),
    );
  }

  private async pointDoors(releases: ReleaseRecord[], next: ReleaseRecord | null): Promise<void> {
    const routes = this.routes(releases, next);
    await Promise.all(routes.map(({ door, backend }) => this.host.pointDoor(door, backend)));
  }

  /** Where each door of the system leads when `next` serves; a door that `next` lacks leads nowhere (503). */
  private routes(releases: ReleaseRecord[], next: ReleaseRecord | null) {
    const doors = new Map(releases.flatMap(doorsOf).map(({ door }) => [door.name, door]));
    const wanted = new Map(next ? doorsOf(next).map(({ door, service }) => [door.name, service]) : []);
    return [...doors.values()].map((door) => {
      const service = wanted.get(door.name);
      const port = service && next?.ports[service.name];
      return { door, backend: next && port ? { fingerprint: next.fingerprint, port } : null };
    });
  }
}

function refuseFailed(started: readonly PromiseSettledResult<void>[]): void {
  for (const one of started) if (one.status === "rejected") throw one.reason;
}
