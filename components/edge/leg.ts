import { local } from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";
import type { ReleaseEntry } from "../../stacks/config/fields.ts";
import { shellCommand } from "../box/quote.ts";
import {
  type CutoverContext,
  frozenProperties,
  type Leg,
  type LegRelease,
  type PlaceContext,
} from "../rollout/leg.ts";
import type { TargetObservation } from "../rollout/observation.ts";
import type { EdgeAddress } from "./api.ts";
import { type EdgeSite, exposeWorker, placeVersion, registerWorker } from "./cloudflare.ts";
import { localApi } from "./local/places.ts";
import type { EdgeManifest, EdgePolicy, LegRecord, ReleaseRecord } from "./manifest.ts";
import type { EdgeObservation } from "./observe.ts";
import { changedSecrets } from "./one-way.ts";

export interface EdgeLegArgs {
  readonly system: string;
  /** Name of the leg within its system. @default "edge" */
  readonly name?: string;
  readonly environment: EdgeManifest["environment"];
  /** Where the Worker is; see edgeAddress. */
  readonly address: EdgeAddress;
  /** What Cloudflare is told apart from releases: routes, domains, rules; "local" on the edge of development. */
  readonly site: EdgeSite | "local";
  /** What every address of the Worker begins with, see LegRecord. On the local edge its port is the front door's. */
  readonly front: string;
  /** What the target answered before the first resource; null where it gave no answer (preview only). */
  readonly observed: TargetObservation | null;
  /** Receipt for what has to run in this update. */
  readonly newReceipt: string;
  readonly render: (name: string, entry: ReleaseEntry) => EdgeManifest;
  readonly policy: EdgePolicy;
  /** Values of the secrets, by name; bindings of the version, and secrets of the state. */
  readonly secrets: Readonly<Record<string, string>>;
}

interface Step {
  readonly verb: readonly string[];
  readonly input: object;
  readonly onDelete?: readonly string[];
  readonly isSecret?: boolean;
}

/**
 * A leg on Cloudflare's edge, or on the local edge of development. A release is an immutable version of one Worker;
 * which version serves is a deployment, which belongs to the cutover alone: the engine neither makes nor changes one
 * (docs/decisions/0010). All that is not a resource of Cloudflare's is a verb on the runner.
 */
export class EdgeLeg implements Leg<EdgeManifest> {
  readonly name: string;
  readonly address: EdgeAddress;
  readonly observed: EdgeObservation | null;
  readonly render: EdgeLegArgs["render"];
  private readonly args: EdgeLegArgs;

  constructor(args: EdgeLegArgs) {
    this.args = args;
    this.name = args.name ?? "edge";
    this.address = args.address;
    this.observed = args.observed as unknown as EdgeObservation | null;
    this.render = args.render;
  }

  /** The Worker, answering 503 until there is a release, and what leads to it. */
  prepare(rollout: pulumi.Resource): pulumi.Resource {
    const { system, environment, address, site, front, policy, newReceipt } = this.args;
    const name = `${system}-${this.name}`;
    const parent = new LegGround(name, { parent: rollout });
    const receipt = this.observed?.ground ?? newReceipt;
    const record: LegRecord = { system, environment, front, policy, receipt };
    const worker = site === "local" ? [] : [registerWorker(name, address, site, { parent })];
    const door = site === "local" ? { door: Number(new URL(front).port) } : {};
    const onDelete = site === "local" ? { onDelete: ["dismantle", system] } : {};
    const ground = this.step(
      `${name}-ground`,
      { verb: ["ground", system], input: { record, ...door }, ...onDelete },
      { parent, dependsOn: worker, ignoreChanges: this.observed === null ? ["stdin"] : [] },
    );
    if (site !== "local") exposeWorker(name, address, site, { parent, after: [ground] });
    return parent;
  }

  place(release: LegRelease<EdgeManifest>, { parent, name, after }: PlaceContext): pulumi.Resource {
    const { system, secrets, site } = this.args;
    const { fingerprint, colour, manifest, receipt, frozen } = release;
    this.warnOfSecrets(release, parent);
    const words = [system, release.name, fingerprint];
    const record: ReleaseRecord = { manifest, colour, receipt };
    const ignoreChanges = frozen ? frozenProperties : [];
    const step = (what: string, { verb, ...rest }: Step, last: readonly pulumi.Resource[]) =>
      this.step(
        `${name}-${what}`,
        { verb: [...verb, ...words], ...rest },
        { parent, dependsOn: [...last], ignoreChanges },
      );
    const preflight = step("preflight", { verb: ["preflight"], input: { ...record, fingerprint } }, after);
    const version =
      site === "local"
        ? step(
            "upload",
            {
              verb: ["upload"],
              input: { ...record, fingerprint, secrets },
              onDelete: ["remove", ...words],
              isSecret: true,
            },
            [preflight],
          )
        : placeVersion(
            `${name}-version`,
            this.address,
            { record, fingerprint, secrets, frozen },
            {
              parent,
              dependsOn: [preflight],
            },
          );
    const gates = step("gates", { verb: ["gates"], input: { receipt } }, [version]);
    const guard: Step = { verb: ["guarded"], input: { receipt }, onDelete: ["guard", ...words] };
    return step("guard", guard, [gates]);
  }

  cutOver(live: LegRelease<EdgeManifest>, context: CutoverContext): pulumi.Resource {
    const { system } = this.args;
    const { parent, name, after, receipt, unanswered } = context;
    return this.step(
      name,
      {
        verb: ["cutover", system, live.name, live.fingerprint],
        input: { receipt },
        onDelete: ["withdraw", system],
      },
      { parent, dependsOn: [...after], ignoreChanges: unanswered ? ["stdin"] : [] },
    );
  }

  /** A preview runs no preflight, so it says this by itself. */
  private warnOfSecrets({ manifest, frozen }: LegRelease<EdgeManifest>, parent: pulumi.Resource): void {
    const { observed } = this;
    const serving = observed?.known.find(({ fingerprint }) => fingerprint === observed.confirmed);
    const changed = serving && !frozen ? changedSecrets(serving.manifest, manifest) : [];
    if (changed.length === 0 || this.args.policy.oldSecretsWork) return;
    void pulumi.log.warn(
      `${manifest.release} has another ${changed.join(", ")} than ${serving?.release}: the way back would need the old ` +
        "value, so this release is refused unless edge.oldSecretsWork says that it still works",
      parent,
    );
  }

  /** One verb on the runner as a resource: runs when it is created and whenever its verb or input changes. */
  private step(
    name: string,
    { verb, input, onDelete, isSecret }: Step,
    opts: pulumi.CustomResourceOptions,
  ): local.Command {
    const stdin = JSON.stringify({ address: this.address, ...input });
    const command = (words: readonly string[]) =>
      shellCommand("engine/node.sh", "components/edge/main.ts", ...words);
    // A forced replacement would create the new one and then run the old one's delete, against the new one's work.
    const order = onDelete === undefined ? {} : { deleteBeforeReplace: true };
    return new local.Command(
      name,
      {
        create: command(verb),
        ...(onDelete === undefined ? {} : { delete: command(onDelete) }),
        stdin: isSecret ? pulumi.secret(stdin) : stdin,
        addPreviousOutputInEnv: false,
        logging: local.Logging.None,
      },
      { ...order, ...opts, additionalSecretOutputs: ["stdout", "stderr"] },
    );
  }
}

/** Groups what belongs to the leg; whoever waits for it waits for all of it. */
class LegGround extends pulumi.ComponentResource {
  constructor(name: string, opts: pulumi.ComponentResourceOptions) {
    super("switchyard:edge:Ground", name, {}, opts);
    this.registerOutputs({});
  }
}

/** The name of a system's Worker in an environment. */
export const workerName = (system: string, environment: string) => `${system}-${environment}`;

/** A Worker of the local edge of development. */
export function localAddress(system: string, worker: string): EdgeAddress {
  return { kind: "edge", system, accountId: "local", worker, api: localApi };
}
