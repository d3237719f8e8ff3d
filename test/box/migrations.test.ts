import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import type { Backup } from "../../components/box/toolkit/backup.ts";
import type { MigrateResult, MigrationStatus } from "../../components/box/toolkit/migrations.ts";
import { type Box, startBox } from "../support/box/box.ts";
import { makeReplica } from "../support/box/replica.ts";
import { describeOnBox } from "../support/box/suite.ts";

/**
 * Migrations, checks and backups against a real PostgreSQL and Redis: the toolkit's code runs on the box, bundled, by
 * Debian's own Node, as it does in a deployment.
 */

const root = join(import.meta.dirname, "../..");
const password = "pa'ss w$rd`x\"é%";

let box: Box;
let database: string;
let databases = 0;

describeOnBox("a database on a box", () => {
  beforeAll(async () => {
    box = await startBox({ base: "full" });
    await on(`cat > /root/driver.mjs && mkdir -p /root/m`, await bundle());
    await sql(`CREATE ROLE app LOGIN PASSWORD '${password.replaceAll("'", "''")}'`, "postgres");
  });

  afterAll(() => box?.stop());

  beforeEach(async () => {
    databases += 1;
    database = `d${databases}`;
    await sql(`CREATE DATABASE ${database} OWNER app`, "postgres");
    await scripts({});
  });

  it("gets what the release provides, once, and remembers who brought it", async () => {
    await scripts(exampleMigrations());
    expect(await migrate({ provides: 1 })).toMatchObject({ from: 0, to: 1, takenBack: null });
    expect(await migrate({ provides: 2 }, { release: "v2" })).toMatchObject({ from: 1, to: 2 });
    const again = await migrate({ provides: 2 }, { release: "v3" });
    expect(again).toEqual({ from: 2, to: 2, applied: [], takenBack: null });
    const { number, applied, dirty } = await call<MigrationStatus>("migrationStatus", target());
    expect({ number, dirty }).toEqual({ number: 2, dirty: null });
    expect(applied.map((row) => [row.number, row.release, row.fingerprint, row.change])).toEqual([
      [1, "v1", "7c1f00000001", "expand"],
      [2, "v2", "7c1f00000001", "expand"],
    ]);
    // A release from before the second migration still finds what it needs.
    expect(await migrate({ provides: 1 })).toMatchObject({ from: 2, to: 2, applied: [] });
    await expect(migrate({ provides: 2, needs: 3 })).rejects.toThrow("needs schema 3, the database has 2");
  });

  it("is as before when a migration fails in its transaction, and says at which line", async () => {
    await scripts({
      "001_a.up.sql": "CREATE TABLE a (x int);\nINSERT INTO a VALUES (1);\nSELECT *\nFROM missing;",
    });
    await expect(migrate({ provides: 1 })).rejects.toThrow(
      '1 a (up), line 4: relation "missing" does not exist',
    );
    expect(await tables()).toEqual([]);
    await scripts({ "001_a.up.sql": "CREATE TABLE a (x int);" });
    expect(await migrate({ provides: 1 })).toMatchObject({ to: 1 });
  });

  it("keeps the migrations before the one that failed", async () => {
    await scripts({ "001_a.up.sql": "CREATE TABLE a (x int)", "002_b.up.sql": "CREATE TABLE a (x int)" });
    await expect(migrate({ provides: 2 })).rejects.toThrow('2 b (up), line 1: relation "a" already exists');
    expect((await call<MigrationStatus>("migrationStatus", target())).number).toBe(1);
  });

  it("says what to do about a statement that no transaction allows", async () => {
    await scripts({ "001_a.up.sql": "CREATE TABLE a (x int);\nCREATE INDEX CONCURRENTLY i ON a (x);" });
    await expect(migrate({ provides: 1 })).rejects.toThrow(
      'make "-- switchyard: no-transaction" the first line',
    );
    await scripts({
      "001_a.up.sql":
        "-- switchyard: no-transaction\nCREATE TABLE a (x int);\nCREATE INDEX CONCURRENTLY i ON a (x);",
    });
    expect(await migrate({ provides: 1 })).toMatchObject({ to: 1 });
  });

  it("is taken back by the down script when one fails half-way outside a transaction", async () => {
    await scripts({
      "001_a.up.sql": "-- switchyard: no-transaction\nCREATE TABLE a (x int);\n\nCREATE TABLE a (y int);",
      "001_a.down.sql": "DROP TABLE IF EXISTS a;",
    });
    await expect(migrate({ provides: 1 })).rejects.toThrow(
      /1 a \(up\), line 4: relation "a" already exists\n1 a was taken back by its down script/,
    );
    expect(await tables()).toEqual([]);
    expect(await call<MigrationStatus>("migrationStatus", target())).toMatchObject({
      number: 0,
      dirty: null,
    });
  });

  it("keeps the mark where nothing could take it back, and refuses until a person has said", async () => {
    await scripts({
      "001_a.up.sql": "-- switchyard: no-transaction\nCREATE TABLE a (x int);\nSELECT * FROM missing;",
      "002_b.up.sql": "CREATE TABLE b (x int);",
    });
    const resolve = "switchyard-box migrate-resolve chrono v1 7c1f00000001 1 applied (or reverted)";
    await expect(migrate({ provides: 1 })).rejects.toThrow(resolve);
    await expect(migrate({ provides: 2 })).rejects.toThrow(
      /1 a was begun by v1 .* did not finish.*migrate-resolve/s,
    );
    expect(await call<MigrationStatus>("migrationStatus", target())).toMatchObject({
      number: 0,
      dirty: { number: 1 },
    });
    await call("resolveMigration", target(), 1, "applied");
    expect(await migrate({ provides: 2 })).toMatchObject({ from: 1, to: 2 });
    await expect(call("resolveMigration", target(), 1, "reverted")).rejects.toThrow(
      "there is nothing to resolve",
    );
  });

  it("names who holds the lock when it waits for another migration, and does not wait for ever", async () => {
    await scripts({ "001_slow.up.sql": "SELECT pg_sleep(8);" });
    const first = migrate({ provides: 1 });
    await until("SELECT 1 FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(8);'");
    const error = await migrate({ provides: 1 }, { waitSeconds: 1, release: "v2" }).catch(
      (thrown: Error) => thrown,
    );
    expect(String(error)).toMatch(
      /waited 1 s: "switchyard migrate chrono v1 7c1f00000001" of app \(pid \d+, from 127\.0\.0\.1, since \d{4}-.*pg_terminate/s,
    );
    // The one that waits for longer finds the work done.
    const third = migrate({ provides: 1 }, { release: "v3" });
    expect(await first).toMatchObject({ from: 0, to: 1 });
    expect(await third).toEqual({ from: 1, to: 1, applied: [], takenBack: null });
  });

  it("does not let everybody wait behind a migration that waits for a table", async () => {
    await sql("CREATE TABLE busy (x int); ALTER TABLE busy OWNER TO app");
    await scripts({ "001_a.up.sql": "ALTER TABLE busy ADD COLUMN y int;" });
    const holding = sql("BEGIN; LOCK busy; SELECT pg_sleep(6); COMMIT");
    await until("SELECT 1 FROM pg_locks WHERE relation = to_regclass('busy') AND granted");
    await expect(migrate({ provides: 1 }, { lockSeconds: 1 })).rejects.toThrow(
      "run again when less runs on it",
    );
    await holding;
    expect(await migrate({ provides: 1 }, { lockSeconds: 1 })).toMatchObject({ to: 1 });
  });

  it("is whole after a kill in the middle of a migration, in a transaction", async () => {
    await scripts({ "001_a.up.sql": "CREATE TABLE a (x int);\nSELECT pg_sleep(60);" });
    await killedWhile("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'", { provides: 1 });
    await scripts({ "001_a.up.sql": "CREATE TABLE a (x int);" });
    const before = performance.now();
    expect(await migrate({ provides: 1 })).toMatchObject({ from: 0, to: 1, takenBack: null });
    // The session of the killed one would sleep for a minute, and is not waited for.
    expect(performance.now() - before).toBeLessThan(30_000);
  });

  it("is taken back and done again after a kill in the middle of one outside a transaction", async () => {
    await scripts({
      "001_a.up.sql":
        "-- switchyard: no-transaction\nCREATE TABLE a (x int);\nSELECT pg_sleep(60 * count(*)) FROM slow;",
      "001_a.down.sql": "DROP TABLE IF EXISTS a;",
    });
    await sql("CREATE TABLE slow (x int); INSERT INTO slow VALUES (1); GRANT SELECT ON slow TO app");
    await killedWhile("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'", { provides: 1 });
    expect(await call<MigrationStatus>("migrationStatus", target())).toMatchObject({ dirty: { number: 1 } });
    await sql("DELETE FROM slow");
    expect(await migrate({ provides: 1 })).toMatchObject({ from: 0, to: 1, takenBack: 1 });
    expect(await tables()).toContain("a");
  });

  it("ends up the same, killed at any moment, again and again", async () => {
    const one = (n: number) =>
      `CREATE TABLE t${n} (x int);\nSELECT pg_sleep(0.05);\nINSERT INTO t${n} SELECT generate_series(1, 1000);`;
    await scripts(
      Object.fromEntries(
        [1, 2, 3, 4, 5, 6].flatMap((n) => [
          [`00${n}_t.up.sql`, n % 2 ? one(n) : `-- switchyard: no-transaction\n${one(n)}`],
          [
            `00${n}_t.down.sql`,
            `${n % 2 ? "" : "-- switchyard: no-transaction\n"}DROP TABLE IF EXISTS t${n};`,
          ],
        ]),
      ),
    );
    await on(
      "cat > /root/input.json",
      JSON.stringify({ name: "migrate", args: [migration({ provides: 6 })] }),
    );
    // Each provides one migration more, so that kills fall into all of them.
    const killed = await on(`for number in 1 2 3 4 5 6; do
      sed 's/"provides":6/"provides":'$number/ /root/input.json > /root/part.json
      for hundredths in 06 12 15 18 21 24 27 30 35; do
        timeout -s KILL 0.$hundredths node /root/driver.mjs < /root/part.json > /dev/null 2>&1 || echo killed
      done
    done`);
    expect(killed.split("killed").length).toBeGreaterThan(10);
    expect(await migrate({ provides: 6 })).toMatchObject({ to: 6 });
    const counts = [1, 2, 3, 4, 5, 6].map((n) => `SELECT count(*) FROM t${n}`).join(" UNION ALL ");
    expect(await on(`sudo -u postgres psql -Atqd ${database}`, counts)).toBe("1000\n".repeat(6));
    expect(await call<MigrationStatus>("migrationStatus", target())).toMatchObject({
      number: 6,
      dirty: null,
    });
  });

  it("is whole after the server has ended the session", async () => {
    await scripts({ "001_a.up.sql": "CREATE TABLE a (x int);\nSELECT pg_sleep(60);" });
    const running = migrate({ provides: 1 }).catch((error: Error) => error.message);
    await until("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'");
    expect(await running).toContain("terminating connection due to administrator command");
    expect(await tables()).toEqual([]);
  });

  it("remembers a migration whose script changes role and search_path", async () => {
    await sql("CREATE SCHEMA side AUTHORIZATION app; CREATE ROLE low NOLOGIN; GRANT low TO app");
    await scripts({
      "001_a.up.sql":
        "SELECT pg_catalog.set_config('search_path', '', false);\nCREATE TABLE side.a (x int);\nSET ROLE low;",
      "002_b.up.sql": "CREATE TABLE b (x int);",
    });
    expect(await migrate({ provides: 2 })).toMatchObject({ to: 2 });
    expect(await tables()).toEqual(["b"]);
    expect((await call<MigrationStatus>("migrationStatus", target())).number).toBe(2);
  });

  it("refuses a contraction that a kept release could not live with, and flips from before one", async () => {
    await scripts({
      "001_a.up.sql": "CREATE TABLE a (x int);",
      "002_b.up.sql": "ALTER TABLE a ADD COLUMN y int;",
      "003_c.up.sql": "ALTER TABLE a DROP COLUMN x;",
      "003_c.down.sql": "ALTER TABLE a ADD COLUMN x int;",
    });
    await migrate({ provides: 2 });
    const contract = { provides: 3, needs: 2, change: "contract" as const };
    const kept = [{ release: "v1", needs: 1 }];
    await expect(migrate(contract, { release: "v3", kept })).rejects.toThrow(
      "let v1 go from the kept releases first",
    );
    expect(await migrate(contract, { release: "v3" })).toMatchObject({ from: 2, to: 3 });
    await expect(call("checkSchema", target(), { needs: 1 })).rejects.toThrow("3 c of v3 removed");
    await call("checkSchema", target(), { needs: 2 });
    const rollback = { ...target(), folder: "/root/m" };
    const live = [{ release: "v3", needs: 3 }];
    await expect(call("rollbackLast", { ...rollback, kept: live })).rejects.toThrow(
      "v3 is placed and needs schema 3",
    );
    expect(await call("rollbackLast", rollback)).toEqual({ number: 3, name: "c", to: 2 });
    await call("checkSchema", target(), { needs: 1 });
    await expect(call("rollbackLast", rollback)).rejects.toThrow("2 b has no down script");
  });

  it("refuses a text that has changed since it was applied", async () => {
    await scripts({ "001_a.up.sql": "CREATE TABLE a (x int);" });
    await migrate({ provides: 1 });
    await scripts({ "001_a.up.sql": "CREATE TABLE a (x bigint);" });
    await expect(migrate({ provides: 1 })).rejects.toThrow("1 a: its text has changed since v1 applied it");
  });

  it("answers a check, and says what is wrong by its key", async () => {
    const key = "chrono:databaseUrl";
    const answer = await call<{ line: string; replicas: number }>("checkPostgres", url(), { key });
    expect(answer.line).toMatch(
      /^chrono:databaseUrl: PostgreSQL 15\.\d+, [\d.]+ ms, \d+ of 100 connections, 0 replicas$/,
    );
    const replicas = { declared: 1, key: "chrono:databaseReplicas" };
    await expect(call("checkPostgres", url(), { key, replicas })).rejects.toThrow(
      "chrono:databaseReplicas declares 1, chrono:databaseUrl has 0 replicas that stream from it",
    );
    await makeReplica(box);
    expect(await call("checkPostgres", url(), { key, replicas })).toMatchObject({ replicas: 1 });
    const wrong = await call("checkPostgres", url("other secret"), { key }).catch(
      (error: Error) => error.message,
    );
    expect(wrong).toContain(
      `${key}: cannot connect to PostgreSQL at app@127.0.0.1:5432/${database}: password auth`,
    );
    expect(wrong).not.toContain("other secret");
    await expect(call("checkPostgres", "postgresql://a:b@127.0.0.1:1/d", { key })).rejects.toThrow(
      "ECONNREFUSED",
    );
  });

  it("trusts over TLS exactly the servers that pg_dump trusts", async () => {
    const key = "chrono:databaseUrl";
    await on("sudo -u postgres psql -qc 'ALTER SYSTEM SET ssl = on' -c 'SELECT pg_reload_conf()'");
    const asked = (mode: string) => call("checkPostgres", `${url()}?sslmode=${mode}`, { key });
    const dumped = (mode: string) =>
      call("backupDatabase", `${url()}?sslmode=${mode}`, "/root/tls/2026-01-01-00-00-00.dump", { key });
    await asked("require");
    await dumped("require");
    // Debian's own certificate is signed by nobody.
    await expect(asked("verify-full")).rejects.toThrow(
      /cannot connect to PostgreSQL at app@.*self-signed certificate/,
    );
    const root = "&sslrootcert=/etc/ssl/certs/ssl-cert-snakeoil.pem";
    await asked(`verify-ca${root}`);
    await dumped(`verify-ca${root}`);
    await expect(asked(`verify-full${root}`)).rejects.toThrow(/does not match certificate/);
  });

  it("asks Redis, without its password in any argument", async () => {
    const key = "chrono:redisUrl";
    const persistence = { declared: true, key: "chrono:redisPersistence" };
    const plain = "redis://127.0.0.1:6379";
    expect(await call("checkRedis", plain, { key })).toMatchObject({
      appendonly: false,
      line: expect.stringMatching(/^chrono:redisUrl: Redis 7\.0\.\d+, \d+ ms, appendonly no$/),
    });
    await expect(call("checkRedis", plain, { key, persistence })).rejects.toThrow(
      'chrono:redisPersistence declares persistence, Redis at 127.0.0.1:6379 has "appendonly no"',
    );
    await on(`redis-cli CONFIG SET appendonly yes && redis-cli CONFIG SET requirepass 's3cret $x'`);
    const secret = encodeURIComponent("s3cret $x");
    expect(await call("checkRedis", `redis://:${secret}@127.0.0.1:6379`, { key, persistence })).toMatchObject(
      {
        appendonly: true,
      },
    );
    await expect(call("checkRedis", plain, { key })).rejects.toThrow(
      "PING to Redis at 127.0.0.1:6379: NOAUTH",
    );
    const wrong = await call("checkRedis", "redis://:nope@127.0.0.1:6379", { key }).catch(
      (e: Error) => e.message,
    );
    expect(wrong).toContain("WRONGPASS");
    expect(wrong).not.toContain("nope");
    await expect(call("checkRedis", "redis://127.0.0.1:1", { key })).rejects.toThrow("Connection refused");
  });

  it("is backed up whole, with the counts of the snapshot, and can be restored from it", async () => {
    await sql(
      'CREATE TABLE prices (x int); CREATE TABLE "Odd name" (y text); INSERT INTO prices SELECT generate_series(1, 200000)',
    );
    await sql("GRANT ALL ON ALL TABLES IN SCHEMA public TO app");
    const writing = on(
      `for i in $(seq 30); do sudo -u postgres psql -qd ${database} -c "INSERT INTO prices SELECT 1"; done`,
    );
    const backup = await call<Backup>("backupDatabase", url(), "/root/backups/2026-11-21-09-30-05.dump");
    await writing;
    expect(backup).toMatchObject({
      id: "2026-11-21-09-30-05",
      server: expect.stringMatching(/^PostgreSQL 15/),
    });
    expect(Object.keys(backup.tables)).toEqual(["public.Odd name", "public.prices"]);
    expect(backup.tables["public.prices"]).toBeGreaterThanOrEqual(200_000);
    expect((await on("stat -c '%a %n' /root/backups/*")).trim().split("\n")).toEqual([
      "600 /root/backups/2026-11-21-09-30-05.dump",
      "600 /root/backups/2026-11-21-09-30-05.dump.json",
    ]);
    await call("verifyBackup", backup);
    await on(
      `sudo -u postgres createdb restored && sudo -u postgres pg_restore -d restored < ${backup.file}`,
    );
    const rows = await on(`sudo -u postgres psql -Atqd restored -c 'SELECT count(*) FROM prices'`);
    expect(Number(rows)).toBe(backup.tables["public.prices"]);
    await on(`printf x >> ${backup.file}`);
    await expect(call("verifyBackup", backup)).rejects.toThrow("has changed: sha256");
  });

  it("keeps the last backups, and a failed one leaves nothing behind", async () => {
    const files = ["2026-01-01-00-00-00", "2026-01-02-00-00-00", "2026-01-03-00-00-00"];
    for (const id of files) await call("backupDatabase", url(), `/root/kept/${id}.dump`);
    expect(await call("keepBackups", "/root/kept", 2)).toEqual(["2026-01-01-00-00-00"]);
    const listed = await call<Backup[]>("listBackups", "/root/kept");
    expect(listed.map(({ id }) => id)).toEqual(files.slice(1));
    await sql("CREATE TABLE private (x int)");
    await expect(call("backupDatabase", url(), "/root/kept/2026-01-04-00-00-00.dump")).rejects.toThrow(
      "permission denied for table private",
    );
    expect((await on("ls /root/kept")).trim().split("\n")).toHaveLength(4);
  });

  it("never shows a password in a process's arguments", async () => {
    await sql("CREATE TABLE big AS SELECT generate_series(1, 300000) AS x; ALTER TABLE big OWNER TO app");
    const watching = on(
      "until [ -e /root/seen ]; do cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '; sleep 0.05; done",
    );
    await call("backupDatabase", url(), "/root/watched/2026-01-01-00-00-00.dump");
    await call("checkRedis", "redis://:s3cret%20%24x@127.0.0.1:6379", { key: "k" });
    await on("touch /root/seen");
    const seen = await watching;
    expect(seen).toContain("pg_dump");
    expect(seen).not.toContain("s3cret");
    expect(seen).not.toContain(password);
    expect(seen).not.toContain(encodeURIComponent(password));
  });
});

interface Changes {
  readonly provides: number;
  readonly needs?: number;
  readonly change?: "expand" | "contract";
}

/** Runs the release's migrations of /root/m. */
function migrate(schema: Changes, options: object = {}): Promise<MigrateResult> {
  return call("migrate", migration(schema, options));
}

function migration(schema: Changes, options: object = {}): object {
  return { ...target(), folder: "/root/m", schema: { needs: 0, change: "expand", ...schema }, ...options };
}

function target(): object {
  return { url: url(), key: "DATABASE_URL", system: "chrono", release: "v1", fingerprint: "7c1f00000001" };
}

function url(secret = password): string {
  return `postgresql://app:${encodeURIComponent(secret)}@127.0.0.1:5432/${database}`;
}

/** Calls a function of the toolkit on the box. */
async function call<T>(name: string, ...args: unknown[]): Promise<T> {
  const printed = await on("node /root/driver.mjs", JSON.stringify({ name, args }));
  const { result, error } = JSON.parse(printed);
  if (error !== undefined) throw new Error(error);
  return result as T;
}

/** Starts a migration, waits until the query finds a row, and kills it with SIGKILL. */
async function killedWhile(query: string, schema: Changes): Promise<void> {
  await on("cat > /root/input.json", JSON.stringify({ name: "migrate", args: [migration(schema)] }));
  await on(
    "(setsid node /root/driver.mjs < /root/input.json > /root/output.json 2>&1 & echo $! > /root/driver.pid)",
  );
  await until(query);
  await on("kill -9 $(cat /root/driver.pid)");
  expect(await on("cat /root/output.json")).toBe("");
}

/** Waits until a query of the superuser finds a row. */
async function until(query: string): Promise<void> {
  const psql = `sudo -u postgres psql -Atqd ${database}`;
  await on(`for i in $(seq 200); do [ -z "$(${psql} -c "${query}")" ] || exit 0; sleep 0.05; done; exit 1`);
}

async function sql(text: string, where = database): Promise<void> {
  await on(`sudo -u postgres psql -qv ON_ERROR_STOP=1 -d ${where}`, text);
}

/** The application's tables. */
async function tables(): Promise<string[]> {
  const query = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1";
  const printed = await on(`sudo -u postgres psql -Atqd ${database}`, query);
  return printed.split("\n").filter((name) => name !== "" && name !== "switchyard_migrations");
}

/** Replaces the scripts in /root/m. */
async function scripts(texts: Readonly<Record<string, string>>): Promise<void> {
  const lines = Object.entries(texts).map(
    ([name, text]) => `${name} ${Buffer.from(text).toString("base64")}\n`,
  );
  const write = 'while read -r name text; do printf %s "$text" | base64 -d > "/root/m/$name"; done';
  await on(`rm -f /root/m/*; ${write}`, lines.join(""));
}

function exampleMigrations(): Record<string, string> {
  const folder = join(root, "examples/service/migrations");
  return Object.fromEntries(
    readdirSync(folder).map((name) => [name, readFileSync(join(folder, name), "utf8")]),
  );
}

/** Runs a shell command as root on the box. @returns what it printed */
async function on(command: string, stdin = ""): Promise<string> {
  const { code, stdout, stderr } = await box.ssh(command, { stdin, timeoutSeconds: 120 });
  if (code !== 0) throw new Error(`${command.slice(0, 100)}: exit ${code}\n${stdout}${stderr}`);
  return stdout;
}

async function bundle(): Promise<string> {
  const toolkit = "./components/box/toolkit";
  const { outputFiles } = await build({
    stdin: {
      resolveDir: root,
      contents: `
        import { text } from "node:stream/consumers";
        import * as backup from "${toolkit}/backup.ts";
        import * as database from "${toolkit}/database.ts";
        import * as migrations from "${toolkit}/migrations.ts";
        import * as redis from "${toolkit}/redis.ts";
        const { name, args } = JSON.parse(await text(process.stdin));
        const calls = { ...backup, ...database, ...migrations, ...redis };
        const print = (answer) => process.stdout.write(JSON.stringify(answer));
        await calls[name](...args).then((result) => print({ result }), (error) => print({ error: error.message }));`,
    },
    bundle: true,
    platform: "node",
    target: "node18",
    format: "esm",
    banner: {
      js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);',
    },
    write: false,
    external: ["pg-native"],
    logLevel: "silent",
  });
  return outputFiles[0]!.text;
}
