import * as pulumi from "@pulumi/pulumi";
import type { Box, Step } from "../box/box.ts";
import { frozenProperties } from "../box/box.ts";
import type { Policy } from "../box/toolkit/records.ts";
import { cutoverReceipt } from "./heal.ts";
import type { TargetObservation } from "./observation.ts";
import type { Release } from "./releases.ts";

export interface RolloutArgs {
  readonly box: Box;
  /** Live first, then what is kept; empty before the first release. */
  readonly releases: readonly Release[];
  readonly policy: Policy;
  /** Values of the secrets, by name of environment variable; they travel on standard input only. */
  readonly secrets: Readonly<Record<string, string>>;
  readonly observed: TargetObservation | null;
  readonly newReceipt: string;
}

/**
 * The rollout of one system: policy, then for each release preflight → backup → migrate → place → gates → guard, then
 * the one cutover. Releases that are no longer pinned are deleted by the engine after everything else has succeeded.
 */
export class Rollout extends pulumi.ComponentResource {
  private readonly system: string;
  private readonly box: Box;
  private readonly placed: readonly string[];

  constructor(system: string, args: RolloutArgs, opts?: pulumi.ComponentResourceOptions) {
    super("switchyard:rollout:Rollout", system, {}, opts);
    this.system = system;
    this.box = args.box;
    this.placed = args.releases.map(({ fingerprint }) => fingerprint);
    const policy = this.setPolicy(args.policy);
    const placed = args.releases.map((release) => this.placeRelease(release, args.secrets, policy));
    const [live] = args.releases;
    const [ready] = placed;
    if (live && ready) this.cutOver(live, ready, args);
    this.registerOutputs({});
  }

  private setPolicy(policy: Policy): Step {
    const opts = { parent: this, dependsOn: [this.box.ready] };
    const input = { ...policy, prepared: this.box.receipt };
    return this.box.step(
      `${this.system}-policy`,
      { verb: ["policy", this.system], input, inputIsPlain: true },
      opts,
    );
  }

  /** Everything that a release goes through before traffic; returns its last step, the guard. */
  private placeRelease(release: Release, secrets: Readonly<Record<string, string>>, policy: Step): Step {
    const name = `${this.system}-${release.name}-${release.fingerprint}`;
    const parent = new ReleaseGroup(name, { parent: this });
    if (release.note) void pulumi.log.warn(release.note, parent);
    const words = [this.system, release.name, release.fingerprint];
    const { fingerprint, colour, manifest, receipt } = release;
    const delivery = { fingerprint, colour, manifest, receipt, secrets };
    let last = policy;
    const next = (step: string, verb: readonly string[], input: unknown, onDelete?: readonly string[]) => {
      const ignoreChanges = release.frozen ? frozenProperties : [];
      const args = { verb, input, ...(onDelete ? { onDelete } : {}) };
      last = this.box.step(`${name}-${step}`, args, { parent, dependsOn: [last], ignoreChanges });
    };
    next("preflight", ["preflight", ...words], delivery, ["remove", ...words]);
    if (manifest.schema && manifest.schema.change !== "none") {
      next("backup", ["backup", ...words], { receipt });
      next("migrate", ["migrate", ...words], {
        receipt,
        kept: this.placed.filter((one) => one !== fingerprint),
      });
    }
    next("place", ["place", ...words], { receipt });
    next("gates", ["gates", ...words], { receipt });
    next("guard", ["guarded", ...words], { receipt }, ["guard", ...words]);
    return last;
  }

  private cutOver(live: Release, ready: Step, { observed, newReceipt }: RolloutArgs): void {
    const receipt = observed ? cutoverReceipt(live.fingerprint, observed, newReceipt) : newReceipt;
    const verb = ["cutover", this.system, live.name, live.fingerprint];
    this.box.step(
      `${this.system}-cutover`,
      { verb, input: { receipt }, onDelete: ["withdraw", this.system] },
      { parent: this, dependsOn: [ready], ignoreChanges: observed ? [] : ["stdin"] },
    );
  }
}

/** Groups the steps of a release in previews; the logical name carries its fingerprint. */
class ReleaseGroup extends pulumi.ComponentResource {
  constructor(name: string, opts: pulumi.ComponentResourceOptions) {
    super("switchyard:rollout:Release", name, {}, opts);
    this.registerOutputs({});
  }
}
