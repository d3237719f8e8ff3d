import * as pulumi from "@pulumi/pulumi";
import type { Box, Step } from "../box/box.ts";
import type { VaultConfiguration, VaultDatabase } from "../box/toolkit/vault-settings.ts";
import type { VaultTargetArgs } from "./target.ts";

export interface BoxVaultArgs {
  readonly box: Box;
  readonly target: VaultTargetArgs;
  /** Encrypts on the box. Whoever loses it has no backups. */
  readonly password: string;
  readonly database: VaultDatabase | null;
  readonly configuration: VaultConfiguration | null;
  /** Days that the box keeps its journal. @default 30 */
  readonly logDays?: number;
  /** What has to be whole before anything is stored. */
  readonly after?: readonly pulumi.Resource[];
}

/**
 * A system's vault on its box (CHR-5, CHR-11): keys, the month's repository, and the timers. It runs again when a key or
 * a setting changes, and on a box that was made anew. Deleting it ends the timers and leaves the backups alone.
 */
export class BoxVault extends pulumi.ComponentResource {
  /** Whatever backs up depends on this. */
  readonly ready: Step;

  constructor(system: string, args: BoxVaultArgs, opts?: pulumi.ComponentResourceOptions) {
    super("switchyard:vault:BoxVault", `${system}-vault`, {}, opts);
    const { box, target, password, database, configuration, logDays = 30, after = [] } = args;
    const settings = { system, target, password, database, configuration, logDays, prepared: box.receipt };
    const input = target.kind === "s3" ? pulumi.output(settings) : settings;
    this.ready = box.step(
      `${system}-vault`,
      { verb: ["vault-prepare", system], input, onDelete: ["vault-forget", system] },
      { parent: this, dependsOn: [box.ready, ...after] },
    );
    this.registerOutputs({});
  }
}
