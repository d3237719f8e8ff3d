import { local } from "@pulumi/command";
import * as kubernetes from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import { shellCommand } from "../box/quote.ts";
import { isDisposable } from "../rollout/environment.ts";
import {
  type CutoverContext,
  frozenProperties,
  type Leg,
  type LegRelease,
  type PlaceContext,
} from "../rollout/leg.ts";
import type { TargetObservation } from "../rollout/observation.ts";
import type { ClusterAddress } from "./driver.ts";
import type { ClusterManifest, ClusterRelease } from "./manifest.ts";
import { type ClusterGround, groundObjects } from "./objects/ground.ts";
import type { KubernetesObject } from "./objects/object.ts";
import { releaseObjects } from "./objects/release.ts";
import { register } from "./registered.ts";

export interface ClusterLegArgs extends Omit<ClusterGround, "namespace"> {
  /** Name of the leg within its system. @default "cluster" */
  readonly name?: string;
  readonly environment: ClusterManifest["environment"];
  readonly address: ClusterAddress;
  readonly observed: TargetObservation<ClusterManifest> | null;
  readonly render: Leg<ClusterManifest>["render"];
  /** Values of the secrets, by name of environment variable. */
  readonly secrets: Readonly<Record<string, string>>;
  /** Command that looks at each image before anything of a release is placed (TRD-11); `{image}` stands for the image. */
  readonly verify?: readonly string[];
  /** What of the system is there beside its releases: made before the first of them, deleted after the last. */
  readonly beside?: (ground: Ground, parent: pulumi.Resource) => pulumi.Resource;
}

/** The system's namespace, as it is registered. */
export interface Ground {
  readonly namespace: string;
  readonly provider: kubernetes.Provider;
  /** Whatever is put into the namespace depends on this. */
  readonly made: pulumi.Resource;
}

type Step = local.Command;

/**
 * A leg on Kubernetes. The engine registers plain objects, each under a name of its release; what it must not do (move
 * the Services' selectors, start a singleton, scale) is done by Commands that run this program's verbs.
 */
export class ClusterLeg implements Leg<ClusterManifest> {
  readonly name: string;
  readonly address: ClusterAddress;
  readonly observed: TargetObservation<ClusterManifest> | null;
  readonly render: Leg<ClusterManifest>["render"];
  readonly backups: Record<string, pulumi.Output<string>> = {};
  private readonly args: ClusterLegArgs;
  private provider: kubernetes.Provider | null = null;

  constructor(args: ClusterLegArgs) {
    this.args = args;
    this.name = args.name ?? "cluster";
    this.address = args.address;
    this.observed = args.observed;
    this.render = args.render;
  }

  /** Namespace, baker and stable Services; then the replicas, which change in place. */
  prepare(parent: pulumi.Resource): pulumi.Resource {
    const { system, environment, address, policy, beside } = this.args;
    const { context, namespace } = address;
    const provider = new kubernetes.Provider(
      `${system}-${this.name}`,
      {
        ...(context === undefined ? {} : { context }),
        // Which cluster this is, whatever path the runner's kubeconfig has: only another cluster replaces its objects.
        clusterIdentifier: context ?? "current",
        // What is not to change says so itself.
        enableConfigMapMutable: true,
        enableSecretMutable: true,
        enableServerSideApply: true,
      },
      { parent },
    );
    this.provider = provider;
    const made: pulumi.Resource[] = [];
    for (const object of groundObjects({ ...this.args, namespace })) {
      const isDoor = object.kind === "Service";
      const keeps = isDoor || object.kind === "Namespace";
      made.push(
        register(this.logicalName(`${system}-${this.name}`, object), object, {
          parent,
          provider,
          dependsOn: made.slice(0, 1),
          protect: keeps && !isDisposable(environment),
          // Where it leads is the cutover's: the engine would point it at what no gate has seen.
          ignoreChanges: isDoor ? ["spec.selector"] : [],
        }),
      );
    }
    if (beside) made.push(beside({ namespace, provider, made: made[0]! }, parent));
    const stdin = JSON.stringify({ replicas: policy.replicas });
    return this.command(
      `${system}-${this.name}-replicas`,
      ["scale", system],
      { stdin },
      { parent, dependsOn: made },
    );
  }

  /** record, settings → verify → backup → migrate → workloads → gates → guard. */
  place(release: LegRelease<ClusterManifest>, context: PlaceContext): Step {
    const { system, policy, secrets, verify } = this.args;
    const { parent, name, after } = context;
    const { fingerprint, colour, manifest, receipt, frozen } = release;
    const words = [system, release.name, fingerprint];
    const placed: ClusterRelease = { fingerprint, colour, manifest };
    const all: pulumi.Resource[] = [];
    let last: readonly pulumi.Resource[] = after;

    const next = (step: string, verb: string, input: object, onDelete?: string): Step => {
      const stdin = pulumi.secret(JSON.stringify(input));
      const ignoreChanges = frozen ? frozenProperties : [];
      const opts = { parent, dependsOn: [...last], ignoreChanges };
      const done = this.command(
        `${name}-${step}`,
        [verb, ...words],
        { stdin },
        opts,
        onDelete && [onDelete, ...words],
      );
      all.push(done);
      last = [done];
      return done;
    };
    const apply = (objects: readonly KubernetesObject[]) => {
      const ignoreChanges = frozen ? ["*"] : [];
      const opts = { parent, provider: this.provider!, dependsOn: [...last], ignoreChanges };
      const applied = objects.map((object) => {
        const scaled = object.kind === "Deployment" || object.kind === "StatefulSet" ? ["spec.replicas"] : [];
        return register(this.logicalName(name, object, fingerprint), object, {
          ...opts,
          ignoreChanges: [...ignoreChanges, ...(frozen ? [] : scaled)],
        });
      });
      all.push(...applied);
      last = applied;
    };

    const objects = releaseObjects(placed, policy.replicas, secrets);
    const isWorkload = ({ kind }: KubernetesObject) => kind === "Deployment" || kind === "StatefulSet";
    if (verify) {
      // The migration's own image too: it runs first, and with the database's password.
      const run = [...manifest.services, ...(manifest.migration ? [manifest.migration] : [])];
      const images = [...new Set(run.map(({ image }) => image))].sort();
      next("verify", "verify", { command: verify, images, seconds: 300, receipt });
    }
    apply(objects.filter((object) => !isWorkload(object)));
    if (manifest.migration) {
      const made = next("backup", "backup", { release: placed, migration: manifest.migration, receipt });
      this.backups[release.name] = pulumi
        .unsecret(made.stdout)
        .apply((text) => (JSON.parse(text || "{}") as { backup?: string }).backup ?? "none");
      next("migrate", "migrate", { release: placed, migration: manifest.migration, receipt });
    }
    apply(objects.filter(isWorkload));
    next("gates", "gates", { release: placed, replicas: policy.replicas, secrets, receipt });
    last = [...all];
    return next("guard", "guarded", { receipt }, "guard");
  }

  cutOver(live: LegRelease<ClusterManifest>, context: CutoverContext): Step {
    const { system } = this.args;
    const { parent, name, after, receipt, unanswered } = context;
    const words = ["cutover", system, live.name, live.fingerprint];
    const stdin = JSON.stringify({ receipt });
    const opts = { parent, dependsOn: [...after], ignoreChanges: unanswered ? ["stdin"] : [] };
    return this.command(name, words, { stdin }, opts, ["withdraw", system]);
  }

  /** A verb of the cluster as a resource: runs when it is created and whenever its words or input change. */
  private command(
    name: string,
    words: readonly string[],
    { stdin }: { stdin: pulumi.Input<string> },
    opts: pulumi.CustomResourceOptions,
    onDelete?: readonly string[] | "",
  ): Step {
    const args = {
      create: this.verbCommand(words),
      ...(onDelete ? { delete: this.verbCommand(onDelete) } : {}),
      stdin,
      addPreviousOutputInEnv: false,
      logging: local.Logging.None,
    };
    // A forced replacement would create the new one and then run the old one's delete, against the new one's work.
    const order = onDelete ? { deleteBeforeReplace: true } : {};
    return new local.Command(name, args, {
      ...order,
      ...opts,
      additionalSecretOutputs: ["stdout", "stderr"],
    });
  }

  private verbCommand(words: readonly string[]): string {
    const { context, namespace } = this.address;
    const where = ["--namespace", namespace, ...(context === undefined ? [] : ["--context", context])];
    return shellCommand("engine/node.sh", "components/cluster/main.ts", ...words, ...where);
  }

  /** `<prefix>-<kind>[-<what>]`, what of the object's own name is not in the prefix already. */
  private logicalName(prefix: string, { kind, metadata }: KubernetesObject, fingerprint = ""): string {
    const { system } = this.args;
    const rest = metadata.name.split("-").filter((word) => word !== fingerprint);
    const own = rest[0] === system ? rest.slice(1) : rest;
    return [prefix, kind.toLowerCase(), ...(kind === "Namespace" ? [] : own)].join("-");
  }
}
