import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { VaultBackup, VaultNote } from "../../components/box/toolkit/vault-backups.ts";
import type { Restored, Verified } from "../../components/box/toolkit/vault-restore.ts";
import { describeOnBox } from "../support/box/suite.ts";
import { reasonNoS3 } from "../support/s3/build.ts";
import { bucket, databasePassword, VaultBox, vaultPassword } from "../support/s3/vault-box.ts";

/**
 * CHR-11 on a real box, against a real S3 server (versitygw) that enforces the writer's own IAM policy. What it does
 * not know: the bucket policy's condition s3:if-none-match, which on AWS refuses an upload over an object whatever the
 * client asks for. Here the object's version stays, locked; test/unit/vault.test.ts holds the policy to its text.
 */

const timer = "switchyard-vault-chrono-database";

const noS3 = reasonNoS3();
const suite =
  noS3 === null ? describeOnBox : (title: string) => it.skip(`${title} (skipped: ${noS3})`, () => {});

let on: VaultBox;
let repository: string;

suite("the vault of a box", () => {
  beforeAll(async () => {
    on = await VaultBox.start();
    await on.psql(`SET ROLE app;
      CREATE TABLE prices (id serial PRIMARY KEY, pair text NOT NULL, price numeric(20, 8), at timestamptz DEFAULT now());
      INSERT INTO prices (pair, price) SELECT 'FLR/' || i % 7, random() * 1000 FROM generate_series(1, 40000) i;
      CREATE SCHEMA "odd one"; CREATE TABLE "odd one"."Table, x" (k text, v bytea);
      INSERT INTO "odd one"."Table, x" VALUES (E'é☃\\n''"', '\\x00ff10'), (NULL, NULL);
      CREATE TABLE empty (x int);`);
  }, 900_000);
  afterAll(() => on?.stop());

  it("is prepared once: keys are root's alone, and preparing again makes nothing anew", async () => {
    const first = await on.verb<{ repository: string; timers: string[] }>(
      "vault-prepare chrono",
      on.settings(),
    );
    repository = first.repository;
    expect(repository).toMatch(/^\d{4}-\d\d$/);
    expect(first.timers).toEqual([`${timer}.timer`, "switchyard-vault-chrono-configuration.timer"]);
    const before = on.keys("chrono/");
    expect(before.map((key) => key.replace(/[0-9a-f]{64}/, "…"))).toEqual([
      `chrono/${repository}/config`,
      `chrono/${repository}/keys/…`,
    ]);
    expect(await on.verb("vault-prepare chrono", on.settings())).toEqual(first);
    expect(on.keys("chrono/")).toEqual(before);
    expect(
      await on.run("stat -c '%a %U %n' /var/lib/switchyard/vault/chrono /var/lib/switchyard/vault/chrono/*"),
    ).toBe(
      [
        "700 root ",
        "700 root /cache",
        "600 root /password",
        "600 root /repositories.json",
        "600 root /settings.json",
      ]
        .map((line) =>
          line.replace(
            / \/?([a-z.]*)$/,
            (_, name) => ` /var/lib/switchyard/vault/chrono${name && `/${name}`}\n`,
          ),
        )
        .join(""),
    );
  });

  it("has a timer that is enabled, scheduled and due every six hours", async () => {
    const show = "systemctl show --property=UnitFileState,ActiveState,NextElapseUSecRealtime,Unit,Persistent";
    const properties = Object.fromEntries(
      (await on.run(`${show} ${timer}.timer`))
        .trim()
        .split("\n")
        .map((line) => line.split(/=(.*)/s).slice(0, 2)),
    );
    expect(properties).toMatchObject({
      UnitFileState: "enabled",
      ActiveState: "active",
      Unit: `${timer}.service`,
      Persistent: "yes",
    });
    expect(properties.NextElapseUSecRealtime).toMatch(/ (00|06|12|18):10:00 /);
    expect(await on.run("systemctl list-timers --all")).toContain(`${timer}.timer`);
    expect(await on.run("systemd-analyze verify switchyard-vault-chrono-*.timer 2>&1 || true")).toBe("");
    // Every line is kept for 30 days: a file a day, each one day longer.
    const journal = await on.run("systemd-analyze cat-config systemd/journald.conf");
    expect(journal).toContain("\nMaxFileSec=1day\nMaxRetentionSec=31day\n");
    expect(await on.run("systemctl is-active systemd-journald; ls -d /var/log/journal/*/ | wc -l")).toMatch(
      /^active\n1/,
    );
  });

  it("says which right restoring needs, and verifies what the timer's own unit has stored", async () => {
    const before = await on.contents("chrono");
    await on.run(`systemctl start ${timer}.service`);
    expect(await on.run(`systemctl show -P Result -P ExecMainStatus ${timer}.service`)).toBe("success\n0\n");
    const [backup, ...others] = await on.verb<VaultBackup[]>("vault-list chrono");
    expect(others).toEqual([]);
    expect(backup).toMatchObject({ repository, rows: 40_002, reason: "timer", release: null });
    await expect(on.verb(`vault-verify chrono ${backup?.id}`)).rejects.toThrow(
      'chrono:databaseUrl: the role app may not make databases, which restoring and verifying need: ALTER ROLE "app" CREATEDB, or set chrono:databaseAdminUrl',
    );
    await on.psql("ALTER ROLE app CREATEDB", "postgres");
    const names = await on.databases();
    expect(await on.verb<Verified>(`vault-verify chrono ${backup?.id}`)).toEqual({
      id: backup?.id,
      rows: 40_002,
      tables: { "odd one.Table, x": 2, "public.empty": 0, "public.prices": 40_000 },
      sha256: backup?.sha256,
    });
    expect(await on.databases()).toEqual(names);
    const restored = await on.verb<Restored>(`vault-restore chrono ${backup?.id}`, {
      database: "chrono_back",
    });
    expect(restored).toMatchObject({ database: "chrono_back", rows: 40_002 });
    expect(await on.contents("chrono_back")).toEqual(before);
    // The sequence goes on where it was.
    expect(await on.psql("INSERT INTO prices (pair) VALUES ('x') RETURNING id", "chrono_back")).toBe("40001");
  });

  it("restores by time, never over a database that is there", async () => {
    const [first] = await on.verb<VaultBackup[]>("vault-list chrono");
    const before = await on.contents("chrono");
    await on.psql("DELETE FROM prices WHERE id % 2 = 0");
    const second = await on.verb<VaultNote>("vault-backup chrono");
    expect(second).toMatchObject({ rows: 20_002, reason: "person" });
    await expect(on.verb(`vault-restore chrono ${first?.id}`, { database: "chrono" })).rejects.toThrow(
      "the database chrono is there already: nothing is restored over it",
    );
    const restored = await on.verb<Restored>(`vault-restore chrono ${first?.id}`);
    expect(restored.database).toBe(`chrono_${first?.id.replaceAll("-", "")}`);
    expect(await on.contents(restored.database)).toEqual(before);
    // The newest that is not younger than the time.
    const tomorrow = new Date(Date.now() + 86_400_000).toISOString().slice(0, 10);
    const latest = await on.verb<Restored>(`vault-restore chrono ${tomorrow}`, { database: "latest" });
    expect(latest.id).toBe(second.id);
    await expect(on.verb("vault-restore chrono 2020-01-01")).rejects.toThrow(
      `there is no backup from 2020-01-01 or before; the oldest is ${first?.id}`,
    );
  });

  it("gives its writer no way to delete or overwrite a backup", async () => {
    const data = on.keys(`chrono/${repository}/data/`);
    const key = data[0] ?? "";
    const path = `/${bucket}/${key}`;
    const bytes = on.object(key);
    const as = (method: string, at: string, headers = {}, body = "") =>
      on.s3.ask({ method, path: at, headers, body }, on.writer).then(({ status }) => status);
    expect(await as("DELETE", path)).toBe(403);
    const version = /<VersionId>([^<]+)/.exec(
      (await on.s3.ask({ method: "GET", path: `/${bucket}/?versions=&prefix=${key}` })).body,
    )?.[1];
    expect(await as("DELETE", `${path}?versionId=${version}`)).toBe(403);
    expect(await as("PUT", path, { "if-none-match": "*" }, "other")).toBe(412);
    expect(await as("PUT", `/${bucket}/deia/2026-11/config`, { "if-none-match": "*" }, "x")).toBe(403);
    expect(await as("PUT", `/${bucket}/?versioning=`, {}, "<VersioningConfiguration/>")).toBe(403);
    expect(await as("PUT", `/${bucket}/?object-lock=`, {}, "<ObjectLockConfiguration/>")).toBe(403);
    expect(await as("DELETE", `/${bucket}/`)).toBe(403);
    expect(on.object(key)).toEqual(bytes);
    // The bucket's own lock holds for root, too: no version goes before its time.
    const root = await on.s3.ask({ method: "DELETE", path: `${path}?versionId=${version}` });
    expect([root.status, root.body]).toEqual([403, expect.stringContaining("AccessDenied")]);
    // versitygw does not know s3:if-none-match: an upload without it lands on top there, and the version below stays.
    expect(await as("PUT", path, {}, "garbage")).toBe(200);
    const below = await on.s3.ask({ method: "GET", path: `${path}?versionId=${version}` }, undefined);
    expect(below.status).toBe(200);
    expect((await on.s3.ask({ method: "DELETE", path })).status).toBe(204);
    await restoreObject(key, bytes);
  });

  it("refuses restic itself to forget", async () => {
    // restic tries a refused deletion for a minute; the first refusal is enough to know.
    const env = "RESTIC_PASSWORD_FILE=/var/lib/switchyard/vault/chrono/password";
    const keys = `AWS_ACCESS_KEY_ID=${on.writer.accessKeyId} AWS_SECRET_ACCESS_KEY=${on.writer.secretAccessKey}`;
    const words = `-r s3:${on.s3.endpoint}/${bucket}/chrono/${repository} forget --no-lock latest`;
    const { stdout, stderr } = await on.box.ssh(
      `${env} ${keys} AWS_DEFAULT_REGION=${on.s3.region} timeout 5 restic -o s3.bucket-lookup=path ${words}`,
    );
    expect(stdout + stderr).toContain("s3:DeleteObject");
    expect((await on.verb<VaultBackup[]>("vault-list chrono")).length).toBe(2);
  });

  it("refuses a backup that somebody has tampered with", async () => {
    const [backup] = await on.verb<VaultBackup[]>("vault-list chrono");
    const names = await on.databases();
    const largest = on
      .keys(`chrono/${repository}/data/`)
      .sort((one, other) => on.object(other).length - on.object(one).length)[0];
    const path = join(on.s3.objects, bucket, largest ?? "");
    const whole = readFileSync(path);
    const flipped = Buffer.from(whole);
    flipped[4000] = (flipped[4000] ?? 0) ^ 1;
    writeFileSync(path, flipped);
    for (const verb of [
      `vault-verify chrono ${backup?.id}`,
      `vault-restore chrono ${backup?.id}`,
      "vault-check chrono",
    ]) {
      const refused = await on.verb(verb, { database: "tampered" }).catch((error: Error) => error.message);
      expect(refused, verb).toMatch(/restic (dump|check) on the repository .* failed/);
    }
    expect(await on.databases()).toEqual(names);
    writeFileSync(path, whole);
    expect(await on.verb("vault-check chrono")).toEqual({ repositories: [repository] });
    await on.verb(`vault-verify chrono ${backup?.id}`);
  });

  it("is whole after a backup was killed at any moment", async () => {
    const before = (await on.verb<VaultBackup[]>("vault-list chrono")).length;
    const killed = await on.run(
      `for tenths in 02 05 08 11 14 17 20 23 26 29 32 36 40 45 50; do
      timeout -s KILL $((10#$tenths / 10)).$((10#$tenths % 10)) switchyard-box vault-backup chrono >/dev/null 2>&1 || echo killed
    done`.replaceAll("10#", "1"),
    );
    expect(killed).toContain("killed");
    const note = await on.verb<VaultNote>("vault-backup chrono");
    const after = await on.verb<VaultBackup[]>("vault-list chrono");
    expect(after.length).toBeGreaterThan(before);
    expect(after.at(-1)?.id).toBe(note.id);
    // Whatever is offered is whole.
    for (const { id } of after) await on.verb(`vault-verify chrono ${id}`);
    expect(await on.verb("vault-check chrono")).toEqual({ repositories: [repository] });
  });
});

/** Puts an object back as it was, past the server. */
async function restoreObject(key: string, bytes: Buffer): Promise<void> {
  const answer = await on.s3.ask({
    method: "PUT",
    path: `/${bucket}/${key}`,
    body: bytes.toString("latin1"),
  });
  expect(answer.status).toBe(200);
}

function git(...words: string[]): string {
  return execFileSync("git", ["-C", on.repository, ...words], { encoding: "utf8" });
}

void git;
void databasePassword;
void vaultPassword;
