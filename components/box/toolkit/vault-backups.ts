import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { dump, listSnapshots, type Restic, type Snapshot, store } from "./vault-restic.ts";
import type { Measured, Source, Streaming } from "./vault-stream.ts";

/**
 * What is in the vault. A backup is two snapshots of restic with the tag `backup=<id>`: the dump, and after it the
 * note. One without a note was cut short (restic takes the end of a broken pipe for the end of the dump) and is offered
 * to nobody. Nothing is changed after it was stored: the writer may only add.
 */

/** Why a backup was made: by its timer, by a person, by a release's checklist, or before its migration. */
export type Reason = "timer" | "person" | "checklist" | "migration";

export interface VaultBackup {
  /** UTC time to the second, @example "2026-11-21-09-30-05"; people restore by it. */
  readonly id: string;
  readonly repository: string;
  readonly bytes: number;
  readonly sha256: string;
  /** Rows of all tables. */
  readonly rows: number;
  readonly reason: Reason;
  /** The release that it was made for, @example "v2" */
  readonly release: string | null;
}

/** The note, kept in the repository as `note.json`. */
export interface VaultNote extends VaultBackup {
  /** Rows of each table, "schema.table", counted in the very snapshot that was dumped. */
  readonly tables: Readonly<Record<string, number>>;
  /** @example "PostgreSQL 15.18" */
  readonly server: string;
  /** What a database needs to be made with, so that the dump goes into it. */
  readonly made: { readonly encoding: string; readonly collate: string; readonly ctype: string };
  /** Receipt of the update that it was made in: it counts for that one. */
  readonly receipt: string | null;
}

export const dumpFile = "database.dump";
const noteFile = "note.json";
const noteSeconds = 300;

export function backupId(now: Date): string {
  return now.toISOString().slice(0, 19).replace(/[T:]/g, "-");
}

/** Stores a dump under the id; it counts from the moment its note is there. */
export function storeDump(restic: Restic, id: string, source: Source, seconds: number): Promise<Measured> {
  return store(restic, source, { file: dumpFile, tags: ["dump", `backup=${id}`], seconds });
}

export async function storeNote(restic: Restic, note: VaultNote): Promise<void> {
  const { id, bytes, rows, sha256, reason, release } = note;
  const values = { backup: id, bytes, rows, sha256, reason, ...(release === null ? {} : { release }) };
  const tags = ["note", ...Object.entries(values).map(([name, value]) => `${name}=${value}`)];
  const stdout = Readable.from([`${JSON.stringify(note, null, 2)}\n`]);
  const source = { stdout, ended: Promise.resolve(), kill: () => stdout.destroy() };
  await store(restic, source, { file: noteFile, tags, seconds: noteSeconds });
}

/** A backup, and the two snapshots that it is. */
export interface Stored {
  readonly backup: VaultBackup;
  readonly dump: string;
  readonly note: string;
}

/** Whole backups of a repository, oldest first. */
export async function listStored(restic: Restic): Promise<Stored[]> {
  const snapshots = await listSnapshots(restic);
  const dumps = new Map(snapshots.filter(isA("dump")).map((one) => [idOf(one), one.id]));
  const stored = snapshots.filter(isA("note")).flatMap((note) => {
    const dumped = dumps.get(idOf(note));
    if (dumped === undefined) return [];
    return [{ backup: readTags(note, restic.repository), dump: dumped, note: note.id }];
  });
  return stored.sort((a, b) => (a.backup.id < b.backup.id ? -1 : 1));
}

/** The note of a backup. @throws where it cannot be read as it was written */
export async function readNote(restic: Restic, { note }: Stored): Promise<VaultNote> {
  const reading = dump(restic, note, noteFile, noteSeconds);
  const [written] = await Promise.all([text(reading.stdout), reading.ended]);
  return JSON.parse(written) as VaultNote;
}

export function readDump(restic: Restic, stored: Stored, seconds: number): Streaming {
  return dump(restic, stored.dump, dumpFile, seconds);
}

/**
 * The backup that a person means: the one of this id; the newest whose id begins so ("2026-11-21-09"); else the
 * newest that is not younger than the time given.
 */
export function chooseBackup(backups: readonly VaultBackup[], wanted: string): VaultBackup {
  const time = wanted.trim().replace(/Z$/, "").replace(/[T: ]/g, "-");
  if (!/^\d{4}-\d\d-\d\d(-\d\d){0,3}$/.test(time)) {
    throw new Error(
      `found "${wanted}", expected a time in UTC such as 2026-11-21-09-30, or an id of vault-list`,
    );
  }
  const chosen =
    backups.findLast(({ id }) => id.startsWith(time)) ?? backups.findLast(({ id }) => id <= time);
  if (chosen) return chosen;
  const [oldest] = backups;
  throw new Error(`there is no backup from ${time} or before; the oldest is ${oldest?.id ?? "not made yet"}`);
}

function isA(kind: "dump" | "note"): (snapshot: Snapshot) => boolean {
  return ({ tags }) => tags.includes(kind);
}

function idOf({ tags }: Snapshot): string {
  return tagged(tags, "backup") ?? "";
}

function readTags(snapshot: Snapshot, repository: string): VaultBackup {
  const { tags } = snapshot;
  return {
    id: idOf(snapshot),
    repository,
    bytes: Number(tagged(tags, "bytes")),
    sha256: tagged(tags, "sha256") ?? "",
    rows: Number(tagged(tags, "rows")),
    reason: (tagged(tags, "reason") ?? "person") as Reason,
    release: tagged(tags, "release"),
  };
}

function tagged(tags: readonly string[], name: string): string | null {
  return tags.find((tag) => tag.startsWith(`${name}=`))?.slice(name.length + 1) ?? null;
}
