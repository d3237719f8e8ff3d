import { local } from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";
import { shellCommand } from "../box/quote.ts";
import { cutoverReceipt } from "./heal.ts";
import type { Leg } from "./leg.ts";
import type { Release } from "./releases.ts";

export interface RolloutArgs {
  /** Providers before consumers: whoever is called comes before whoever calls it. */
  readonly legs: readonly Leg[];
  /** Live first, then what is kept; empty before the first release. */
  readonly releases: readonly Release[];
  readonly newReceipt: string;
}

/**
 * The rollout of one system: what belongs to its legs, then each release on every leg (preflight → backup → migrate →
 * place → gates → guard), then the one cutover. Releases that are no longer pinned are deleted by the engine after
 * everything else has succeeded.
 */
export class Rollout extends pulumi.ComponentResource {
  /** The cutover; null before the first release. What must come last in an update depends on it. */
  readonly cutover: pulumi.Resource | null;
  private readonly system: string;
  private readonly legs: readonly Leg[];

  constructor(
    system: string,
    { legs, releases, newReceipt }: RolloutArgs,
    opts?: pulumi.ComponentResourceOptions,
  ) {
    super("switchyard:rollout:Rollout", system, {}, opts);
    this.system = system;
    this.legs = legs;
    const prepared = legs.map((leg) => leg.prepare(this));
    const fingerprints = releases.map(({ fingerprint }) => fingerprint);
    const guards = releases.map((release) => this.placeRelease(release, fingerprints, prepared));
    const [live] = releases;
    const [ready] = guards;
    this.cutover = live && ready ? this.cutOver(live, ready, newReceipt) : null;
    this.registerOutputs({});
  }

  /** Everything that a release goes through before traffic, leg after leg; returns the guard of each. */
  private placeRelease(
    release: Release,
    all: readonly string[],
    prepared: readonly pulumi.Resource[],
  ): pulumi.Resource[] {
    const name = `${this.system}-${release.name}-${release.fingerprint}`;
    const parent = new ReleaseGroup(name, { parent: this });
    if (release.note) void pulumi.log.warn(release.note, parent);
    const kept = all.filter((one) => one !== release.fingerprint);
    const guards: pulumi.Resource[] = [];
    for (const [index, leg] of this.legs.entries()) {
      const part = release.parts[index];
      if (!part) throw new Error(`${name} was not resolved for ${leg.name}`);
      const prefix = this.legs.length > 1 ? `${name}-${leg.name}` : name;
      const after = [...prepared, ...guards];
      guards.push(leg.place(part, { parent, name: prefix, after, kept }));
    }
    return guards;
  }

  private cutOver(live: Release, after: readonly pulumi.Resource[], newReceipt: string): pulumi.Resource {
    const observed = this.legs.flatMap((leg) => leg.observed ?? []);
    const unanswered = observed.length < this.legs.length;
    const receipt = unanswered ? newReceipt : cutoverReceipt(live.fingerprint, observed, newReceipt);
    const name = `${this.system}-cutover`;
    const [leg] = this.legs;
    const [part] = live.parts;
    if (this.legs.length === 1 && leg && part) {
      return leg.cutOver(part, { parent: this, name, after, receipt, unanswered });
    }
    const legs = this.legs.map(({ name, address }) => ({ name, address }));
    const command = (verb: string) =>
      shellCommand("engine/node.sh", "components/rollout/legs/main.ts", verb, this.system);
    return new local.Command(
      name,
      {
        create: `${command("cutover")} ${shellCommand(live.name, live.fingerprint)}`,
        delete: command("withdraw"),
        stdin: JSON.stringify({ receipt, legs }),
        addPreviousOutputInEnv: false,
        logging: local.Logging.None,
      },
      {
        parent: this,
        dependsOn: [...after],
        // A forced replacement would create the new one and then take it out of traffic again.
        deleteBeforeReplace: true,
        ignoreChanges: unanswered ? ["stdin"] : [],
        additionalSecretOutputs: ["stdout", "stderr"],
      },
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
