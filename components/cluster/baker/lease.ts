import { setTimeout as pause } from "node:timers/promises";
import { silenceSeconds } from "../../rollout/cutover/watchdog.ts";
import type { ClusterApi, LiveObject } from "../api.ts";
import { annotation, stateName } from "../names.ts";

interface LeaseObject extends LiveObject {
  readonly spec?: {
    readonly holderIdentity?: string | null;
    readonly renewTime?: string | null;
    readonly leaseDurationSeconds?: number;
  };
}

/** Somebody wants the cutover of that request ended. */
export interface StopRequest {
  readonly id: string;
  readonly by: string;
  readonly reason: string;
}

/** Seconds without a renewal after which a holder must not move traffic any more; its successor waits longer. */
export const longestWithoutRenewal = 10;

/**
 * The Lease of a system's traffic: whoever moves it holds it, so two bakers never do at once, also where a node was cut
 * off and its pod replaced. Whether a holder is alive is judged by this process' own clock.
 */
export class TrafficLease {
  private readonly api: ClusterApi;
  private readonly name: string;
  private readonly holder: string;

  constructor(api: ClusterApi, system: string, holder: string) {
    this.api = api;
    this.name = stateName(system);
    this.holder = holder;
  }

  /** Waits until it is free, or its holder has been silent for 15 s. */
  async acquire(): Promise<void> {
    let seen = { renewTime: "", at: performance.now() };
    for (;;) {
      const lease = await this.read();
      const { holderIdentity: holder, renewTime } = lease.spec ?? {};
      if (renewTime !== seen.renewTime) seen = { renewTime: renewTime ?? "", at: performance.now() };
      const silent = performance.now() - seen.at > silenceSeconds * 1000;
      if (!holder || holder === this.holder || silent) {
        if (await this.api.replace({ ...lease, spec: this.held() })) return;
      }
      await pause(500);
    }
  }

  /** Says that the holder lives. @returns what it is asked to end, if anything. @throws when it holds it no more */
  async renew(): Promise<StopRequest | null> {
    for (;;) {
      const lease = await this.read();
      if (lease.spec?.holderIdentity !== this.holder)
        throw new LostLease(this.name, lease.spec?.holderIdentity);
      if (!(await this.api.replace({ ...lease, spec: this.held() }))) continue;
      const stop = lease.metadata.annotations?.[annotation.stop];
      return stop ? (JSON.parse(stop) as StopRequest) : null;
    }
  }

  async release(): Promise<void> {
    const lease = await this.read();
    if (lease.spec?.holderIdentity !== this.holder) return;
    await this.api.replace({ ...lease, spec: { ...lease.spec, holderIdentity: "" } });
  }

  private held() {
    const now = new Date().toISOString().replace("Z", "000Z");
    return { holderIdentity: this.holder, renewTime: now, leaseDurationSeconds: silenceSeconds };
  }

  private async read(): Promise<LeaseObject> {
    const lease = await this.api.find<LeaseObject>("Lease", this.name);
    if (lease) return lease;
    throw new Error(`Lease ${this.name} is not there: somebody has deleted it`);
  }
}

/** Another one holds the Lease: this process must not move traffic any more. */
export class LostLease extends Error {
  constructor(name: string, holder: string | null | undefined) {
    super(`Lease ${name} is held by ${holder || "nobody"}`);
    this.name = "LostLease";
  }
}
