import { askDoors } from "../../rollout/cutover/doors.ts";
import { type CutoverTarget, type Finding, FindingError } from "../../rollout/cutover/machine.ts";
import type { CutoverState } from "../../rollout/cutover/state.ts";
import type { ServiceManifest } from "../../rollout/manifest.ts";
import { bake } from "./bake.ts";
import type { Door, Host } from "./host.ts";
import {
  awaitDrained,
  flagsOf,
  lowerFlags,
  raiseFlags,
  smokeTest,
  verifyHealth,
  type WindowStep,
} from "./maintenance.ts";
import { journalsBefore, watchJournals } from "./maintenance-journal.ts";
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
import { verifyOnBox } from "./verify.ts";

export interface BoxTargetOptions {
  /** At boot, before the front door opens, there is no traffic to move, only what it will open on. @default false */
  readonly doorsShut?: boolean;
  /** Called before each step of a maintenance window that goes forward. */
  readonly atStep?: (step: WindowStep) => Promise<void>;
}

/** The box as the cutover's state machine sees it: doors and processes of one system. */
export class BoxTarget implements CutoverTarget {
  private readonly host: Host;
  private readonly system: string;
  private readonly doorsShut: boolean;
  private readonly atStep: (step: WindowStep) => Promise<void>;

  constructor(
    host: Host,
    system: string,
    { doorsShut = false, atStep = async () => {} }: BoxTargetOptions = {},
  ) {
    this.host = host;
    this.system = system;
    this.doorsShut = doorsShut;
    this.atStep = atStep;
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
    const releases = await listReleases(this.host, this.system);
    const flags = flagsOf(this.host, releases);
    if (this.doorsShut) return lowerFlags(flags);
    const next = to === null ? null : await requireRelease(this.host, this.system, to);
    if (flags.length > 0) return this.moveInWindow(releases, next, direction, flags);
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

  async verify(fingerprint: string): Promise<Finding | null> {
    const release = await requireRelease(this.host, this.system, fingerprint);
    const { outside = [] } = await readPolicy(this.host, this.system);
    return verifyOnBox(this.host, release, outside);
  }

  async bake(fingerprint: string, short: boolean): Promise<Finding | null> {
    const release = await requireRelease(this.host, this.system, fingerprint);
    const policy = await readPolicy(this.host, this.system);
    return bake(this.host, release, policy, short, () => this.lookAtDoors(fingerprint));
  }

  async lookAtDoors(fingerprint: string | null): Promise<Finding | null> {
    if (this.doorsShut) return null;
    const next = fingerprint === null ? null : await requireRelease(this.host, this.system, fingerprint);
    const routes = this.routes(await listReleases(this.host, this.system), next);
    const doors = routes.map(({ door, backend }) => ({
      name: `the front door ${door.name}`,
      wanted: backend?.fingerprint ?? null,
      serves: async () => (await this.host.doorServes(door))?.fingerprint ?? null,
    }));
    return askDoors(doors, (served) => this.releaseName(served));
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

  /**
   * DEI-2: flag → drain → doors shut → old gone → new started → health → flag off → smoke test → doors open. The
   * document takes its smoke test before the flag is off, where a controller that honours the flag has to refuse it: here
   * the doors answer 503 until it has passed. Going back is the same without flag, draining and judging: at once.
   */
  private async moveInWindow(
    releases: readonly ReleaseRecord[],
    next: ReleaseRecord | null,
    direction: "forward" | "back",
    flags: readonly string[],
  ): Promise<void> {
    const forward = direction === "forward";
    const at = forward ? this.atStep : async () => {};
    try {
      if (forward) {
        await at("flag");
        await raiseFlags(flags);
        await at("drain");
        refuse(await this.awaitLeftDrained(releases, next));
      }
      await at("stop");
      await this.pointDoors(releases, next, { shut: true });
      await this.drain();
      await this.stopOtherSingletons(releases, next?.fingerprint ?? null);
      await at("start");
      const journals = next && forward ? await journalsBefore(this.host, next) : null;
      for (const service of next?.manifest.services ?? []) if (next) await this.start(next, service);
      await at("judge");
      const unwell = next ? await this.judge(next, journals) : null;
      await at("smoke");
      if (forward) refuse(unwell);
      await lowerFlags(flags);
      if (next && forward) refuse(await smokeTest(this.host, next));
      await at("open");
      await this.pointDoors(releases, next);
    } finally {
      await lowerFlags(flags);
    }
  }

  /** Whoever is behind a door that is about to lead elsewhere. */
  private async awaitLeftDrained(releases: readonly ReleaseRecord[], next: ReleaseRecord | null) {
    for (const release of releases) {
      const maintenance = release.manifest.maintenance ?? next?.manifest.maintenance;
      if (release.fingerprint === next?.fingerprint || !maintenance) continue;
      const led = await Promise.all(doorsOf(release).map(({ door }) => this.host.doorServes(door)));
      if (!led.some((backend) => backend?.fingerprint === release.fingerprint)) continue;
      const finding = await awaitDrained(this.host, release, maintenance);
      if (finding) return finding;
    }
    return null;
  }

  /** A release that has served a whole bake before has shown its first seconds already. */
  private async judge(next: ReleaseRecord, journals: ReadonlyMap<string, readonly string[]> | null) {
    const { healthSeconds } = await readPolicy(this.host, this.system);
    const finding = await verifyHealth(this.host, next, healthSeconds);
    const { baked } = await this.readState();
    const seconds = next.manifest.maintenance?.journalSeconds;
    if (finding || !journals || seconds === undefined || baked.includes(next.fingerprint)) return finding;
    return watchJournals(this.host, next, journals, seconds);
  }

  private start(release: ReleaseRecord, service: ServiceManifest): Promise<void> {
    return this.host.startUnit(unitName(release, service));
  }

  private async stopOtherSingletons(releases: readonly ReleaseRecord[], to: string | null): Promise<void> {
    const others = releases.filter((release) => release.fingerprint !== to);
    await Promise.all(
      others.flatMap((other) =>
        singletons(other).map((service) => this.host.stopUnit(unitName(other, service))),
      ),
    );
  }

  /** `shut`: a door that leads elsewhere leads nowhere; one that is right already stays open. */
  private async pointDoors(
    releases: readonly ReleaseRecord[],
    next: ReleaseRecord | null,
    { shut = false } = {},
  ): Promise<void> {
    const routes = this.routes(releases, next);
    await Promise.all(
      routes.map(async ({ door, backend }) => {
        const now = shut ? await this.host.doorServes(door) : null;
        const right = backend !== null && now?.fingerprint === backend.fingerprint;
        await this.host.pointDoor(door, shut && !right ? null : backend);
      }),
    );
  }

  /** Where each door of the system leads when `next` serves; a door that `next` lacks leads nowhere (503). */
  private routes(releases: readonly ReleaseRecord[], next: ReleaseRecord | null) {
    const doors = new Map(releases.flatMap(doorsOf).map(({ door }) => [door.name, door]));
    const wanted = new Map(next ? doorsOf(next).map(({ door, service }) => [door.name, service]) : []);
    return [...doors.values()].map((door) => {
      const service = wanted.get(door.name);
      const port = service && next?.ports[service.name];
      return { door, backend: next && port ? { fingerprint: next.fingerprint, port } : null };
    });
  }
}

function refuse(finding: Finding | null): void {
  if (finding) throw new FindingError(finding);
}

function refuseFailed(started: readonly PromiseSettledResult<void>[]): void {
  for (const one of started) if (one.status === "rejected") throw one.reason;
}
