import { local } from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";
import { shellCommand } from "../box/quote.ts";
import type { GateKind, GateSpec } from "./gate-spec.ts";

export interface GateArgs {
  readonly kind: GateKind;
  /** What it looks at; holding a secret makes the whole of it one of the state. */
  readonly spec: pulumi.Input<GateSpec>;
  /** Receipt of the release it is about: another one, and it runs again. */
  readonly receipt: string;
  /** The target has the release and its gates were passed: nothing of it runs again. */
  readonly frozen: boolean;
}

/**
 * A gate as a resource: what depends on it does not happen unless it was passed. It runs on the runner when it is
 * created and whenever its spec or the release's receipt changes; deleting it does nothing.
 */
export class Gate extends pulumi.ComponentResource {
  /** The one line of JSON that it left: { gate, passed, lines, evidence }, or { gate, skipped }. */
  readonly report: pulumi.Output<string>;
  /** What has to wait for it depends on this. */
  readonly passed: pulumi.Resource;

  constructor(
    name: string,
    { kind, spec, receipt, frozen }: GateArgs,
    opts?: pulumi.ComponentResourceOptions,
  ) {
    super("switchyard:gates:Gate", name, {}, opts);
    const command = new local.Command(
      `${name}-run`,
      {
        create: gateCommand(kind),
        stdin: pulumi.output(spec).apply((plain) => JSON.stringify(plain)),
        environment: { SWITCHYARD_RECEIPT: receipt },
        addPreviousOutputInEnv: false,
        logging: local.Logging.None,
      },
      { parent: this, ignoreChanges: frozen ? ["create", "stdin", "environment", "logging"] : [] },
    );
    this.report = command.stdout;
    this.passed = command;
    this.registerOutputs({ report: this.report });
  }
}

/** The shell command of a gate on the runner, from the checkout's top; its spec comes on standard input. */
export function gateCommand(kind: GateKind): string {
  return shellCommand("engine/node.sh", "components/gates/main.ts", kind);
}
