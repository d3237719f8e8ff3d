import type { Client } from "pg";
import { countRows, postgresFailure } from "./backup.ts";
import { connectPostgres, libpqAlive, libpqEnvironment, readPostgresUrl } from "./database.ts";
import {
  chooseBackup,
  listStored,
  readDump,
  readNote,
  type Stored,
  type VaultBackup,
  type VaultNote,
} from "./vault-backups.ts";
import { requireDatabase } from "./vault-dump.ts";
import { listRepositories } from "./vault-repository.ts";
import { ask, withRestic } from "./vault-restic.ts";
import type { KnownSettings, VaultDatabase, VaultFolder } from "./vault-settings.ts";
import { flow, type Streaming, start } from "./vault-stream.ts";

/** The way back out of the vault (CHR-11, TRD-5): into a new database, and compared with what was noted. */

const restoreSeconds = 3 * 3600;

/** All whole backups, oldest first. */
export async function listBackups(folder: VaultFolder, settings: KnownSettings): Promise<VaultBackup[]> {
  return (await listAll(folder, settings)).map(({ backup }) => backup);
}

async function listAll(folder: VaultFolder, settings: KnownSettings): Promise<Stored[]> {
  const found: Stored[] = [];
  for (const name of await listRepositories(settings)) {
    found.push(...(await withRestic(folder, settings, name, listStored)));
  }
  return found;
}

/** The one that a person means. */
async function find(folder: VaultFolder, settings: KnownSettings, wanted: string): Promise<Stored> {
  const all = await listAll(folder, settings);
  const backups = all.map(({ backup }) => backup);
  return all[backups.indexOf(chooseBackup(backups, wanted))]!;
}

export interface Verified {
  readonly id: string;
  readonly rows: number;
  readonly tables: Readonly<Record<string, number>>;
  readonly sha256: string;
}

/** Restores a backup into a scratch database, compares it with its note, and drops the scratch database again. */
export async function verify(
  folder: VaultFolder,
  settings: KnownSettings,
  wanted: string,
): Promise<Verified> {
  const database = requireDatabase(settings);
  const stored = await find(folder, settings, wanted);
  const { id, repository } = stored.backup;
  const prefix = `switchyard_verify_${settings.system.replaceAll("-", "_").slice(0, 20)}_`;
  const scratches = new RegExp(`^${prefix}\\d+$`);
  await dropDatabases(database, scratches);
  const scratch = `${prefix}${id.replaceAll("-", "")}`;
  return withRestic(folder, settings, repository, async (restic) => {
    try {
      const note = await readNote(restic, stored);
      await fill(note, () => readDump(restic, stored, restoreSeconds), database, scratch, [
        "--no-privileges",
      ]);
      return { id, rows: note.rows, tables: note.tables, sha256: note.sha256 };
    } finally {
      await dropDatabases(database, scratches);
    }
  });
}

export interface Restored extends Verified {
  readonly database: string;
}

/**
 * Restores a backup into a database that is not there yet, which appears under its name when it is whole.
 * @param into default: the system's database with the backup's id behind it
 */
export async function restore(
  folder: VaultFolder,
  settings: KnownSettings,
  wanted: string,
  into: { readonly database?: string; readonly url?: string },
): Promise<Restored> {
  const known = requireDatabase(settings);
  const database = into.url === undefined ? known : { ...known, url: into.url, adminUrl: null };
  const stored = await find(folder, settings, wanted);
  const { id, repository } = stored.backup;
  const own = readPostgresUrl(database.url, database.key).database;
  const name = into.database ?? `${own.slice(0, 40)}_${id.replaceAll("-", "")}`;
  if (!/^[A-Za-z_][A-Za-z0-9_-]{0,54}$/.test(name)) {
    throw new Error(`found the database name "${name}", expected letters, digits, _ and -; at most 55`);
  }
  return withRestic(folder, settings, repository, async (restic) => {
    const note = await readNote(restic, stored);
    if (await databaseExists(database, name)) {
      throw new Error(`the database ${name} is there already: nothing is restored over it; name another one`);
    }
    // What a restore that was killed has left has this name and no other.
    const partial = `${name}_partial`;
    const partials = new RegExp(`^${partial}$`);
    await dropDatabases(database, partials);
    try {
      await fill(note, () => readDump(restic, stored, restoreSeconds), database, partial, []);
      await asAdmin(database, (admin) =>
        admin.query(`ALTER DATABASE ${quote(partial)} RENAME TO ${quote(name)}`),
      );
    } finally {
      await dropDatabases(database, partials);
    }
    return { database: name, id, rows: note.rows, tables: note.tables, sha256: note.sha256 };
  });
}

/** Reads every byte of every repository and checks it. @throws naming the repository that is damaged */
export async function checkAll(
  folder: VaultFolder,
  settings: KnownSettings,
): Promise<{ repositories: string[] }> {
  const repositories = await listRepositories(settings);
  for (const name of repositories) {
    const words = ["check", "--read-data", "--no-lock", "--no-cache"];
    await withRestic(folder, settings, name, (restic) => ask(restic, words, restoreSeconds));
  }
  return { repositories };
}

/** Makes a database, fills it from the backup, and compares it. The caller drops it where this throws. */
async function fill(
  note: VaultNote,
  read: () => Streaming,
  database: VaultDatabase,
  name: string,
  options: readonly string[],
): Promise<void> {
  await makeDatabase(database, name, note);
  const { key } = database;
  const url = withDatabase(database.url, name);
  const source = read();
  const words = ["pg_restore", "--exit-on-error", "--no-owner", ...options, libpqAlive];
  const target = start(words, {
    env: { ...libpqEnvironment(readPostgresUrl(url, key)), LC_ALL: "C.UTF-8" },
    seconds: restoreSeconds,
    failure: (said) => postgresFailure("pg_restore", key, said),
  });
  const { sha256 } = await flow(source, target, { endsByItself: true }).catch((error: Error) => {
    throw new Error(`the backup ${note.id} cannot be restored: ${error.message}`);
  });
  await compare(note, sha256, url, key);
}

async function compare(note: VaultNote, sha256: string, url: string, key: string): Promise<void> {
  if (sha256 !== note.sha256) {
    throw new Error(`the backup ${note.id} is not what was stored: sha256 ${sha256}, noted ${note.sha256}`);
  }
  const session = await connectPostgres(url, key, {
    application: "switchyard vault",
    statementSeconds: restoreSeconds,
  });
  const tables = await countRows(session).finally(() => session.end().catch(() => {}));
  const names = [...new Set([...Object.keys(note.tables), ...Object.keys(tables)])].sort();
  const different = names.filter((name) => note.tables[name] !== tables[name]);
  if (different.length === 0) return;
  const lines = different.map(
    (name) => `${name}: noted ${note.tables[name] ?? "no"} rows, restored ${tables[name] ?? "no"}`,
  );
  throw new Error(`the backup ${note.id} did not come back as it was: ${lines.join("; ")}`);
}

async function makeDatabase(database: VaultDatabase, name: string, { made }: VaultNote): Promise<void> {
  const owner = readPostgresUrl(database.url, database.key).user;
  const literal = (value: string) => `'${value.replaceAll("'", "''")}'`;
  await asAdmin(database, async (admin) => {
    await admin.query(
      `CREATE DATABASE ${quote(name)} OWNER ${quote(owner)} TEMPLATE template0 ENCODING ${literal(made.encoding)} ` +
        `LC_COLLATE ${literal(made.collate)} LC_CTYPE ${literal(made.ctype)}`,
    );
  });
}

async function databaseExists(database: VaultDatabase, name: string): Promise<boolean> {
  return asAdmin(database, async (admin) => {
    const { rowCount } = await admin.query("SELECT FROM pg_database WHERE datname = $1", [name]);
    return rowCount === 1;
  });
}

/** Drops scratch of ours, also what a killed run has left: the names that the whole expression matches. */
async function dropDatabases(database: VaultDatabase, names: RegExp): Promise<void> {
  await asAdmin(database, async (admin) => {
    const { rows } = await admin.query<{ datname: string }>("SELECT datname FROM pg_database");
    for (const { datname } of rows.filter((row) => names.test(row.datname))) {
      await dropDatabase(admin, datname);
    }
  });
}

/**
 * Without FORCE the server ends its own autovacuum and refuses while sessions are left. FORCE ends these, too, but fails
 * on an autovacuum, which only a superuser may end: so it comes second.
 */
async function dropDatabase(admin: Client, name: string): Promise<void> {
  try {
    await admin.query(`DROP DATABASE ${quote(name)}`);
  } catch (error) {
    const objectInUse = "55006";
    if ((error as { code?: string }).code !== objectInUse) throw error;
    await admin.query(`DROP DATABASE ${quote(name)} WITH (FORCE)`).catch((forced: Error) => {
      throw new Error(`the scratch database ${name} could not be dropped: ${forced.message}`);
    });
  }
}

/** A session with the right to make databases, in the database that every server has. */
async function asAdmin<T>(database: VaultDatabase, work: (admin: Client) => Promise<T>): Promise<T> {
  const url = withDatabase(database.adminUrl ?? database.url, "postgres");
  const admin = await connectPostgres(url, database.key, {
    application: "switchyard vault",
    statementSeconds: 600,
  });
  try {
    return await work(admin);
  } catch (error) {
    if ((error as { code?: string }).code !== "42501") throw error;
    const { user } = readPostgresUrl(url, database.key);
    throw new Error(
      `${database.key}: the role ${user} may not make databases, which restoring and verifying need: ` +
        `ALTER ROLE ${quote(user)} CREATEDB, or set ${adminKey(database.key)} to the URL of a role that may`,
    );
  } finally {
    await admin.end().catch(() => {});
  }
}

/** @example "chrono:databaseUrl" → "chrono:databaseAdminUrl" */
export function adminKey(key: string): string {
  return key.replace(/(Url|_URL)?$/, key.endsWith("_URL") ? "_ADMIN_URL" : "AdminUrl");
}

function withDatabase(url: string, name: string): string {
  const changed = new URL(url);
  changed.pathname = `/${encodeURIComponent(name)}`;
  return changed.toString();
}

function quote(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
