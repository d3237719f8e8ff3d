import { performance } from "node:perf_hooks";
import { setTimeout as pause } from "node:timers/promises";
import { readHandle } from "../box/toolkit/bake-handle.ts";
import { askDoors } from "../rollout/cutover/doors.ts";
import type { CutoverTarget, Finding } from "../rollout/cutover/machine.ts";
import type { CutoverState } from "../rollout/cutover/state.ts";
import type { Share, WorkerApi } from "./api.ts";
import { bake } from "./bake.ts";
import { FrontWriter } from "./front.ts";
import type { EdgePolicy } from "./manifest.ts";
import { askFront, otherThan, overrideFor } from "./probe.ts";
import { type Placed, type PlacedVersion, readPlaced } from "./records.ts";
import { sharesOf } from "./shares.ts";
import { handleFile } from "./turn.ts";
import { verifyByVersion } from "./verify.ts";

/** Cloudflare's API may be away for a while in which everybody is served: it is not what people come in by. */
const apiSeconds = 30;

export interface EdgeTargetOptions {
  /** All traffic at once: a move that nobody watches (a flip, a return because another leg failed). */
  readonly atOnce?: boolean;
}

/**
 * The edge as the cutover's state machine sees it: the deployments of one Worker. A step of the traffic is one call,
 * whichever way it goes; nothing is drained, because Cloudflare lets requests in flight end where they began.
 */
export class EdgeCutoverTarget implements CutoverTarget {
  private readonly api: WorkerApi;
  private readonly placed: Placed;
  private readonly writer: FrontWriter;
  private readonly atOnce: boolean;

  static async open(api: WorkerApi, options: EdgeTargetOptions = {}): Promise<EdgeCutoverTarget> {
    const placed = await readPlaced(api);
    if (placed?.closed) return new EdgeCutoverTarget(api, placed, options);
    throw new Error(`${api.address.worker} was never prepared: run the whole update without --target`);
  }

  constructor(api: WorkerApi, placed: Placed, { atOnce = false }: EdgeTargetOptions) {
    this.api = api;
    this.placed = placed;
    this.atOnce = atOnce;
    this.writer = new FrontWriter(api, this.policy.oldSecretsWork);
  }

  async readState(): Promise<CutoverState> {
    return (await this.writer.read()).state.cutover;
  }

  async writeState(cutover: CutoverState): Promise<void> {
    const { state } = await this.writer.read();
    await this.writer.write({ state: { ...state, cutover } });
  }

  /** Puts the release into the deployment with no share of the traffic, and asks it there by version (smoke test). */
  async checkHealth(fingerprint: string): Promise<Finding | null> {
    const next = this.require(fingerprint);
    const { shares, state } = await this.writer.read();
    const serving = this.versionOf(state.cutover.confirmed);
    // Whatever else had a share (one taken by hand, one left by a kill) has none from here on.
    if (serving !== next.versionId || shares.length !== 1) {
      await this.writer.write({ shares: sharesOf(next.versionId, 0, serving) });
    }
    return this.smoke(next);
  }

  /** Takes a release without a share out of the deployment again. */
  async dropUnshared(): Promise<void> {
    const { shares } = await this.writer.read();
    const shared = shares.filter(({ percentage }) => percentage > 0);
    if (shared.length < shares.length) await this.writer.write({ shares: shared });
  }

  async markGated(fingerprint: string): Promise<void> {
    const { state } = await this.writer.read();
    const gated = [...state.gated.filter((known) => known !== fingerprint), fingerprint];
    await this.writer.write({ state: { ...state, gated } });
  }

  async moveTraffic(to: string | null, direction: "forward" | "back"): Promise<void> {
    const versionId = this.versionOf(to);
    const { state } = await this.writer.read();
    const first = direction === "forward" ? this.stepsTo(state.cutover, to)[0] : undefined;
    const shares = first
      ? sharesOf(versionId, first.percent, this.versionOf(state.cutover.confirmed))
      : sharesOf(versionId, 100, null);
    await this.writer.write({ shares });
  }

  async verify(fingerprint: string): Promise<Finding | null> {
    const { state } = await this.writer.read();
    const { outside = [] } = this.policy;
    const handle = handleFile(this.api.address);
    const stop = () => readHandle(handle, state.cutover.pending?.receipt);
    return verifyByVersion(this.worker, this.front, this.require(fingerprint), outside, stop);
  }

  /** Watches each share of the traffic for its own time, then all of it. */
  async bake(fingerprint: string, short: boolean): Promise<Finding | null> {
    const { state } = await this.writer.read();
    const next = this.require(fingerprint);
    const handle = handleFile(this.api.address);
    const emergencyStop = () => readHandle(handle, state.cutover.pending?.receipt);
    const all = { next, policy: this.policy, front: this.front, worker: this.worker, emergencyStop };
    const watch = (seconds: number, percent: number) => {
      const rest = this.versionOf(state.cutover.confirmed);
      const doors = () => this.lookAtShares(sharesOf(next.versionId, percent, rest));
      return bake({ ...all, seconds, percent, proved: short, doors });
    };
    const [first, ...later] = this.stepsTo(state.cutover, fingerprint);
    if (first) {
      const bad = await watch(first.seconds, first.percent);
      if (bad) return bad;
      for (const { percent, seconds } of later) {
        const rest = this.versionOf(state.cutover.confirmed);
        await this.writer.write({ shares: sharesOf(next.versionId, percent, rest) });
        const found = await watch(seconds, percent);
        if (found) return found;
      }
      await this.writer.write({ shares: sharesOf(next.versionId, 100, null) });
    }
    const { bakeSeconds, shortBakeSeconds } = this.policy;
    return (await this.arrives(next)) ?? (await watch(short ? shortBakeSeconds : bakeSeconds, 100));
  }

  lookAtDoors(fingerprint: string | null): Promise<Finding | null> {
    return this.lookAtShares(sharesOf(this.versionOf(fingerprint), 100, null));
  }

  /** A deployment is what a reboot would bring back; there is none. */
  async remember(): Promise<void> {}

  async drain(): Promise<void> {}

  async releaseName(fingerprint: string): Promise<string> {
    return this.find(fingerprint)?.record.manifest.release ?? fingerprint;
  }

  now(): Date {
    return new Date();
  }

  /** A deployment that somebody else has made is no finding: it is theirs from there on (see TakenOverError). */
  private lookAtShares(wanted: readonly Share[]): Promise<Finding | null> {
    const text = (shares: readonly Share[]) =>
      JSON.stringify(
        shares
          .filter(({ percentage }) => percentage > 0)
          .sort((one, other) => one.versionId.localeCompare(other.versionId)),
      );
    const serves = async () => text((await this.writer.read()).shares);
    const door = { name: `the deployment of ${this.worker}`, wanted: text(wanted), serves };
    return askDoors([door], (served) => this.tellShares(JSON.parse(served) as Share[]), apiSeconds);
  }

  /** @example "v2" of all traffic, "10 % v2, 90 % v1" of a share */
  private async tellShares(shares: readonly Share[]): Promise<string> {
    const told = shares.map(({ versionId, percentage }) => {
      const found = this.placed.releases.find((release) => release.versionId === versionId);
      const closed = versionId === this.placed.closed?.versionId ? "nothing" : `version ${versionId}`;
      const name = found?.record.manifest.release ?? closed;
      return percentage === 100 ? name : `${percentage} % ${name}`;
    });
    return told.join(", ");
  }

  private get policy(): EdgePolicy {
    return this.leg.policy;
  }

  private get front(): string {
    return this.leg.front;
  }

  private get leg() {
    if (!this.placed.closed) throw new Error(`${this.worker} was never prepared`);
    return this.placed.closed.record;
  }

  private get worker(): string {
    return this.api.address.worker;
  }

  private find(fingerprint: string): PlacedVersion | undefined {
    return this.placed.releases.find((release) => release.fingerprint === fingerprint);
  }

  private require(fingerprint: string): PlacedVersion {
    const found = this.find(fingerprint);
    if (found) return found;
    throw new Error(
      `${fingerprint} is no version of ${this.worker} that can be deployed (the latest 100 can): ` +
        "run the whole update without --target, it is uploaded again",
    );
  }

  /** The version that serves a release; of nothing, the one that answers 503. */
  private versionOf(fingerprint: string | null): string {
    if (fingerprint !== null) return this.require(fingerprint).versionId;
    return this.placed.closed?.versionId ?? "";
  }

  /**
   * The shares below all of it. A release that has served a whole bake gets none, nor does the first one: a share of
   * its own beside 503 is no trial.
   */
  private stepsTo({ confirmed, baked }: CutoverState, to: string | null): EdgePolicy["steps"] {
    const proved = to === null || baked.includes(to) || confirmed === null;
    return this.atOnce || proved ? [] : this.policy.steps;
  }

  private async smoke(next: PlacedVersion): Promise<Finding | null> {
    const { healthSeconds } = this.policy;
    const { manifest } = next.record;
    const override = overrideFor(this.worker, next.versionId);
    const deadline = performance.now() + healthSeconds * 1000;
    for (let wait = 100; ; wait = Math.min(wait * 2, 1000)) {
      const address = new URL(`${this.front}${manifest.health}`);
      const answer = await askFront(address.href, override);
      const other = answer.ok ? await otherThan(manifest, next.fingerprint, this.front, override) : null;
      if (answer.ok && other === null) return null;
      if (performance.now() + wait > deadline) {
        return answer.ok
          ? {
              rule: `a request by version reaches ${manifest.release} within ${healthSeconds} s`,
              measured: `${other} answered`,
              allowed: manifest.release,
            }
          : {
              rule: `${manifest.release} answers 2xx on ${address.pathname} within ${healthSeconds} s`,
              measured: answer.status
                ? `${answer.status} ${answer.text}`.trim()
                : `no answer (${answer.text})`,
              allowed: "200 to 299",
            };
      }
      await pause(wait);
    }
  }

  /** Requests without an override reach the release: its deployment is where people are. */
  private async arrives({ record, fingerprint }: PlacedVersion): Promise<Finding | null> {
    const { healthSeconds } = this.policy;
    const deadline = performance.now() + healthSeconds * 1000;
    for (;;) {
      const other = await otherThan(record.manifest, fingerprint, this.front, null);
      if (other === null) return null;
      if (performance.now() > deadline) {
        return {
          rule: `traffic of ${this.front} reaches ${record.manifest.release} within ${healthSeconds} s`,
          measured: `${other} answered`,
          allowed: record.manifest.release,
        };
      }
      await pause(200);
    }
  }
}
