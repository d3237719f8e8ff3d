import * as pulumi from "@pulumi/pulumi";
import type { ReleaseEntry } from "../../stacks/config/fields.ts";
import {
  type CutoverContext,
  frozenProperties,
  type Leg,
  type LegAddress,
  type LegRelease,
  type PlaceContext,
} from "../rollout/leg.ts";
import type { ReleaseManifest } from "../rollout/manifest.ts";
import type { TargetObservation } from "../rollout/observation.ts";
import type { Box, Step } from "./box.ts";
import type { Policy } from "./toolkit/records.ts";

export interface BoxLegArgs {
  /** Name under which the box keeps the leg's releases: the system's, unless it has a second leg on the same box. */
  readonly system: string;
  /** Name of the leg within its system. @default "box" */
  readonly name?: string;
  readonly box: Box;
  readonly observed: TargetObservation | null;
  readonly render: (name: string, entry: ReleaseEntry) => ReleaseManifest;
  readonly policy: Policy;
  /** Values of the secrets, by name of environment variable; they travel on standard input only. */
  readonly secrets: Readonly<Record<string, string>>;
  /** What has to be there before the leg's first step: the system's vault, which backups go into. */
  readonly before?: readonly pulumi.Resource[];
}

/** A leg on a Linux box: every step is a verb of the box's toolkit. */
export class BoxLeg implements Leg<ReleaseManifest> {
  readonly name: string;
  readonly address: LegAddress;
  readonly observed: TargetObservation | null;
  readonly render: BoxLegArgs["render"];
  readonly backups: Record<string, pulumi.Output<string>> = {};
  private readonly args: BoxLegArgs;

  constructor(args: BoxLegArgs) {
    this.args = args;
    this.name = args.name ?? "box";
    this.address = { kind: "box", system: args.system, location: args.box.location };
    this.observed = args.observed;
    this.render = args.render;
  }

  /** The policy: rules and times of the bake, which change in place. */
  prepare(parent: pulumi.Resource): pulumi.Resource {
    const { box, policy, system, before = [] } = this.args;
    const input = { ...policy, prepared: box.receipt };
    return box.step(
      `${system}-policy`,
      { verb: ["policy", system], input, inputIsPlain: true },
      { parent, dependsOn: [box.ready, ...before] },
    );
  }

  place(release: LegRelease<ReleaseManifest>, { parent, name, after, kept }: PlaceContext): Step {
    const { box, system, secrets } = this.args;
    const { fingerprint, colour, manifest, receipt, frozen } = release;
    const words = [system, release.name, fingerprint];
    let last = after;
    const next = (step: string, verb: string, input: unknown, onDelete?: string): Step => {
      const args = { verb: [verb, ...words], input, ...(onDelete ? { onDelete: [onDelete, ...words] } : {}) };
      const opts = { parent, dependsOn: [...last], ignoreChanges: frozen ? frozenProperties : [] };
      const placed = box.step(`${name}-${step}`, args, opts);
      last = [placed];
      return placed;
    };
    next("preflight", "preflight", { fingerprint, colour, manifest, receipt, secrets }, "remove");
    if (manifest.schema && manifest.schema.change !== "none") {
      this.backups[release.name] = backupId(next("backup", "backup", { receipt }));
      next("migrate", "migrate", { receipt, kept });
    }
    next("place", "place", { receipt });
    next("gates", "gates", { receipt });
    return next("guard", "guarded", { receipt }, "guard");
  }

  cutOver(live: LegRelease<ReleaseManifest>, context: CutoverContext): Step {
    const { box, system } = this.args;
    const { parent, name, after, receipt, unanswered } = context;
    const verb = ["cutover", system, live.name, live.fingerprint];
    return box.step(
      name,
      { verb, input: { receipt }, onDelete: ["withdraw", system] },
      { parent, dependsOn: [...after], ignoreChanges: unanswered ? ["stdin"] : [] },
    );
  }
}

/** The vault's where there is one, else the machine's own. */
function backupId({ stdout }: Step): pulumi.Output<string> {
  return pulumi.unsecret(stdout).apply((text) => {
    const made = JSON.parse(text || "null") as { id: string; vault: { id: string } | null } | null;
    return made?.vault?.id ?? made?.id ?? "none";
  });
}
