import type { SchemaManifest } from "../../rollout/manifest.ts";
import { connectPostgres } from "./database.ts";
import {
  type Applied,
  type KeptRelease,
  type Migration,
  MigrationRefused,
  planMigrations,
  readMigrations,
  runsInTransaction,
  supportsAfter,
  unsupported,
} from "./migration-plan.ts";
import { MigrationSession } from "./migration-session.ts";

/**
 * Runs a release's migrations (CHR-8). The database itself remembers them (switchyard_migrations), one runs at a time
 * (an advisory lock of the session, which ends with it), and a migration that cannot run in a transaction is marked
 * before it begins: whoever is killed, at any line, leaves either nothing or the mark.
 */

export interface MigrationTarget {
  readonly url: string;
  /** What holds the URL, for errors; @example "DATABASE_URL" */
  readonly key: string;
  readonly system: string;
  readonly release: string;
  readonly fingerprint: string;
  /** Waiting for another migration's lock. @default 60 */
  readonly waitSeconds?: number;
  /** Waiting for a lock on a table: what waits makes every later query on that table wait. @default 10 */
  readonly lockSeconds?: number;
  /** Bound of each statement. @default 1800 */
  readonly statementSeconds?: number;
}

export interface MigrateOptions extends MigrationTarget {
  /** Folder of the release's build that holds the scripts. */
  readonly folder: string;
  readonly schema: Pick<SchemaManifest, "provides" | "needs" | "change">;
  /** Releases that stay placed: a contraction that would break one of them is refused. */
  readonly kept?: readonly KeptRelease[];
}

export interface MigrateResult {
  /** Schema number before and after. */
  readonly from: number;
  readonly to: number;
  readonly applied: readonly {
    readonly number: number;
    readonly name: string;
    readonly milliseconds: number;
  }[];
  /** A migration that a killed run had left half-applied, taken back by its down script before anything else. */
  readonly takenBack: number | null;
}

/** Brings the database to what the release provides; nothing runs where it is there already. */
export async function migrate(options: MigrateOptions): Promise<MigrateResult> {
  const migrations = await readMigrations(options.folder);
  return underLock(options, async (session) => {
    await session.createTable();
    const { applied: rows } = session;
    const { schema, kept = [] } = options;
    const resolve = (number: number) => howToResolve(options, number);
    const plan = planMigrations({ migrations, applied: rows, schema, kept, resolve });
    if (plan.takeBack) await takeBack(session, plan.takeBack, options);
    const applied: { number: number; name: string; milliseconds: number }[] = [];
    for (const migration of plan.apply) {
      const before = performance.now();
      await apply(session, migration, options);
      const milliseconds = Math.round(performance.now() - before);
      applied.push({ number: migration.number, name: migration.name, milliseconds });
    }
    return { from: plan.from, to: plan.to, applied, takenBack: plan.takeBack?.number ?? null };
  });
}

/** @throws MigrationRefused where the database, as it is, is not one the release can work with. Changes nothing. */
export async function checkSchema(
  target: MigrationTarget,
  schema: Pick<SchemaManifest, "needs">,
): Promise<void> {
  const { applied } = await migrationStatus(target);
  const reasons = unsupported(schema, applied);
  if (reasons.length > 0) throw new MigrationRefused(reasons);
}

export interface MigrationStatus {
  /** Highest number applied; 0 for a database that was never migrated. */
  readonly number: number;
  readonly applied: readonly Applied[];
  /** Half-applied migration, if any. */
  readonly dirty: Applied | null;
}

/** What the database says it has. Changes nothing, waits for no lock. */
export async function migrationStatus(target: MigrationTarget): Promise<MigrationStatus> {
  const session = await open(target);
  try {
    await session.read();
    const done = session.applied.filter((row) => !row.dirty);
    return {
      number: Math.max(0, ...done.map((row) => row.number)),
      applied: session.applied,
      dirty: session.applied.find((row) => row.dirty) ?? null,
    };
  } finally {
    await session.end();
  }
}

export interface RollbackOptions extends MigrationTarget {
  readonly folder: string;
  /** Releases that stay placed, the live one among them: none may need what is rolled back. */
  readonly kept?: readonly KeptRelease[];
}

/** Undoes the last migration by its down script. @returns its number and name, and the schema's number after it */
export async function rollbackLast(
  options: RollbackOptions,
): Promise<{ number: number; name: string; to: number }> {
  const migrations = await readMigrations(options.folder);
  return underLock(options, async (session) => {
    const last = session.applied.at(-1);
    if (!last) throw new MigrationRefused(["no migration is applied, so there is none to roll back"]);
    const to = session.applied.at(-2)?.number ?? 0;
    const migration = migrations.find(({ number }) => number === last.number);
    const name = `${last.number} ${last.name}`;
    const reasons = (options.kept ?? [])
      .filter((release) => release.needs > to)
      .map(
        ({ release, needs }) =>
          `${name}: ${release} is placed and needs schema ${needs}; it would be left with ${to}`,
      );
    if (!migration?.down) {
      const which = migration
        ? "has no down script"
        : `of ${last.release} is not in the folder of ${options.release}`;
      reasons.push(`${name} ${which}: run this for ${last.release}, or restore the backup from before it`);
    } else if (migration.sha256 !== last.sha256) {
      reasons.push(
        `${name}: its text has changed since it was applied: its down script may not fit; put it back`,
      );
    }
    if (reasons.length > 0 || !migration) throw new MigrationRefused(reasons);
    await takeBack(session, migration, options);
    return { number: last.number, name: last.name, to };
  });
}

/** A person has looked at a half-applied migration and says which it is now. */
export async function resolveMigration(
  target: MigrationTarget,
  number: number,
  as: "applied" | "reverted",
): Promise<void> {
  await underLock(target, async (session) => {
    const row = session.applied.find((one) => one.number === number);
    if (!row?.dirty) {
      const found = row ? "is applied" : "is not applied";
      throw new MigrationRefused([`${number} ${found} and not half-applied: there is nothing to resolve`]);
    }
    await (as === "applied" ? session.mark(number, false) : session.forget(number));
  });
}

async function apply(
  session: MigrationSession,
  migration: Migration,
  options: MigrateOptions,
): Promise<void> {
  const { schema, release, fingerprint } = options;
  const change = schema.change === "contract" ? "contract" : "expand";
  const row = { ...migration, change, supports: supportsAfter(schema), release, fingerprint } as const;
  const file = `${migration.number} ${migration.name} (up)`;
  if (runsInTransaction(migration.up)) {
    await session.transaction(file, migration.up, () => session.record({ ...row, dirty: false }));
    return;
  }
  await session.record({ ...row, dirty: true });
  try {
    await session.statements(file, migration.up);
  } catch (error) {
    throw await halfFailed(session, migration, options, error as Error);
  }
  await session.mark(migration.number, false);
}

/** The error of a migration that failed outside a transaction, after its down script was tried. */
async function halfFailed(
  session: MigrationSession,
  migration: Migration,
  options: MigrateOptions,
  error: Error,
) {
  const name = `${migration.number} ${migration.name}`;
  if (migration.down === null) {
    return new Error(
      `${error.message}\n${name} has no down script and is left half-applied. ${howToResolve(options, migration.number)}`,
    );
  }
  try {
    await takeBack(session, migration, options);
    return new Error(
      `${error.message}\n${name} was taken back by its down script: the database is as before it`,
    );
  } catch (failure) {
    return new Error(`${error.message}\nTaking it back failed too: ${(failure as Error).message}`);
  }
}

/** Runs the down script; the row goes with it. */
async function takeBack(
  session: MigrationSession,
  migration: Migration,
  target: MigrationTarget,
): Promise<void> {
  const { number, name, down } = migration;
  if (down === null) throw new Error(`${number} ${name} has no down script`);
  const file = `${number} ${name} (down)`;
  if (runsInTransaction(down)) {
    await session.transaction(file, down, () => session.forget(number));
    return;
  }
  await session.mark(number, true);
  try {
    await session.statements(file, down);
  } catch (error) {
    throw new Error(
      `${(error as Error).message}\n${number} ${name} is left half-applied. ${howToResolve(target, number)}`,
    );
  }
  await session.forget(number);
}

export function howToResolve({ system, release, fingerprint }: MigrationTarget, number: number): string {
  return (
    "The releases that are placed go on as they are. Look at the database, finish or undo the change by hand, then say " +
    `which: switchyard-box migrate-resolve ${system} ${release} ${fingerprint} ${number} applied (or reverted). ` +
    "Or restore the backup from before it"
  );
}

/** Runs `work` on a connection that holds the migrations' lock and has read what is applied. */
export async function underLock<T>(
  target: MigrationTarget,
  work: (session: MigrationSession) => Promise<T>,
): Promise<T> {
  const session = await open(target);
  try {
    await session.lock(target.waitSeconds ?? 60);
    await session.read();
    return await work(session);
  } finally {
    await session.end();
  }
}

async function open(target: MigrationTarget): Promise<MigrationSession> {
  const { system, release, fingerprint, statementSeconds = 1800, lockSeconds = 10 } = target;
  const application = `switchyard migrate ${system} ${release} ${fingerprint}`.slice(0, 63);
  const client = await connectPostgres(target.url, target.key, {
    application,
    statementSeconds,
    lockSeconds,
  });
  const session = new MigrationSession(client, target.key);
  await session.settle();
  return session;
}
