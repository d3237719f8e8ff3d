import { join } from "node:path";
import { type Backup, backupDatabase, backupFile, keepBackups } from "../backup.ts";
import { build, buildDirectory } from "../builds.ts";
import { migrateByTool } from "../compose-migrate.ts";
import { runTool } from "../compose-tool.ts";
import type { Host } from "../host.ts";
import { MigrationRefused } from "../migration-plan.ts";
import {
  checkSchema,
  type MigrateResult,
  type MigrationTarget,
  migrate as migrateDatabase,
  resolveMigration,
  rollbackLast,
} from "../migrations.ts";
import {
  findRelease,
  listReleases,
  markDone,
  type ReleaseRecord,
  readCutover,
  readSecrets,
  requireRelease,
} from "../records.ts";
import { withPorts } from "./place.ts";
import { keepInVault } from "./vault.ts";

/** The database's part of a release (CHR-8): backup before the migration, the migration, and the way back of one. */

const keptBackups = 10;

/** What a release was backed up as: on the machine, and in the system's vault where it has one. */
export type BackedUp = Backup & {
  readonly vault: { readonly id: string; readonly repository: string } | null;
};

/** A backup counts for the update it was made in; its id is what `restore` asks for. */
export async function backupBeforeMigration(
  host: Host,
  system: string,
  fingerprint: string,
): Promise<BackedUp | null> {
  const release = await requireRelease(host, system, fingerprint);
  const schema = await schemaOf(host, release);
  if (!schema) return null;
  const folder = join(host.stateDirectory, "backups", system);
  const backup = await backupDatabase(schema.target.url, backupFile(folder, new Date()), {
    key: schema.target.key,
  });
  await keepBackups(folder, keptBackups);
  const { receipt, manifest } = release;
  const occasion = { reason: "migration", release: manifest.release, receipt } as const;
  const vault = await keepInVault(host, system, backup, occasion);
  await markDone(host, release, "backup");
  return { ...backup, vault };
}

/**
 * @param kept fingerprints that stay placed: a contraction that would break one of them, or what serves at this moment,
 * is refused.
 */
export async function migrate(
  host: Host,
  system: string,
  fingerprint: string,
  kept: readonly string[],
): Promise<MigrateResult | null> {
  const release = await requireRelease(host, system, fingerprint);
  const schema = await schemaOf(host, release);
  if (!schema) return null;
  await build(host, release.manifest);
  const { confirmed, pending } = await readCutover(host, system);
  const serving = [confirmed, pending?.from ?? null].filter((one) => one !== null && one !== fingerprint);
  const staying = [...new Set([...kept, ...serving])];
  const releases = await Promise.all(staying.map((one) => findRelease(host, system, one ?? "")));
  const needs = schemaNeeds(releases);
  const { tool } = schema.schema;
  const result = tool
    ? await migrateByTool({
        ...schema.target,
        schema: schema.schema,
        kept: needs,
        command: tool.command,
        run: async () => runTool(host, await withPorts(host, release), tool),
      })
    : await migrateDatabase({ ...schema.target, ...schema, kept: needs });
  await markDone(host, release, "migrate");
  return result;
}

/**
 * A release that the database no longer supports never takes traffic, not by a flip either. `evenUnasked`: where the
 * database does not answer, an emergency goes on.
 */
export async function refuseUnsupportedSchema(
  host: Host,
  release: ReleaseRecord,
  { evenUnasked }: { evenUnasked: boolean },
): Promise<void> {
  const schema = await schemaOf(host, release);
  if (!schema) return;
  try {
    await checkSchema(schema.target, schema.schema);
  } catch (error) {
    if (error instanceof MigrationRefused || !evenUnasked) throw error;
  }
}

/** Undoes the last migration by its down script (CHR-8), unless a placed release needs it. */
export async function rollbackMigration(host: Host, system: string, fingerprint: string) {
  const release = await requireRelease(host, system, fingerprint);
  const { target, folder, schema } = await requireSchema(host, release);
  if (schema.tool) {
    const words = schema.tool.command.join(" ");
    throw new Error(
      `${release.manifest.release} migrates by \`${words}\`, which has no way back: restore the backup`,
    );
  }
  return rollbackLast({ ...target, folder, kept: schemaNeeds(await listReleases(host, system)) });
}

/** A person has looked at a half-applied migration and says whether it is applied or reverted now. */
export async function resolveHalfMigration(
  host: Host,
  system: string,
  fingerprint: string,
  words: readonly string[],
) {
  const [number = "", as = ""] = words;
  if (!/^\d+$/.test(number) || (as !== "applied" && as !== "reverted")) {
    throw new Error(
      `migrate-resolve: found "${words.join(" ")}", expected <number> applied or <number> reverted`,
    );
  }
  const { target } = await requireSchema(host, await requireRelease(host, system, fingerprint));
  await resolveMigration(target, Number(number), as);
}

function schemaNeeds(releases: readonly (ReleaseRecord | null)[]) {
  return releases.flatMap((one) =>
    one?.manifest.schema ? [{ release: one.manifest.release, needs: one.manifest.schema.needs }] : [],
  );
}

async function requireSchema(host: Host, release: ReleaseRecord) {
  const schema = await schemaOf(host, release);
  if (schema) return schema;
  const { system, release: name } = release.manifest;
  throw new Error(`${system} ${name} has no schema of its own: there is nothing to roll back or resolve`);
}

async function schemaOf(host: Host, release: ReleaseRecord) {
  const { manifest, fingerprint } = release;
  if (!manifest.schema) return null;
  const key = manifest.schema.url;
  const url = (await readSecrets(host, release))[key];
  if (url === undefined) throw new Error(`${key}, which holds the database's URL, did not arrive`);
  const target: MigrationTarget = {
    url,
    key,
    system: manifest.system,
    release: manifest.release,
    fingerprint,
  };
  return {
    target,
    schema: manifest.schema,
    folder: join(buildDirectory(host, manifest), manifest.schema.folder),
  };
}
