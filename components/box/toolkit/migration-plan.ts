import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { SchemaManifest } from "../../rollout/manifest.ts";
import { transactionControl } from "./sql-statements.ts";

/** What is to be done to a database, decided from a folder of migrations and what the database says it has. */

/** One migration of a release's folder. */
export interface Migration {
  readonly number: number;
  /** @example "add_colour", of 002_add_colour.up.sql */
  readonly name: string;
  readonly up: string;
  /** Null where there is no down script: the migration can only be undone by a restore. */
  readonly down: string | null;
  /** Of the up script's text, 64 hex digits. */
  readonly sha256: string;
}

/** A row of switchyard_migrations. */
export interface Applied {
  readonly number: number;
  readonly name: string;
  readonly sha256: string;
  readonly change: "expand" | "contract";
  /** Releases that need less than this stopped working with it; 0 for one that expands. */
  readonly supports: number;
  readonly appliedAt: Date;
  readonly fingerprint: string;
  readonly release: string;
  /** Began outside a transaction and did not finish. */
  readonly dirty: boolean;
}

/** A release that stays placed and must go on working (CHR-8). */
export interface KeptRelease {
  readonly release: string;
  readonly needs: number;
}

export interface Plan {
  /** A half-applied migration whose down script is to be run first; then it is among `apply` again. */
  readonly takeBack: Migration | null;
  readonly apply: readonly Migration[];
  /** Highest number applied now, and when the plan is done. */
  readonly from: number;
  readonly to: number;
}

export const noTransaction = "-- switchyard: no-transaction";

export function runsInTransaction(sql: string): boolean {
  return sql.split("\n", 1)[0]!.trim() !== noTransaction;
}

export class MigrationRefused extends Error {
  readonly reasons: readonly string[];

  constructor(reasons: readonly string[]) {
    super(reasons.join("\n"));
    this.name = "MigrationRefused";
    this.reasons = reasons;
  }
}

/** Reads NNN_name.up.sql and NNN_name.down.sql, ascending. @throws MigrationRefused naming every file that is wrong */
export async function readMigrations(folder: string): Promise<Migration[]> {
  let names: string[];
  try {
    names = (await readdir(folder)).filter((name) => name.endsWith(".sql")).sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    throw new MigrationRefused([`schema.folder: there is no folder ${folder} in the release's tree`]);
  }
  const wrong: string[] = [];
  const texts = new Map<string, string>();
  for (const name of names) texts.set(name, await readFile(join(folder, name), "utf8"));
  const migrations: Migration[] = [];
  for (const [file, text] of texts) {
    const match = /^(\d+)_(.+)\.(up|down)\.sql$/.exec(file);
    if (!match) {
      wrong.push(`${file}: expected NNN_name.up.sql or NNN_name.down.sql`);
      continue;
    }
    const [, digits, name, direction] = match as unknown as [string, string, string, string];
    const control = runsInTransaction(text) ? transactionControl(text) : undefined;
    if (control) {
      wrong.push(
        `${file}, line ${control.line}: ${control.words[0]}, but each migration runs in one transaction: remove it, or ` +
          `make "${noTransaction}" the first line`,
      );
    }
    if (direction === "down") {
      if (!texts.has(file.replace(/\.down\.sql$/, ".up.sql")))
        wrong.push(`${file}: there is no up script beside it`);
      continue;
    }
    const number = Number(digits);
    const twin = migrations.find((migration) => migration.number === number);
    if (twin) wrong.push(`${file}: ${number} is ${twin.name} already`);
    if (number === 0) wrong.push(`${file}: numbers begin at 1`);
    const down = texts.get(`${digits}_${name}.down.sql`) ?? null;
    migrations.push({
      number,
      name,
      up: text,
      down,
      sha256: createHash("sha256").update(text).digest("hex"),
    });
  }
  if (wrong.length > 0) throw new MigrationRefused(wrong);
  return migrations.sort((a, b) => a.number - b.number);
}

export interface PlanInput {
  readonly migrations: readonly Migration[];
  readonly applied: readonly Applied[];
  readonly schema: Pick<SchemaManifest, "provides" | "needs" | "change">;
  /** Releases that stay placed beside it, the live one among them. */
  readonly kept?: readonly KeptRelease[];
  /** How a person says what became of a half-applied migration. */
  readonly resolve?: (number: number) => string;
}

/**
 * Decides what to run so that the database provides what the release's schema says. Pure.
 * @throws MigrationRefused with every reason at once, each with its way out
 */
export function planMigrations(input: PlanInput): Plan {
  const { migrations, applied, schema, kept = [], resolve = () => "" } = input;
  const byNumber = new Map(migrations.map((migration) => [migration.number, migration]));
  const dirty = applied.find((row) => row.dirty);
  const takeBack = dirty ? resumable(dirty, byNumber.get(dirty.number)) : null;
  const done = applied.filter((row) => !row.dirty);
  const from = Math.max(0, ...done.map((row) => row.number));
  const pending = migrations.filter(
    (migration) =>
      migration.number <= schema.provides && !done.some((row) => row.number === migration.number),
  );
  const to = Math.max(from, ...pending.map((migration) => migration.number));
  const reasons = [
    ...(dirty && !takeBack ? [`${dirtyReason(dirty)}. ${resolve(dirty.number)}`.trim()] : []),
    ...textReasons(byNumber, done, schema.provides),
    ...pending
      .filter((migration) => migration.number < from)
      .map(
        ({ number, name }) =>
          `${number} ${name} is not applied but ${from} is: give it a number above ${from}`,
      ),
    ...schemaReasons(schema, done, to),
    ...changeReasons(schema, pending, kept),
  ];
  if (reasons.length > 0) throw new MigrationRefused(reasons);
  return { takeBack, apply: pending, from, to };
}

/** Why a release cannot run on a database as it is, without running anything: for a flip to a kept release. */
export function unsupported(schema: Pick<SchemaManifest, "needs">, applied: readonly Applied[]): string[] {
  const done = applied.filter((row) => !row.dirty);
  return schemaReasons({ ...schema, provides: 0 }, done, Math.max(0, ...done.map((row) => row.number)));
}

/** What a contracting migration leaves behind: the lowest `needs` that still works. */
export function supportsAfter(schema: Pick<SchemaManifest, "needs" | "change">): number {
  return schema.change === "contract" ? schema.needs : 0;
}

/** Only a no-transaction migration can be dirty; with a down script, and its text unchanged, it can be taken back. */
function resumable(row: Applied, migration: Migration | undefined): Migration | null {
  return migration?.down && migration.sha256 === row.sha256 ? migration : null;
}

function dirtyReason(row: Applied): string {
  return (
    `${row.number} ${row.name} was begun by ${row.release} (${row.fingerprint}) at ${row.appliedAt.toISOString()}, ` +
    "did not finish, and has no down script that could take it back"
  );
}

function textReasons(byNumber: Map<number, Migration>, done: readonly Applied[], provides: number): string[] {
  const reasons: string[] = [];
  for (const row of done) {
    const migration = byNumber.get(row.number);
    if (!migration && row.number <= provides) {
      reasons.push(
        `${row.number} ${row.name} was applied by ${row.release} and is not in the release's folder: put it back`,
      );
    }
    if (migration && migration.sha256 !== row.sha256) {
      reasons.push(
        `${row.number} ${migration.name}: its text has changed since ${row.release} applied it at ` +
          `${row.appliedAt.toISOString()} (sha256 ${row.sha256.slice(0, 12)}… then, ${migration.sha256.slice(0, 12)}… ` +
          "now): put the old text back and write the change as another migration",
      );
    }
  }
  if (provides > 0 && !byNumber.has(provides)) {
    const last = Math.max(0, ...byNumber.keys());
    reasons.push(`schema.provides is ${provides}, the folder has no such migration (its last is ${last})`);
  }
  return reasons;
}

function schemaReasons(
  schema: Pick<SchemaManifest, "needs" | "provides">,
  done: readonly Applied[],
  to: number,
): string[] {
  const reasons: string[] = [];
  if (schema.needs > to) {
    reasons.push(
      `the release needs schema ${schema.needs}, the database has ${to}: ` +
        "update to a release that provides it first, or correct schema.needs",
    );
  }
  const contracted = done.filter((row) => row.supports > schema.needs).at(-1);
  if (contracted) {
    reasons.push(
      `the release needs schema ${schema.needs}, but ${contracted.number} ${contracted.name} of ${contracted.release} ` +
        `removed what releases that need less than ${contracted.supports} work with: make a newer release live, or roll ` +
        "that migration back, or restore the backup from before it",
    );
  }
  return reasons;
}

function changeReasons(
  schema: Pick<SchemaManifest, "needs" | "change">,
  pending: readonly Migration[],
  kept: readonly KeptRelease[],
): string[] {
  if (pending.length === 0) return [];
  const names = pending.map(({ number, name }) => `${number} ${name}`).join(", ");
  if (schema.change === "none") {
    return [`schema.change is none, but ${names} would run: say expand or contract`];
  }
  if (schema.change !== "contract") return [];
  return kept
    .filter((release) => release.needs < schema.needs)
    .map(
      ({ release, needs }) =>
        `${names} contracts: kept release ${release} needs schema ${needs}, this one works with nothing older than ` +
        `${schema.needs}: let ${release} go from the kept releases first`,
    );
}
