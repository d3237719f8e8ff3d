import type { VaultConfig } from "../../stacks/config/vault.ts";
import { vaultPlace } from "../../stacks/config/vault.ts";
import type { VaultConfiguration } from "../box/toolkit/vault-settings.ts";
import type { BoxVaultTarget } from "./box-vault.ts";
import type { Vault } from "./vault.ts";

/** What an environment's config says about the vault, as a machine's vault takes it. */

/**
 * The environment's own vault on AWS; null where its backups go elsewhere. The provider is loaded here, so it costs
 * nothing where there is no bucket to make.
 */
export async function makeVault(config: VaultConfig, writers: readonly string[]): Promise<Vault | null> {
  const place = vaultPlace(config);
  if (place?.kind !== "s3" || place.endpoint !== undefined) return null;
  const { Vault: OnAws } = await import("./vault.ts");
  const { bucket, region } = place;
  return new OnAws("vault", { bucket, region, retention: config.retention, writers });
}

/** Where a system's backups go; null in a development without a vault. */
export function vaultTarget(config: VaultConfig, vault: Vault | null, system: string): BoxVaultTarget | null {
  const place = vaultPlace(config);
  if (place === null || place.kind === "folder") return place;
  if (vault) return { ...place, bucket: vault.bucketName, ...vault.writer(system) };
  const { accessKeyId = "", secretAccessKey = "" } = config.secrets;
  return { ...place, accessKeyId, secretAccessKey };
}

/** The repository of the machines' configuration: each system and environment has a branch of its own. */
export function vaultConfiguration(config: VaultConfig, system: string): VaultConfiguration | null {
  const { configuration, secrets } = config;
  if (!configuration) return null;
  const { git, branch, knownHosts = null } = configuration;
  return { git, branch: `${branch}-${system}`, knownHosts, key: secrets.configurationKey ?? null };
}
