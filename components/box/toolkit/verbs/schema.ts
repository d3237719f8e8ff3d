import { join } from "node:path";
import { type Backup, backupDatabase, backupFile, keepBackups } from "../backup.ts";
import { build, buildDirectory } from "../builds.ts";
import type { Host } from "../host.ts";
import {
  checkSchema,
  type MigrateResult,
  type MigrationTarget,
  migrate as migrateDatabase,
  rollbackLast,
} from "../migrations.ts";
import { findRelease, markDone, type ReleaseRecord, readSecrets, requireRelease } from "../records.ts";

/** The database's part of a release (CHR-8): backup before the migration, the migration, and the way back of one. */

const keptBackups = 10;

/** A backup counts for the update it was made in; its id is what `restore` asks for. */
export async function backupBeforeMigration(
  host: Host,
  system: string,
  fingerprint: string,
): Promise<Backup | null> {
  const release = await requireRelease(host, system, fingerprint);
  const schema = await schemaOf(host, release);
  if (!schema) return null;
  const folder = join(host.stateDirectory, "backups", system);
  const backup = await backupDatabase(schema.target.url, backupFile(folder, new Date()), {
    key: schema.target.key,
  });
  await keepBackups(folder, keptBackups);
  await markDone(host, release, "backup");
  return backup;
}

/** @param kept fingerprints that stay placed: a contraction that would break one of them is refused. */
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
  const releases = await Promise.all(kept.map((one) => findRelease(host, system, one)));
  const needs = releases.flatMap((one) =>
    one?.manifest.schema ? [{ release: one.manifest.release, needs: one.manifest.schema.needs }] : [],
  );
  const result = await migrateDatabase({ ...schema.target, ...schema, kept: needs });
  await markDone(host, release, "migrate");
  return result;
}

/** A release that the database no longer supports never takes traffic, not by a flip either. */
export async function refuseUnsupportedSchema(host: Host, release: ReleaseRecord): Promise<void> {
  const schema = await schemaOf(host, release);
  if (schema) await checkSchema(schema.target, schema.schema);
}

/** Undoes the last migration by its down script (CHR-8), unless a placed release needs it. */
export async function rollbackMigration(host: Host, system: string, fingerprint: string) {
  const release = await requireRelease(host, system, fingerprint);
  const schema = await schemaOf(host, release);
  if (!schema)
    throw new Error(`${system} ${release.manifest.release} has no schema, so there is nothing to roll back`);
  return rollbackLast({ ...schema.target, folder: schema.folder });
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
