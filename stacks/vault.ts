import type * as pulumi from "@pulumi/pulumi";
import type { Box } from "../components/box/box.ts";
import type { VaultConfiguration } from "../components/box/toolkit/vault-settings.ts";
import type { ClusterLegArgs } from "../components/cluster/leg.ts";
import { BoxVault } from "../components/vault/box-vault.ts";
import type { VaultTargetArgs } from "../components/vault/target.ts";
import type { Vault } from "../components/vault/vault.ts";
import type { StackConfig } from "./config/read.ts";
import { type VaultConfig, vaultPlace, vaultSystems } from "./config/vault.ts";

/** The vault of an environment, and each system's on its box or its cluster (CHR-11). */

/** What of a system's secrets its vault needs. */
export interface DatabaseSecrets {
  readonly databaseUrl?: string | undefined;
  /** A role that may make databases, for restoring and verifying, where the other one may not. */
  readonly databaseAdminUrl?: string | undefined;
}

type VaultStack = Pick<StackConfig, "systems" | "vault">;

/**
 * The environment's own vault on AWS; null where its backups go elsewhere, or there are none. The provider is loaded
 * here, so it costs nothing where there is no bucket to make.
 */
export async function makeVault({ systems, vault }: VaultStack): Promise<Vault | null> {
  const place = vaultPlace(vault);
  const writers = vaultSystems.filter((system) => systems.includes(system));
  if (place?.kind !== "s3" || place.endpoint !== undefined || writers.length === 0) return null;
  const { Vault: OnAws } = await import("../components/vault/vault.ts");
  const { bucket, region } = place;
  return new OnAws("vault", { bucket, region, retention: vault.retention, writers });
}

/**
 * A system's vault on its box; null in a development without one. Nothing is stored before the bucket is closed: an
 * object that comes before its lock is never locked.
 */
export function boxVault(
  { vault: config }: Pick<StackConfig, "vault">,
  made: Vault | null,
  { system, box, secrets }: { system: string; box: Box; secrets: DatabaseSecrets },
): pulumi.Resource | null {
  const target = vaultTarget(config, made, system);
  if (target === null) return null;
  const { databaseUrl: url, databaseAdminUrl: adminUrl = null } = secrets;
  const { ready } = new BoxVault(system, {
    box,
    target,
    password: config.secrets.password ?? "",
    database: url === undefined ? null : { url, key: `${system}:databaseUrl`, adminUrl },
    configuration: vaultConfiguration(config, system),
    logDays: config.logDays,
    after: made === null ? [] : [made],
  });
  return ready;
}

/**
 * A system's vault on its cluster; null in a development that does not say everything of it. A folder is none: a pod has
 * no folder that outlives it. Kubernetes' library is loaded here, so it costs nothing where there is no cluster.
 */
export async function clusterVault(
  { vault: config }: Pick<StackConfig, "vault">,
  made: Vault | null,
  { system, image, secrets }: { system: string; image: string | undefined; secrets: DatabaseSecrets },
): Promise<NonNullable<ClusterLegArgs["beside"]> | null> {
  const target = vaultTarget(config, made, system);
  const { databaseUrl: url } = secrets;
  if (target?.kind !== "s3" || image === undefined || url === undefined) return null;
  const [{ ClusterVault }, { vaultProgram }] = await Promise.all([
    import("../components/vault/cluster-vault.ts"),
    import("../components/vault/cron-job.ts"),
  ]);
  const described = {
    image,
    program: await vaultProgram(),
    target,
    password: config.secrets.password ?? "",
    database: { url, key: `${system}:databaseUrl`, adminUrl: null },
    after: made === null ? [] : [made],
  };
  return (ground, parent) => new ClusterVault(system, { ground, ...described }, { parent }).ready;
}

/** Where a system's backups go; null in a development without a vault. */
function vaultTarget(config: VaultConfig, made: Vault | null, system: string): VaultTargetArgs | null {
  const place = vaultPlace(config);
  if (place === null || place.kind === "folder") return place;
  if (made) return { ...place, bucket: made.bucketName, ...made.writer(system) };
  const { accessKeyId = "", secretAccessKey = "" } = config.secrets;
  return { ...place, accessKeyId, secretAccessKey };
}

/** The repository of the machines' configuration: each system and environment has a branch of its own. */
function vaultConfiguration(config: VaultConfig, system: string): VaultConfiguration | null {
  const { configuration, secrets } = config;
  if (!configuration) return null;
  const { git, branch, knownHosts = null } = configuration;
  return { git, branch: `${branch}-${system}`, knownHosts, key: secrets.configurationKey ?? null };
}
