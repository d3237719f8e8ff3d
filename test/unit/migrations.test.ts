import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { libpqEnvironment, readPostgresUrl } from "../../components/box/toolkit/database.ts";
import {
  type Applied,
  type Migration,
  MigrationRefused,
  type PlanInput,
  planMigrations,
  readMigrations,
  unsupported,
} from "../../components/box/toolkit/migration-plan.ts";
import { connectionArguments, readRedisUrl } from "../../components/box/toolkit/redis.ts";
import { splitStatements, transactionControl } from "../../components/box/toolkit/sql-statements.ts";

describe("planning", () => {
  it("runs what is pending up to what the release provides, in order", () => {
    expect(plan({ migrations: files(1, 2, 3), schema: expand(2) })).toEqual({
      takeBack: null,
      apply: files(1, 2),
      from: 0,
      to: 2,
    });
    expect(plan({ migrations: files(1, 2, 3), applied: rows(1, 2), schema: expand(3) })).toMatchObject({
      apply: files(3),
      from: 2,
      to: 3,
    });
  });

  it("runs nothing twice, and nothing where the release provides nothing", () => {
    expect(plan({ applied: rows(1, 2), migrations: files(1, 2), schema: expand(2) }).apply).toEqual([]);
    expect(plan({ schema: { provides: 0, needs: 0, change: "none" } })).toMatchObject({ apply: [], to: 0 });
  });

  it("leaves a newer database alone when it still has what the release needs", () => {
    const older = { migrations: files(1, 2), applied: rows(1, 2, 3), schema: expand(2) };
    expect(plan(older)).toMatchObject({ apply: [], from: 3, to: 3 });
  });

  it("takes a half-applied migration back first, where a down script can", () => {
    const half = [...rows(1), { ...rows(2)[0]!, dirty: true }];
    expect(plan({ migrations: files(1, 2), applied: half, schema: expand(2) })).toMatchObject({
      takeBack: { number: 2 },
      apply: files(2),
      from: 1,
    });
  });

  const refusals: [string, Partial<PlanInput>, string[]][] = [
    [
      "a half-applied one without a down script",
      {
        migrations: [files(1)[0]!, { ...files(2)[0]!, down: null }],
        applied: [...rows(1), { ...rows(2)[0]!, dirty: true }],
        schema: expand(2),
        resolve: (number) => `resolve ${number}`,
      },
      [
        "2 m2 was begun by v2 (abc) at 2026-01-01T00:00:00.000Z, did not finish, and has no down script that could " +
          "take it back. resolve 2",
      ],
    ],
    [
      "a changed text",
      { migrations: [{ ...files(1)[0]!, sha256: "f".repeat(64) }], applied: rows(1), schema: expand(1) },
      [
        "1 m1: its text has changed since v1 applied it at 2026-01-01T00:00:00.000Z (sha256 111111111111… then, " +
          "ffffffffffff… now): put the old text back and write the change as another migration",
      ],
    ],
    [
      "an applied one that the folder lacks",
      { migrations: files(2), applied: rows(1, 2), schema: expand(2) },
      ["1 m1 was applied by v1 and is not in the release's folder: put it back"],
    ],
    [
      "one slipped in beneath what is applied",
      { migrations: files(1, 2, 3), applied: rows(1, 3), schema: expand(3) },
      ["2 m2 is not applied but 3 is: give it a number above 3"],
    ],
    [
      "a number that the folder does not have",
      { migrations: files(1, 2), applied: rows(1, 2), schema: expand(4) },
      ["schema.provides is 4, the folder has no such migration (its last is 2)"],
    ],
    [
      "a need that nothing meets",
      { migrations: files(1), schema: { provides: 1, needs: 2, change: "expand" } },
      [
        "the release needs schema 2, the database has 1: update to a release that provides it first, or correct schema.needs",
      ],
    ],
    [
      "pending ones under change none",
      { migrations: files(1), schema: { provides: 1, needs: 0, change: "none" } },
      ["schema.change is none, but 1 m1 would run: say expand or contract"],
    ],
    [
      "a contraction that a kept release could not live with",
      {
        migrations: files(1, 2, 3),
        applied: rows(1, 2),
        schema: { provides: 3, needs: 2, change: "contract" },
        kept: [
          { release: "v1", needs: 1 },
          { release: "v2", needs: 2 },
        ],
      },
      [
        "3 m3 contracts: kept release v1 needs schema 1, this one works with nothing older than 2: let v1 go from the kept " +
          "releases first",
      ],
    ],
    [
      "a release from before a contraction",
      {
        migrations: files(1),
        applied: [...rows(1, 2), { ...rows(3)[0]!, change: "contract", supports: 2 }],
        schema: expand(1),
      },
      [
        "the release needs schema 1, but 3 m3 of v3 removed what releases that need less than 2 work with: make a newer " +
          "release live, or roll that migration back, or restore the backup from before it",
      ],
    ],
    [
      "several at once",
      { migrations: files(2), applied: rows(1), schema: { provides: 2, needs: 3, change: "none" } },
      [
        "1 m1 was applied by v1 and is not in the release's folder: put it back",
        "the release needs schema 3, the database has 2: update to a release that provides it first, or correct schema.needs",
        "schema.change is none, but 2 m2 would run: say expand or contract",
      ],
    ],
  ];

  it.each(refusals)("refuses %s", (_name, input, reasons) => {
    expect(refused(() => plan(input))).toEqual(reasons);
  });

  it("lets a contraction through once the releases that need the old shape are gone", () => {
    const input = { migrations: files(1, 2, 3), applied: rows(1, 2), kept: [{ release: "v2", needs: 2 }] };
    expect(plan({ ...input, schema: { provides: 3, needs: 2, change: "contract" } }).apply).toEqual(files(3));
  });

  it("says of a flip whether the database still supports the release", () => {
    const contracted: Applied[] = [...rows(1, 2), { ...rows(3)[0]!, change: "contract", supports: 2 }];
    expect(unsupported({ needs: 2 }, contracted)).toEqual([]);
    expect(unsupported({ needs: 1 }, contracted)).toHaveLength(1);
    expect(unsupported({ needs: 4 }, contracted)).toHaveLength(1);
  });
});

describe("a folder of migrations", () => {
  let folder: string;
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  function write(texts: Record<string, string>): string {
    folder = mkdtempSync(join(tmpdir(), "migrations-"));
    for (const [name, text] of Object.entries(texts)) writeFileSync(join(folder, name), text);
    return folder;
  }

  it("is read in the order of its numbers, each with its down script", async () => {
    const written = write({
      "010_third.up.sql": "SELECT 10;",
      "2_second.up.sql": "SELECT 2;",
      "2_second.down.sql": "SELECT -2;",
      "001_first.up.sql": "-- switchyard: no-transaction\nVACUUM;",
      "README.md": "not a migration",
    });
    expect(await readMigrations(written)).toEqual([
      expect.objectContaining({ number: 1, name: "first", down: null }),
      expect.objectContaining({ number: 2, name: "second", up: "SELECT 2;", down: "SELECT -2;" }),
      expect.objectContaining({ number: 10, name: "third", sha256: expect.stringMatching(/^[0-9a-f]{64}$/) }),
    ]);
  });

  it("is refused with every wrong file at once", async () => {
    const written = write({
      "001_a.up.sql": "SELECT 1;",
      "001_b.up.sql": "SELECT 1;",
      "002_c.down.sql": "SELECT 1;",
      "add_colour.sql": "SELECT 1;",
      "003_d.up.sql": "CREATE TABLE t ();\n\nCOMMIT;\nDROP TABLE t;",
    });
    const error = await readMigrations(written).catch((thrown) => thrown);
    expect(error).toBeInstanceOf(MigrationRefused);
    expect(error.reasons).toEqual([
      "001_b.up.sql: 1 is a already",
      "002_c.down.sql: there is no up script beside it",
      '003_d.up.sql, line 3: COMMIT, but each migration runs in one transaction: remove it, or make "-- switchyard: ' +
        'no-transaction" the first line',
      "add_colour.sql: expected NNN_name.up.sql or NNN_name.down.sql",
    ]);
    await expect(readMigrations(join(written, "gone"))).rejects.toThrow("schema.folder: there is no folder");
  });
});

describe("taking SQL apart", () => {
  it("splits at semicolons that end a statement, and at no other", () => {
    const sql = `-- first; comment
CREATE TABLE "a;b" (c text DEFAULT ';''', d text DEFAULT E'\\';'); /* x; /* nested; */ still; */
INSERT INTO t VALUES ($tag$ ; $$ ; $tag$), ($$;$$);
CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 2 END; END;
CREATE RULE r AS ON INSERT TO t DO ALSO (SELECT 1; SELECT 2);
;;
-- last
SELECT a$b$c, 1`;
    expect(splitStatements(sql).map(({ line, text }) => [line, text.split("\n")[0]!.slice(0, 18)])).toEqual([
      [2, 'CREATE TABLE "a;b"'],
      [3, "INSERT INTO t VALU"],
      [4, "CREATE FUNCTION f("],
      [5, "CREATE RULE r AS O"],
      [8, "SELECT a$b$c, 1"],
    ]);
  });

  it("loses nothing: whatever is quoted comes back as it was (property)", () => {
    const inside = fc.string({
      unit: fc.constantFrom(";", "'", '"', "$", "a", "\n", "--", "/*", "*/", "(", "\\", "é"),
    });
    const quoted = inside.chain((text) =>
      fc.constantFrom(
        `'${text.replaceAll("'", "''")}'`,
        `"${text.replaceAll('"', '""')}"`,
        `$q1$${text.replaceAll("$", "")}$q1$`,
        `E'${text.replaceAll(/['\\]/g, "\\$&")}'`,
      ),
    );
    fc.assert(
      fc.property(fc.array(quoted, { minLength: 1, maxLength: 6 }), (values) => {
        const statements = values.map((value) => `SELECT ${value}`);
        expect(splitStatements(`${statements.join(";\n")};`).map(({ text }) => text)).toEqual(statements);
      }),
    );
  });

  it.each([
    "BEGIN;",
    "start transaction;",
    "END",
    "COMMIT;",
    "ROLLBACK;",
    "rollback work;",
    "ABORT",
    "/* x */ COMMIT",
  ])("finds %s", (sql) => {
    expect(transactionControl(`SELECT 1; ${sql}`)).toBeDefined();
  });

  it.each([
    "ROLLBACK TO SAVEPOINT s",
    "ROLLBACK WORK TO s",
    "DO $$ BEGIN COMMIT; END $$",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; END",
    "-- COMMIT;",
    "SELECT 'COMMIT'",
    "PREPARE p AS SELECT 1",
  ])("lets %s be", (sql) => {
    expect(transactionControl(`SELECT 1; ${sql};`)).toBeUndefined();
  });
});

describe("URLs", () => {
  it("of PostgreSQL become an environment, the password byte for byte", () => {
    const password = `pa'ss w$rd\`x"é@:/?#%`;
    const url = `postgresql://chrono:${encodeURIComponent(password)}@db.example:6432/prices?sslmode=verify-full&sslrootcert=/etc/root.pem`;
    expect(libpqEnvironment(readPostgresUrl(url, "chrono:databaseUrl"))).toEqual({
      PGHOST: "db.example",
      PGPORT: "6432",
      PGUSER: "chrono",
      PGPASSWORD: password,
      PGDATABASE: "prices",
      PGCONNECT_TIMEOUT: "10",
      PGSSLMODE: "verify-full",
      PGSSLROOTCERT: "/etc/root.pem",
    });
    expect(readPostgresUrl("postgres://u@[::1]/d?host=/run/postgresql&schema=public", "k")).toMatchObject({
      host: "/run/postgresql",
      port: 5432,
      database: "d",
    });
  });

  it("of Redis become arguments without the password", () => {
    const target = readRedisUrl("rediss://app:s%23cret@cache.example:6380/2", "chrono:redisUrl");
    expect(target.password).toBe("s#cret");
    expect(connectionArguments(target)).toEqual([
      "-h",
      "cache.example",
      "-p",
      "6380",
      "-n",
      "2",
      "--user",
      "app",
      "--tls",
      "--sni",
      "cache.example",
    ]);
    expect(connectionArguments(readRedisUrl("redis://:x@127.0.0.1", "k"))).toEqual([
      "-h",
      "127.0.0.1",
      "-p",
      "6379",
    ]);
    expect(connectionArguments(readRedisUrl("unix:///run/redis.sock?db=1", "k"))).toEqual([
      "-s",
      "/run/redis.sock",
      "-n",
      "1",
    ]);
  });

  it.each([
    ["postgresql://u:secret/x@h/d", readPostgresUrl, "not a URL"],
    ["mysql://u:secret@h/d", readPostgresUrl, "found mysql://"],
    ["postgresql://:secret@h/d", readPostgresUrl, "found no user"],
    ["postgresql://u:secret@h/d?sslmode=prefer", readPostgresUrl, "found sslmode=prefer"],
    ["http://u:secret@h", readRedisUrl, "found http://"],
    ["redis://u:secret@h/x", readRedisUrl, 'found database "x"'],
    ["redis://u:secret@h:port", readRedisUrl, "not a URL"],
  ] as const)("that are wrong (%s) are refused by key, the secret unsaid", (url, read, message) => {
    const error = thrown(() => read(url, "chrono:someUrl"));
    expect(error.message).toContain("chrono:someUrl");
    expect(error.message).toContain(message);
    expect(error.message).not.toContain("secret");
  });
});

function plan(input: Partial<PlanInput>) {
  return planMigrations({ migrations: [], applied: [], schema: expand(0), ...input });
}

function expand(provides: number): PlanInput["schema"] {
  return { provides, needs: Math.min(provides, 1), change: "expand" };
}

function files(...numbers: number[]): Migration[] {
  return numbers.map((number) => {
    const sha256 = String(number).repeat(64);
    return { number, name: `m${number}`, up: `-- ${number}`, down: `-- -${number}`, sha256 };
  });
}

function rows(...numbers: number[]): Applied[] {
  return numbers.map((number) => ({
    number,
    name: `m${number}`,
    sha256: String(number).repeat(64),
    change: "expand",
    supports: 0,
    appliedAt: new Date("2026-01-01T00:00:00Z"),
    fingerprint: "abc",
    release: `v${number}`,
    dirty: false,
  }));
}

function refused(work: () => unknown): readonly string[] {
  const error = thrown(work);
  expect(error).toBeInstanceOf(MigrationRefused);
  return (error as MigrationRefused).reasons;
}

function thrown(work: () => unknown): Error {
  try {
    work();
  } catch (error) {
    return error as Error;
  }
  throw new Error("nothing was refused");
}
