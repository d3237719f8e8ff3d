import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { chmod, mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import type { Client } from "pg";
import { connectPostgres, libpqAlive, libpqEnvironment, readPostgresUrl } from "./database.ts";
import { readJson, writeDurably } from "./durable.ts";
import { run } from "./run.ts";

/** Backups of a PostgreSQL database as files of pg_dump's custom format, each with a note beside it (CHR-11). */

/** The note, kept as `<file>.json`. */
export interface Backup {
  /** UTC time to the second, @example "2026-11-21-09-30-05"; people restore by it. */
  readonly id: string;
  readonly file: string;
  readonly bytes: number;
  readonly sha256: string;
  /** Rows of each table, "schema.table", counted in the very snapshot that was dumped. */
  readonly tables: Readonly<Record<string, number>>;
  /** @example "PostgreSQL 15.18" */
  readonly server: string;
}

export interface BackupOptions {
  /** What holds the URL, for errors. @default "DATABASE_URL" */
  readonly key?: string;
  /** Bound of the dump, and of the counting. @default 3600 */
  readonly seconds?: number;
}

/** Where a backup made at `now` belongs. */
export function backupFile(folder: string, now: Date): string {
  return join(folder, `${now.toISOString().slice(0, 19).replace(/[T:]/g, "-")}.dump`);
}

/**
 * Dumps a whole database into `file` (see `backupFile`), mode 0600. Written beside it and renamed, so a file of that
 * name is always a whole one; the note is written last, and `listBackups` shows only backups with a note.
 * @throws naming the key, with what pg_dump said; nothing is left behind
 */
export async function backupDatabase(
  url: string,
  file: string,
  options: BackupOptions = {},
): Promise<Backup> {
  const { key = "DATABASE_URL", seconds = 3600 } = options;
  const partial = `${file}.partial`;
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  const session = await connectPostgres(url, key, {
    application: "switchyard backup",
    statementSeconds: seconds,
  });
  try {
    const { snapshot, server } = await beginSnapshot(session);
    await rm(partial, { force: true });
    // The file exists with its mode before pg_dump writes the first byte into it.
    await (await open(partial, "wx", 0o600)).close();
    await postgresProgram(["pg_dump", libpqAlive, "-Fc", `--snapshot=${snapshot}`, `--file=${partial}`], {
      url,
      key,
      seconds,
    });
    const tables = await countRows(session);
    await checkContents(partial, tables);
    await chmod(partial, 0o600);
    await syncFile(partial);
    const { bytes, sha256 } = await measureFile(partial);
    await rename(partial, file);
    const backup: Backup = { id: basename(file).replace(/\.dump$/, ""), file, bytes, sha256, tables, server };
    await writeDurably(`${file}.json`, `${JSON.stringify(backup, null, 2)}\n`);
    return backup;
  } finally {
    await session.end().catch(() => {});
    await rm(partial, { force: true });
  }
}

/** Whole backups of a folder, oldest first. */
export async function listBackups(folder: string): Promise<Backup[]> {
  const names = (await namesIn(folder)).filter((name) => name.endsWith(".dump.json")).sort();
  const notes = await Promise.all(names.map((name) => readJson<Backup>(join(folder, name))));
  return notes.flatMap((note, index) =>
    note ? [{ ...note, file: join(folder, names[index]!.replace(/\.json$/, "")) }] : [],
  );
}

/** Reads a backup whole: its checksum is the noted one, and pg_restore knows every table that was counted. */
export async function verifyBackup(backup: Backup): Promise<void> {
  const { sha256 } = await measureFile(backup.file);
  if (sha256 !== backup.sha256) {
    throw new Error(
      `${backup.file} has changed: sha256 ${sha256}, noted ${backup.sha256}; use another backup`,
    );
  }
  await checkContents(backup.file, backup.tables);
}

/** Deletes all but the newest `count` backups, and parts that a killed backup left. @returns the ids deleted */
export async function keepBackups(folder: string, count: number): Promise<string[]> {
  if (!Number.isInteger(count) || count < 1)
    throw new Error(`keepBackups: found ${count}, expected 1 or more`);
  const old = (await listBackups(folder)).slice(0, -count);
  for (const { file } of old) {
    // The note first: what is half deleted is not offered.
    await rm(`${file}.json`, { force: true });
    await rm(file, { force: true });
  }
  for (const name of (await namesIn(folder)).filter((one) => one.endsWith(".partial"))) {
    const path = join(folder, name);
    const untouched = Date.now() - (await stat(path)).mtimeMs;
    if (untouched > 3600_000) await rm(path, { force: true });
  }
  return old.map(({ id }) => id);
}

/** One snapshot for the dump and the counts: rows written meanwhile are in neither. */
export async function beginSnapshot(session: Client): Promise<{ snapshot: string; server: string }> {
  await session.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
  const { rows } = await session.query<{ snapshot: string; server: string }>(
    "SELECT pg_export_snapshot() AS snapshot, 'PostgreSQL ' || current_setting('server_version') AS server",
  );
  return { snapshot: rows[0]!.snapshot, server: rows[0]!.server.replace(/ \(.*/, "") };
}

/** Rows of each table, "schema.table", as the session's transaction sees them. */
export async function countRows(session: Client): Promise<Record<string, number>> {
  const { rows } = await session.query<{ name: string; quoted: string }>(tablesQuery);
  const tables: Record<string, number> = {};
  for (const { name, quoted } of rows) {
    const { rows: counted } = await session.query<{ count: string }>(
      `SELECT count(*) AS count FROM ONLY ${quoted}`,
    );
    tables[name] = Number(counted[0]!.count);
  }
  return tables;
}

/** Tables that hold rows and whose rows pg_dump dumps: not the system's, not an extension's. */
const tablesQuery = `
  SELECT n.nspname || '.' || c.relname AS name, format('%I.%I', n.nspname, c.relname) AS quoted
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind = 'r' AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
  ORDER BY 1`;

async function checkContents(file: string, tables: Readonly<Record<string, number>>): Promise<void> {
  const listing = await postgresProgram(["pg_restore", "--list", file], { seconds: 600 });
  const listed = [...listing.matchAll(/^\d+; \d+ \d+ TABLE DATA (.+)$/gm)].map(([, line = ""]) => line);
  const missing = Object.keys(tables).filter((table) => !listed.some((line) => isOfTable(line, table)));
  if (missing.length > 0)
    throw new Error(`${file} lacks the rows of ${missing.join(", ")}: it is no whole backup`);
}

/** A line says schema, table and owner with a space between them, and any of the three may have spaces of its own. */
function isOfTable(line: string, table: string): boolean {
  const dots = [...table.matchAll(/\./g)].map(({ index }) => index);
  return dots.some((dot) => line.startsWith(`${table.slice(0, dot)} ${table.slice(dot + 1)} `));
}

async function postgresProgram(
  argv: readonly string[],
  options: { url?: string; key?: string; seconds: number },
): Promise<string> {
  const { url, key = "", seconds } = options;
  const env = {
    ...(url === undefined ? {} : libpqEnvironment(readPostgresUrl(url, key))),
    LC_ALL: "C.UTF-8",
  };
  const [program] = argv;
  let result: Awaited<ReturnType<typeof run>>;
  try {
    result = await run(argv, { env, seconds });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    throw new Error(`${program} is not installed here; on Debian: apt-get install postgresql-client`);
  }
  if (result.code === 0) return result.stdout;
  throw postgresFailure(String(program), key, result.stderr || `exit ${result.code}`);
}

/** What a program of PostgreSQL said when it failed, and what to do where that is known. */
export function postgresFailure(program: string, key: string, said: string): Error {
  const reason = said.trim().split("\n").slice(-5).join("; ");
  const older = /server version mismatch/.test(reason)
    ? "; install the postgresql-client of the server's version, or a newer one"
    : "";
  return new Error(`${key ? `${key}: ` : ""}${program} failed: ${reason}${older}`);
}

async function measureFile(file: string): Promise<{ bytes: number; sha256: string }> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(file), hash);
  return { bytes: (await stat(file)).size, sha256: hash.digest("hex") };
}

async function syncFile(path: string): Promise<void> {
  const file = await open(path, "r+");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}
