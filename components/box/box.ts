import { local, remote } from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";
import { type Location, verbCommand } from "./location.ts";
import type { BoxObservation } from "./toolkit/verbs/observe.ts";
import type { ToolkitBundle } from "./toolkit-bundle.ts";

export interface BoxArgs {
  readonly location: Location;
  /** What the box answered before the first resource; null where it gave no answer (preview only). */
  readonly observed: BoxObservation | null;
  /** The toolkit for a box over SSH; the local box runs it from source. */
  readonly toolkit: ToolkitBundle | null;
  /** Receipt for what has to run in this update. */
  readonly newReceipt: string;
}

export interface StepArgs {
  /** Words of the verb: `place chrono v1.4.2 7c1f…`. */
  readonly verb: readonly string[];
  /** What the verb reads on standard input, as JSON: a plain value, or an output. All of it is a secret of the state. */
  readonly input?: unknown;
  /** Words of the verb that runs when the step is deleted. */
  readonly onDelete?: readonly string[];
  /** Shown in previews: for values that change in place and hold no secret. */
  readonly inputIsPlain?: boolean;
}

export type Step = local.Command | remote.Command;

/**
 * A Linux box: prepared from nothing (ALL-7), then asked by verbs of its toolkit. Editing the toolkit delivers the new
 * version and runs no step again, because a step's input is a verb and never a script.
 */
export class Box extends pulumi.ComponentResource {
  /** Whatever uses the box depends on this. */
  readonly ready: pulumi.Resource;
  /** Receipt of the box's preparation: another one means another box, or the same one made anew. */
  readonly receipt: string;
  readonly location: Location;

  constructor(name: string, args: BoxArgs, opts?: pulumi.ComponentResourceOptions) {
    super("switchyard:box:Box", name, {}, opts);
    this.location = args.location;
    this.receipt = args.observed?.ground ?? args.newReceipt;
    const toolkit = this.deliverToolkit(name, args.toolkit);
    this.ready = this.prepareGround(name, toolkit);
    this.registerOutputs({});
  }

  /** One verb of the toolkit as a resource: runs when it is created and whenever its verb or input changes. */
  step(
    name: string,
    { verb, input, onDelete, inputIsPlain }: StepArgs,
    opts: pulumi.CustomResourceOptions,
  ): Step {
    const text = input === undefined ? undefined : jsonOf(input);
    // A forced replacement would create the new one and then run the old one's delete, against the new one's work.
    const order = onDelete === undefined ? {} : { deleteBeforeReplace: true };
    const args = {
      create: verbCommand(this.location, ...verb),
      ...(onDelete === undefined ? {} : { delete: verbCommand(this.location, ...onDelete) }),
      ...(text === undefined ? {} : { stdin: inputIsPlain ? text : pulumi.secret(text) }),
    };
    return this.command(name, args, { ...order, ...opts });
  }

  private deliverToolkit(name: string, toolkit: ToolkitBundle | null): Step[] {
    if (!toolkit || this.location === "local") return [];
    const create = 'if [ "$(id -u)" = 0 ]; then sh -s; else sudo -n sh -s; fi';
    const stdin = pulumi.secret(`# ${this.receipt}\n${toolkit.installer}`);
    return [this.command(`${name}-toolkit`, { create, stdin }, { parent: this })];
  }

  private prepareGround(name: string, toolkit: Step[]): Step {
    const input = { ...groundOf(this.location), receipt: this.receipt };
    const onDelete = this.location === "local" ? { onDelete: ["shutdown"] } : {};
    return this.step(
      `${name}-ground`,
      { verb: ["ground"], input, inputIsPlain: true, ...onDelete },
      { parent: this, dependsOn: toolkit },
    );
  }

  private command(
    name: string,
    args: { create: string; delete?: string; stdin?: pulumi.Input<string> },
    opts: pulumi.CustomResourceOptions,
  ): Step {
    const quiet = { addPreviousOutputInEnv: false };
    const options = { ...opts, additionalSecretOutputs: ["stdout", "stderr"] };
    if (this.location === "local") {
      return new local.Command(name, { ...args, ...quiet, logging: local.Logging.None }, options);
    }
    const { host, port, user, hostKey } = this.location;
    const connection = { host, port, user, ...(hostKey === undefined ? {} : { hostKey }) };
    return new remote.Command(name, { ...args, ...quiet, connection, logging: remote.Logging.None }, options);
  }
}

/** Plain values at once: a preview shows them, and nothing waits. */
function jsonOf(input: unknown): pulumi.Input<string> {
  return pulumi.Output.isInstance(input) ? pulumi.jsonStringify(input) : JSON.stringify(input);
}

function groundOf(location: Location) {
  if (location === "local") return { packages: [], users: [] };
  return { packages: ["haproxy", "git", "postgresql-client", "redis-tools"], users: ["switchyard"] };
}
