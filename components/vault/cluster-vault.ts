import * as pulumi from "@pulumi/pulumi";
import type { VaultSettings } from "../box/toolkit/vault-settings.ts";
import type { Ground } from "../cluster/leg.ts";
import { register } from "../cluster/registered.ts";
import { vaultTimerObjects } from "./cron-job.ts";
import type { VaultTargetArgs } from "./target.ts";

export interface ClusterVaultArgs {
  readonly ground: Ground;
  readonly image: string;
  /** The program of the Job, one file. */
  readonly program: string;
  readonly target: VaultTargetArgs;
  /** Encrypts in the pod. Whoever loses it has no backups. */
  readonly password: string;
  readonly database: NonNullable<VaultSettings["database"]>;
  /** What has to be whole before anything is stored. */
  readonly after: readonly pulumi.Resource[];
}

/**
 * A system's vault on its cluster (CHR-11): the CronJob in the system's namespace, and what it runs with. Deleting it ends
 * the timer and leaves the backups alone.
 */
export class ClusterVault extends pulumi.ComponentResource {
  /** Whatever is to be backed up depends on this. */
  readonly ready: pulumi.Resource;

  constructor(system: string, args: ClusterVaultArgs, opts?: pulumi.ComponentResourceOptions) {
    super("switchyard:vault:ClusterVault", `${system}-vault`, {}, opts);
    const { ground, image, program, target, password, database, after } = args;
    const { namespace, provider, made } = ground;
    // The days of a journal are a box's.
    const settings = { system, target, password, database, configuration: null, logDays: 0 };
    const text = pulumi.secret(settings).apply((whole: VaultSettings) => JSON.stringify(whole));
    const own: pulumi.CustomResource[] = [];
    for (const object of vaultTimerObjects({ system, namespace, image, program, settings: text })) {
      const dependsOn = [made, ...after, ...(object.kind === "CronJob" ? own : [])];
      const name = `${system}-vault-${object.kind.toLowerCase()}`;
      own.push(register(name, object, { parent: this, provider, dependsOn }));
    }
    this.ready = own.at(-1)!;
    this.registerOutputs({});
  }
}
