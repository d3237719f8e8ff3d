import { setTimeout as pause } from "node:timers/promises";
import type { Client, DatabaseError } from "pg";
import { reasonOf } from "./database.ts";
import { type Applied, MigrationRefused, noTransaction } from "./migration-plan.ts";
import { splitStatements } from "./sql-statements.ts";

/** First key of the advisory lock: "SWYD". The second is 1; advisory locks are of one database. */
const lockKey = 0x53575944;

/** One connection that migrates: the lock, the table switchyard_migrations, and the running of scripts. */
export class MigrationSession {
  /** Rows as last read, ascending. */
  applied: readonly Applied[] = [];
  readonly #client: Client;
  readonly #key: string;
  #table = "";

  constructor(client: Client, key: string) {
    this.#client = client;
    this.#key = key;
  }

  /**
   * Makes the server notice within seconds that this process is gone, also in the middle of a long statement: the lock
   * is held for as long as the session lives.
   */
  async settle(): Promise<void> {
    const client = this.#client;
    await client.query("RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL");
    await client.query(
      "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3",
    );
    const { rows } = await client.query<{ version: number; schema: string | null }>(
      "SELECT current_setting('server_version_num')::int AS version, quote_ident(current_schema()) AS schema",
    );
    const { version, schema } = rows[0]!;
    if (version >= 140_000) await client.query("SET client_connection_check_interval = '2s'");
    if (schema === null) throw new Error(`${this.#key}: no schema of the role's search_path exists`);
    // Named in full from here on: a script may change the search_path.
    this.#table ||= `${schema}.switchyard_migrations`;
  }

  /** @throws naming who holds it, and how to end that, after `waitSeconds` */
  async lock(waitSeconds: number): Promise<void> {
    const deadline = performance.now() + waitSeconds * 1000;
    for (;;) {
      const { rows } = await this.#client.query<{ locked: boolean }>(
        "SELECT pg_try_advisory_lock($1, 1) AS locked",
        [lockKey],
      );
      if (rows[0]!.locked) return;
      if (performance.now() >= deadline) break;
      await pause(Math.min(250, Math.max(1, deadline - performance.now())));
    }
    const { rows } = await this.#client.query<Holder>(holderQuery, [lockKey]);
    const [holder] = rows;
    const who = holder
      ? `"${holder.application}" of ${holder.role} (pid ${holder.pid}, from ${holder.address}, since ${holder.since}); ` +
        `if it hangs, end it: SELECT pg_terminate_backend(${holder.pid})`
      : "a session that has just ended: run again";
    throw new MigrationRefused([
      `${this.#key}: another migration of this database holds the lock, waited ${waitSeconds} s: ${who}`,
    ]);
  }

  async createTable(): Promise<void> {
    await this.#run(`CREATE TABLE IF NOT EXISTS ${this.#table} (
      number integer PRIMARY KEY,
      name text NOT NULL,
      sha256 text NOT NULL,
      change text NOT NULL,
      supports integer NOT NULL,
      applied_at timestamptz NOT NULL DEFAULT now(),
      fingerprint text NOT NULL,
      release text NOT NULL,
      dirty boolean NOT NULL
    )`);
  }

  /** Fills `applied`; empty where nothing was ever migrated. */
  async read(): Promise<void> {
    const { rows: found } = await this.#client.query("SELECT to_regclass($1) AS table", [this.#table]);
    if (found[0].table === null) return;
    const { rows } = await this.#client.query<Applied>(
      `SELECT number, name, sha256, change, supports, applied_at AS "appliedAt", fingerprint, release, dirty
       FROM ${this.#table} ORDER BY number`,
    );
    this.applied = rows;
  }

  async record(row: Omit<Applied, "appliedAt">): Promise<void> {
    await this.#run(
      `INSERT INTO ${this.#table} (number, name, sha256, change, supports, fingerprint, release, dirty)
       VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
      [row.number, row.name, row.sha256, row.change, row.supports, row.fingerprint, row.release, row.dirty],
    );
  }

  async mark(number: number, dirty: boolean): Promise<void> {
    await this.#run(`UPDATE ${this.#table} SET dirty = $2 WHERE number = $1`, [number, dirty]);
  }

  async forget(number: number): Promise<void> {
    await this.#run(`DELETE FROM ${this.#table} WHERE number = $1`, [number]);
  }

  /** A script and what is written about it, both or neither. */
  async transaction(file: string, sql: string, written: () => Promise<void>): Promise<void> {
    try {
      await this.#client.query("BEGIN");
      await this.#script(file, sql, 1);
      await this.#client.query("RESET SESSION AUTHORIZATION; RESET ROLE");
      await written();
      await this.#client.query("COMMIT");
    } catch (error) {
      await this.#client.query("ROLLBACK").catch(() => {});
      throw error;
    }
    await this.settle();
  }

  /** A script one statement after the other, each committed by itself. */
  async statements(file: string, sql: string): Promise<void> {
    try {
      for (const { text, line } of splitStatements(sql)) await this.#script(file, text, line);
    } finally {
      // A script may have left a transaction of its own open, or another role.
      await this.#client.query("ROLLBACK").catch(() => {});
      await this.settle().catch(() => {});
    }
  }

  async end(): Promise<void> {
    await this.#client.end().catch(() => {});
  }

  async #run(sql: string, values: readonly unknown[] = []): Promise<void> {
    await this.#client.query(sql, [...values]);
  }

  /** @param line of the file that the text begins on */
  async #script(file: string, sql: string, line: number): Promise<void> {
    try {
      await this.#client.query(sql);
    } catch (error) {
      const { code, position, detail } = error as DatabaseError;
      const at = position ? line + sql.slice(0, Number(position) - 1).split("\n").length - 1 : line;
      const hint = hints[code ?? ""];
      const parts = [`${file}, line ${at}: ${reasonOf(error)}`, detail, hint].filter((part) => part);
      throw new Error(parts.join("; "));
    }
  }
}

const hints: Readonly<Record<string, string>> = {
  "25001": `make "${noTransaction}" the first line of the script`,
  "55P03": "a lock on the table was not free in time: nothing was changed, run again when less runs on it",
  "57014": "it took longer than a statement may",
  "42501": "the role of the database URL must own what it changes",
};

interface Holder {
  readonly pid: number;
  readonly role: string;
  readonly application: string;
  readonly address: string;
  readonly since: string;
}

const holderQuery = `
  SELECT a.pid, coalesce(a.usename, '?') AS role, coalesce(a.application_name, '?') AS application,
         coalesce(host(a.client_addr), 'this machine') AS address,
         coalesce(to_char(a.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), '?') AS since
  FROM pg_locks l JOIN pg_stat_activity a USING (pid)
  WHERE l.locktype = 'advisory' AND l.classid = $1 AND l.objid = 1 AND l.objsubid = 2 AND l.granted
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())`;
