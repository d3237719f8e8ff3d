import { type EmergencyStop, stoppedBy } from "../../gates/emergency-stop.ts";
import { askDoors } from "../../rollout/cutover/doors.ts";
import type { CutoverTarget, Finding } from "../../rollout/cutover/machine.ts";
import type { CutoverState } from "../../rollout/cutover/state.ts";
import type { ClusterApi } from "../api.ts";
import type { ClusterRelease } from "../manifest.ts";
import { type Memory, stateOf } from "../memory.ts";
import { doorName, stateName } from "../names.ts";
import type { ClusterPolicy } from "../policy.ts";
import { bakeOnCluster } from "./bake.ts";
import { askChecks, askPatiently } from "./checks.ts";
import { type DoorObject, ledTo, pointDoors } from "./doors.ts";
import { belongsTo, isReady, originOf, podsOf } from "./pods.ts";
import { verifyOnCluster } from "./verify.ts";
import { serving, Workloads } from "./workloads.ts";

export interface ClusterTargetArgs {
  readonly api: ClusterApi;
  readonly memory: Memory;
  readonly system: string;
  /** Every placed release of the system. */
  readonly releases: readonly ClusterRelease[];
  readonly policy: ClusterPolicy;
  /** Somebody wants the cutover ended. */
  readonly stop: () => EmergencyStop | null;
}

/** The cluster as the cutover's state machine sees it: Services and workloads of one system. */
export class ClusterTarget implements CutoverTarget {
  private readonly args: ClusterTargetArgs;
  private readonly workloads: Workloads;
  /** Text of the state as it was last read or written here. */
  private lastState = "";

  constructor(args: ClusterTargetArgs) {
    this.args = args;
    this.workloads = new Workloads(args.api, args.system, args.policy);
  }

  async readState(): Promise<CutoverState> {
    const remembered = await this.args.memory.read();
    this.lastState = remembered.state ?? "";
    return stateOf(remembered);
  }

  async writeState(state: CutoverState): Promise<void> {
    const text = JSON.stringify(state);
    await this.args.memory.write({ state: text }, this.lastState);
    this.lastState = text;
  }

  async checkHealth(fingerprint: string): Promise<Finding | null> {
    const { policy, stop } = this.args;
    const release = this.release(fingerprint);
    await this.workloads.raise(release);
    const until = () => stop() !== null;
    const lacking = await this.workloads.awaitReady(release, policy.healthSeconds, { until });
    const stopped = stop();
    if (stopped) return stoppedBy(stopped);
    if (lacking) {
      const rule = `${lacking.service} is ready within ${policy.healthSeconds} s`;
      return { rule, measured: lacking.measured, allowed: lacking.allowed };
    }
    return this.askPods(release);
  }

  async moveTraffic(to: string | null, direction: "forward" | "back"): Promise<void> {
    const next = to === null ? null : this.release(to);
    const others = this.args.releases.filter(({ fingerprint }) => fingerprint !== to);
    const { pending } = await this.readState();
    const doors = await this.doors();
    const served = new Set(doors.flatMap((door) => ledTo(door.object) ?? []));
    if (next) await this.workloads.raise(next);
    if (direction === "forward") {
      await this.workloads.stopSingletons(others);
      await this.point(doors, to);
    } else {
      // The pods of what is gone back to are there but for bad luck; waiting for them is worth two seconds, no more.
      if (next) await this.workloads.awaitReady(next, 2, { some: true });
      await this.point(doors, to);
      await this.workloads.stopSingletons(others);
    }
    await this.endConnections(
      others,
      direction === "back" ? (pending?.to ?? null) : null,
      served,
      pending?.from,
    );
    if (next) {
      await this.workloads.startSingletons(next);
      await this.refuseUnready(next);
    }
  }

  verify(fingerprint: string): Promise<Finding | null> {
    const { api, system, policy, stop } = this.args;
    return verifyOnCluster(api, system, this.release(fingerprint), policy.outside ?? [], stop);
  }

  bake(fingerprint: string, short: boolean): Promise<Finding | null> {
    const { api, memory, system, policy, stop } = this.args;
    const release = this.release(fingerprint);
    const doors = () => this.lookAtDoors(fingerprint);
    return bakeOnCluster({ api, memory, system, release, policy, proved: short, stop, doors });
  }

  /** A Service of a service that the release lacks selects its pods too, of which there are none. */
  lookAtDoors(fingerprint: string | null): Promise<Finding | null> {
    const { system } = this.args;
    const doors = this.servingServices().map((service) => {
      const name = doorName(system, service);
      const serves = async () => ledTo(await this.door(service));
      return { name: `the Service ${name}`, wanted: fingerprint, serves };
    });
    return askDoors(doors, (served) => this.releaseName(served));
  }

  /** Services and workloads are what comes back by itself. */
  async remember(): Promise<void> {}

  /** The pods that were told to end finish what they have, for as long as their release allows. */
  async drain(): Promise<void> {}

  async releaseName(fingerprint: string): Promise<string> {
    return this.find(fingerprint)?.manifest.release ?? fingerprint;
  }

  now(): Date {
    return new Date();
  }

  /** Asks every pod of the serving services. */
  private async askPods(release: ClusterRelease): Promise<Finding | null> {
    const { api, system } = this.args;
    const pods = await podsOf(api, system, release);
    for (const service of serving(release)) {
      const own = pods.filter((pod) => belongsTo(pod, service));
      for (const pod of own.filter(isReady)) {
        const complaint = await askPatiently(() =>
          askChecks(service, originOf(pod, service), `pod ${pod.metadata.name}`),
        );
        if (complaint) return complaint;
      }
    }
    return null;
  }

  /**
   * Kept connections never move by themselves: the pods they go to have to end. Those of a release that is taken back
   * end at once and stay away; it gets new ones before it is tried again. Those of one that may have to take traffic
   * again at any moment are replaced.
   */
  private async endConnections(
    others: readonly ClusterRelease[],
    bad: string | null,
    served: ReadonlySet<string>,
    from: string | null | undefined,
  ): Promise<void> {
    for (const release of others) {
      const { fingerprint } = release;
      if (fingerprint === bad) {
        await Promise.all(serving(release).map((service) => this.workloads.scale(release, service, 0)));
      } else if (served.has(fingerprint) || (bad === null && fingerprint === from)) {
        await this.workloads.replacePods(release);
      }
    }
  }

  private async refuseUnready(release: ClusterRelease): Promise<void> {
    const lacking = await this.workloads.awaitReady(release, this.args.policy.healthSeconds, { some: true });
    if (lacking) throw new Error(`${lacking.service} has ${lacking.measured}, expected ${lacking.allowed}`);
  }

  private point(doors: readonly Door[], to: string | null): Promise<void> {
    const { api, system } = this.args;
    return pointDoors(api, system, doors, to);
  }

  /** The stable Services of every service that any release has. */
  private async doors(): Promise<Door[]> {
    return Promise.all(
      this.servingServices().map(async (service) => {
        return { name: doorName(this.args.system, service), service, object: await this.door(service) };
      }),
    );
  }

  private servingServices(): string[] {
    const { releases } = this.args;
    return [...new Set(releases.flatMap((release) => serving(release).map(({ name }) => name)))];
  }

  private async door(service: string): Promise<DoorObject> {
    const name = doorName(this.args.system, service);
    const object = await this.args.api.find<DoorObject>("Service", name);
    if (object) return object;
    throw new Error(`Service ${name} is not there: run the whole update without --target`);
  }

  private release(fingerprint: string): ClusterRelease {
    const found = this.find(fingerprint);
    if (found) return found;
    throw new Error(
      `${this.args.system} ${fingerprint} is not placed here (ConfigMap ${stateName(this.args.system)} names it); ` +
        "run the whole update without --target",
    );
  }

  private find(fingerprint: string): ClusterRelease | undefined {
    return this.args.releases.find((release) => release.fingerprint === fingerprint);
  }
}

interface Door {
  readonly name: string;
  readonly service: string;
  readonly object: DoorObject;
}
