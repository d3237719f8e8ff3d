import type * as pulumi from "@pulumi/pulumi";
import type { ReleaseEntry } from "../../stacks/config/fields.ts";
import type { EmergencyStop } from "../gates/emergency-stop.ts";
import type { CutoverRequest, Finding, Outcome } from "./cutover/machine.ts";
import type { Failure } from "./cutover/state.ts";
import type { TargetObservation } from "./observation.ts";

/**
 * A leg: what one system has on one target (box, cluster, edge). Most systems have one; a system with several lists
 * them providers first (POD: box → cluster → edge). The rollout knows nothing of a target but this.
 */
export interface Leg<Manifest extends object = object> {
  /** Name within the system: `box`, `cluster`, `edge`; part of resource names where a system has several legs. */
  readonly name: string;
  /** Where it is, plain and without credentials: what the runner needs to talk to it apart from the engine. */
  readonly address: LegAddress;
  /** What the target answered before the first resource; null where it gave no answer (preview only). */
  readonly observed: TargetObservation<Manifest> | null;
  /** Plain text from plain values: what a release is on this target. */
  readonly render: (name: string, entry: ReleaseEntry) => Manifest;
  /** The backup made before each placed release's migration, by release: what a restore asks for. */
  readonly backups?: Readonly<Record<string, pulumi.Output<string>>>;
  /** What belongs to the leg and not to a release: policy, stable Service, Worker. Changes in place. */
  prepare(parent: pulumi.Resource): pulumi.Resource;
  /** Everything a release goes through here before traffic; returns its guard, the last step. */
  place(release: LegRelease<Manifest>, context: PlaceContext): pulumi.Resource;
  /** The cutover of a system whose only leg this is. */
  cutOver(live: LegRelease<Manifest>, context: CutoverContext): pulumi.Resource;
}

/** A release as one leg registers it. */
export interface LegRelease<Manifest extends object = object> {
  readonly name: string;
  readonly fingerprint: string;
  readonly colour: "blue" | "green";
  readonly manifest: Manifest;
  /** Receipt that its steps carry: the target's own where it has the release, else a new one, so that they run. */
  readonly receipt: string;
  /** The target has it: whatever the program renders now, nothing of it is touched. */
  readonly frozen: boolean;
}

export interface PlaceContext {
  readonly parent: pulumi.Resource;
  /** Logical names begin with it: `<system>-<release>-<fingerprint>`, with the leg's name where there are several. */
  readonly name: string;
  /** What the first step waits for. */
  readonly after: readonly pulumi.Resource[];
  /** Fingerprints of the other releases that stay placed. */
  readonly kept: readonly string[];
}

/** For the update's output; nothing where no release came with a migration. */
export function backupsOf(legs: readonly Leg[]): { backups?: Record<string, pulumi.Output<string>> } {
  const backups = Object.assign({}, ...legs.map((leg) => leg.backups));
  return Object.keys(backups).length === 0 ? {} : { backups };
}

/** What a placed release's steps never take up again. The connection may follow the box; the verbs are no-ops then. */
export const frozenProperties = ["create", "update", "delete", "stdin", "environment", "logging", "triggers"];

export interface CutoverContext {
  readonly parent: pulumi.Resource;
  readonly name: string;
  readonly after: readonly pulumi.Resource[];
  /** The receipt that the cutover carries (see heal). */
  readonly receipt: string;
  /** The target gave no answer (preview only): nothing that is in the state may differ. */
  readonly unanswered: boolean;
}

/** What says where a leg's target is. No credentials: they come from the runner (SSH agent, KUBECONFIG, API token). */
export type LegAddress =
  | { readonly kind: "box"; readonly system: string; readonly location: object | "local" }
  | {
      readonly kind: "cluster";
      readonly system: string;
      /** Context of the kubeconfig; absent: its current one. */
      readonly context?: string;
      readonly namespace: string;
    }
  | {
      readonly kind: "edge";
      readonly system: string;
      readonly accountId: string;
      /** Name of the Worker. */
      readonly worker: string;
      /** Cloudflare's API, or the local edge of development. */
      readonly api: string;
    };

/**
 * A leg's target as the runner drives it apart from the engine: before the first resource, in a cutover over several
 * legs, and from the command line. Every call is bounded.
 *
 * @throws UnreachableError where the target gives no answer
 */
export interface LegDriver {
  observe(): Promise<TargetObservation>;
  /** Health of a placed release, without moving anything. */
  check(fingerprint: string): Promise<Finding | null>;
  /** Runs the cutover on the target and waits for its verdict; one that still runs is waited for. */
  cutOver(request: CutoverRequest): Promise<Outcome>;
  /** Traffic leaves the system altogether: what `destroy` does, or because another leg of the first release failed. */
  withdraw(because?: Failure): Promise<void>;
  /** Lets `destroy` through for that many minutes. */
  arm(minutes: number): Promise<void>;
  /** The release that bakes here at this moment goes back at once. @throws where nothing bakes */
  stop(stop: EmergencyStop): Promise<void>;
  /** Ends an unfinished cutover and clears what a failed taking back left. */
  recover(): Promise<void>;
}

/** Raised when a target gave no answer at all. */
export class UnreachableError extends Error {
  constructor(target: string, why: string) {
    super(`${target} cannot be reached: ${why}`);
    this.name = "UnreachableError";
  }
}
