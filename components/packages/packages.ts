import { local } from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";
import { shellCommand } from "../box/quote.ts";
import { frozenProperties } from "../rollout/leg.ts";
import type { PackageSpec } from "./package.ts";

/** A release whose packages are registered: the live one, and kept ones that were live before. */
export interface PackagesRelease {
  readonly name: string;
  readonly fingerprint: string;
  /** Every leg's target has it: whatever the program renders now, its packages are as they were then. */
  readonly frozen: boolean;
  /** In the order of publishing: what another one depends on comes first. */
  readonly packages: readonly PackageSpec[];
}

/**
 * Before anything of a release is placed: each package is built, packed and asked for at its registry, so that what
 * would stop its publishing stops the update while nothing has happened yet.
 */
export class PackageChecks extends pulumi.ComponentResource {
  constructor(system: string, release: PackagesRelease, opts?: pulumi.ComponentResourceOptions) {
    super("switchyard:packages:PackageChecks", namesOf(system, release, "packages"), {}, opts);
    for (const spec of release.packages) {
      step(stepName(system, release, spec, "check"), "check", spec, release.frozen, { parent: this });
    }
    this.registerOutputs({});
  }
}

/**
 * Publishing, the last of an update: it depends on the cutover, so a failure before it publishes nothing. A publication
 * is IRREVERSIBLE, and says so in its resource's name: rolling back leaves it where it is, destroying the stack too.
 */
export class Packages extends pulumi.ComponentResource {
  constructor(
    system: string,
    release: PackagesRelease,
    opts: pulumi.ComponentResourceOptions & { dependsOn: pulumi.Resource[] },
  ) {
    super("switchyard:packages:Packages", namesOf(system, release, "publications"), {}, opts);
    let last = opts.dependsOn;
    for (const spec of release.packages) {
      const name = stepName(system, release, spec, "irreversible-publish");
      last = [step(name, `publish-${spec.kind}`, spec, release.frozen, { parent: this, dependsOn: last })];
    }
    this.registerOutputs({});
  }
}

function namesOf(system: string, { name, fingerprint }: PackagesRelease, what: string): string {
  return `${system}-${name}-${fingerprint}-${what}`;
}

function stepName(
  system: string,
  release: PackagesRelease,
  { kind, name }: PackageSpec,
  what: string,
): string {
  return namesOf(system, release, `${what}-${kind}-${name.replace(/^@/, "").replaceAll("/", "-")}`);
}

/** Without a delete: there is nothing that could be undone. */
function step(
  name: string,
  verb: string,
  spec: PackageSpec,
  frozen: boolean,
  opts: pulumi.CustomResourceOptions,
): local.Command {
  return new local.Command(
    name,
    {
      create: shellCommand("engine/node.sh", "components/packages/main.ts", verb),
      stdin: JSON.stringify(spec),
      addPreviousOutputInEnv: false,
      logging: local.Logging.None,
    },
    { ...opts, ignoreChanges: frozen ? frozenProperties : [] },
  );
}
