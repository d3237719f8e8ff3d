import { createReadStream } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { Client } from "pg";
import { type Backup, beginSnapshot, countRows, postgresFailure } from "./backup.ts";
import { connectPostgres, libpqAlive, libpqEnvironment, readPostgresUrl } from "./database.ts";
import { readJson, writeDurably } from "./durable.ts";
import { backupId, type Reason, storeDump, storeNote, type VaultNote } from "./vault-backups.ts";
import { currentRepository } from "./vault-repository.ts";
import { type Restic, unlock, withRestic } from "./vault-restic.ts";
import type { KnownSettings, VaultDatabase, VaultFolder } from "./vault-settings.ts";
import { start } from "./vault-stream.ts";

/** Backups of a system's database into its vault (CHR-11). */

const dumpSeconds = 3 * 3600;

export interface Occasion {
  readonly reason: Reason;
  readonly release?: string;
  readonly receipt?: string;
}

/** Dumps the database straight into the vault; nothing of it touches this machine's disk. */
export async function backUp(
  folder: VaultFolder,
  settings: KnownSettings,
  occasion: Occasion,
): Promise<VaultNote> {
  const database = requireDatabase(settings);
  const { url, key } = database;
  return keep(folder, settings, async (restic, id) => {
    const session = await openSession(database);
    try {
      const { snapshot, server } = await beginSnapshot(session);
      const made = await madeWith(session);
      // Not compressed by pg_dump: restic finds what has not changed since the last time, and compresses the rest.
      const dump = start(
        ["pg_dump", libpqAlive, "--format=custom", "--compress=0", `--snapshot=${snapshot}`],
        {
          env: { ...libpqEnvironment(readPostgresUrl(url, key)), LC_ALL: "C.UTF-8" },
          seconds: dumpSeconds,
          failure: (said) => postgresFailure("pg_dump", key, said),
        },
      );
      const stored = await storeDump(restic, id, dump, dumpSeconds);
      return { ...stored, tables: await countRows(session), server, made, ...noted(occasion) };
    } finally {
      await session.end().catch(() => {});
    }
  });
}

/** Puts a dump that is on this machine into the vault too. */
export async function keepDump(
  folder: VaultFolder,
  settings: KnownSettings,
  backup: Backup,
  occasion: Occasion,
): Promise<VaultNote> {
  const database = requireDatabase(settings);
  return keep(folder, settings, async (restic, id) => {
    const session = await openSession(database);
    const made = await madeWith(session).finally(() => session.end().catch(() => {}));
    const stdout = createReadStream(backup.file);
    const source = { stdout, ended: Promise.resolve(), kill: () => void stdout.destroy() };
    const stored = await storeDump(restic, id, source, dumpSeconds);
    if (stored.sha256 !== backup.sha256) {
      throw new Error(`${backup.file} has changed since it was made: sha256 ${stored.sha256}`);
    }
    return { ...stored, tables: backup.tables, server: backup.server, made, ...noted(occasion) };
  });
}

type Dumped = Omit<VaultNote, "id" | "repository" | "rows">;

async function keep(
  folder: VaultFolder,
  settings: KnownSettings,
  work: (restic: Restic, id: string) => Promise<Dumped>,
): Promise<VaultNote> {
  const now = new Date();
  const id = await freshId(folder, now);
  const repository = await currentRepository(folder, settings, now);
  return withRestic(folder, settings, repository, async (restic) => {
    await unlock(restic);
    const dumped = await work(restic, id);
    const rows = Object.values(dumped.tables).reduce((sum, one) => sum + one, 0);
    const note: VaultNote = { id, repository, rows, ...dumped };
    await storeNote(restic, note);
    await writeDurably(lastFile(folder), `${JSON.stringify(note, null, 2)}\n`);
    return note;
  });
}

/** The last backup that this machine has made; null before the first. */
export function readLast(folder: VaultFolder): Promise<VaultNote | null> {
  return readJson(lastFile(folder));
}

function lastFile(folder: VaultFolder): string {
  return join(folder.path, "last.json");
}

/** An id that no other backup of this machine has, not even one that was begun and killed in this second. */
async function freshId(folder: VaultFolder, now: Date): Promise<string> {
  const path = join(folder.path, "begun.json");
  const begun = (await readJson<{ id: string }>(path))?.id;
  const id = backupId(now);
  if (begun === id) {
    await pause(1000 - now.getUTCMilliseconds());
    return freshId(folder, new Date());
  }
  await writeDurably(path, JSON.stringify({ id }));
  return id;
}

function noted({ reason, release, receipt }: Occasion): Pick<VaultNote, "reason" | "release" | "receipt"> {
  return { reason, release: release ?? null, receipt: receipt ?? null };
}

export function requireDatabase({ system, database }: KnownSettings): VaultDatabase {
  if (database) return database;
  throw new Error(`the vault of ${system} has no database to back up: set ${system}:databaseUrl`);
}

function openSession({ url, key }: VaultDatabase): Promise<Client> {
  return connectPostgres(url, key, { application: "switchyard vault", statementSeconds: dumpSeconds });
}

async function madeWith(session: Client): Promise<VaultNote["made"]> {
  const { rows } = await session.query<VaultNote["made"]>(
    `SELECT pg_encoding_to_char(encoding) AS encoding, datcollate AS collate, datctype AS ctype
     FROM pg_database WHERE datname = current_database()`,
  );
  return rows[0]!;
}
