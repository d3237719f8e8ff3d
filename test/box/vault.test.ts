import { spawnSync } from "node:child_process";
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { VaultBackup, VaultNote } from "../../components/box/toolkit/vault-backups.ts";
import type { Restored, Verified } from "../../components/box/toolkit/vault-restore.ts";
import { vaultProgram } from "../../components/vault/cron-job.ts";
import { describeOnBox } from "../support/box/suite.ts";
import { reasonNoS3 } from "../support/s3/build.ts";
import { bucket, VaultBox } from "../support/s3/vault-box.ts";

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
    const folder = "/var/lib/switchyard/vault/chrono";
    expect((await on.run(`stat -c '%a %U %n' ${folder} ${folder}/*`)).trim().split("\n")).toEqual([
      `700 root ${folder}`,
      `600 root ${folder}/password`,
      `600 root ${folder}/repositories.json`,
      `600 root ${folder}/settings.json`,
    ]);
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
    expect(await on.run("systemd-analyze verify /etc/systemd/system/switchyard-vault-chrono-* 2>&1")).toBe(
      "",
    );
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
    // restic tries a refused deletion again and again: it is ended at the first refusal, and leaves its lock behind.
    const env = "RESTIC_PASSWORD_FILE=/var/lib/switchyard/vault/chrono/password";
    const keys = `AWS_ACCESS_KEY_ID=${on.writer.accessKeyId} AWS_SECRET_ACCESS_KEY=${on.writer.secretAccessKey}`;
    const words = `-r s3:${on.s3.endpoint}/${bucket}/chrono/${repository} forget latest`;
    const restic = `${env} ${keys} AWS_DEFAULT_REGION=${on.s3.region} timeout 60 restic -o s3.bucket-lookup=path ${words}`;
    expect(await on.run(`${restic} 2>&1 | grep -m 1 -o 'not authorized to perform: s3:[A-Za-z]*'`)).toBe(
      "not authorized to perform: s3:DeleteObject\n",
    );
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
    await on.killAgainAndAgain("vault-backup chrono", {}, 6);
    const note = await on.verb<VaultNote>("vault-backup chrono");
    const after = await on.verb<VaultBackup[]>("vault-list chrono");
    expect(after.length).toBeGreaterThan(before);
    expect(after.at(-1)?.id).toBe(note.id);
    // Whatever is offered is whole.
    for (const { id } of after.slice(before)) await on.verb(`vault-verify chrono ${id}`);
    expect(await on.verb("vault-check chrono")).toEqual({ repositories: [repository] });
  }, 600_000);

  it("stores nothing of a dump that broke off", async () => {
    const before = await on.verb<VaultBackup[]>("vault-list chrono");
    await on.psql("CREATE TABLE private (x int)");
    await expect(on.verb("vault-backup chrono")).rejects.toThrow(
      /^chrono:databaseUrl: pg_dump failed: .*permission denied for table private/,
    );
    await on.psql("DROP TABLE private");
    // Here pg_dump ends as if its output were whole, but for how it exits.
    const shadow = "printf '#!/bin/sh\n/usr/bin/pg_dump \"$@\"; exit 1\n' > /root/shadow/pg_dump";
    await on.run(`mkdir -p /root/shadow && ${shadow} && chmod +x /root/shadow/pg_dump`);
    const env = "env PATH=/root/shadow:/usr/sbin:/usr/bin:/sbin:/bin";
    await expect(on.run(`${env} /usr/local/bin/switchyard-box vault-backup chrono`)).rejects.toThrow(
      "chrono:databaseUrl: pg_dump failed: it ended with 1",
    );
    expect(await on.verb("vault-list chrono")).toEqual(before);
  });

  it("is prepared well after preparing was killed at any moment, and leaves no timer when it is forgotten", async () => {
    const writer = await on.s3.makeWriter(bucket, "pod");
    const target = { kind: "s3" as const, bucket, region: on.s3.region, endpoint: on.s3.endpoint, ...writer };
    const settings = on.settings({ system: "pod", target, configuration: null });
    // Each time on a bucket that knows nothing of it: nothing was made yet when it was killed.
    let killed = 0;
    for (const tenths of [3, 6, 9, 12, 15, 18, 22]) {
      const words = `setsid timeout --signal=KILL ${tenths / 10} switchyard-box vault-prepare pod`;
      const code = await on.run(`${words} >/dev/null 2>&1; echo $?`, JSON.stringify(settings));
      killed += code.trim() === "137" ? 1 : 0;
    }
    expect(killed).toBeGreaterThan(1);
    const made = await on.verb<{ repository: string; timers: string[] }>("vault-prepare pod", settings);
    expect(made.timers).toEqual(["switchyard-vault-pod-database.timer"]);
    expect(made.repository.slice(0, 7)).toBe(repository);
    const { id } = await on.verb<VaultNote>("vault-backup pod");
    await on.verb(`vault-verify pod ${id}`);
    expect((await on.verb<VaultBackup[]>("vault-list pod")).map((one) => one.id)).toEqual([id]);
    // A repository that was there and is gone is no empty start.
    const kept = join(on.s3.objects, bucket, "pod", made.repository);
    renameSync(kept, `${kept}.away`);
    await expect(on.verb("vault-backup pod")).rejects.toThrow(
      `the repository ${made.repository} of pod in the bucket ${bucket} was there and is gone`,
    );
    renameSync(`${kept}.away`, kept);
    await on.verb("vault-forget pod");
    await on.verb("vault-forget pod");
    expect(await on.run("ls /etc/systemd/system /var/lib/switchyard/vault/pod")).not.toMatch(
      /vault-pod|password|settings/,
    );
    expect(await on.run("systemctl list-timers --all")).not.toContain("vault-pod");
    await expect(on.verb("vault-backup pod")).rejects.toThrow(
      "pod has no vault on this machine: set vault:bucket",
    );
    expect(on.keys("pod/").length).toBeGreaterThan(5);
  }, 600_000);

  it("is filled by the cluster's Job, too, which is nobody in particular", async () => {
    await on.run("cat > /srv/vault-backup.cjs", await vaultProgram());
    await on.run("install -o nobody -m 0400 /dev/stdin /srv/settings.json", JSON.stringify(on.settings()));
    await on.run("install -d -o nobody -m 0700 /srv/work");
    const words = "node /srv/vault-backup.cjs /srv/settings.json /srv/work";
    const printed = await on.run(`runuser -u nobody -- env HOME=/srv/work ${words}`);
    const { id, rows } = JSON.parse(printed) as VaultNote;
    expect(rows).toBe(20_002);
    expect((await on.verb<VaultBackup[]>("vault-list chrono")).at(-1)).toMatchObject({ id, reason: "timer" });
    await on.verb(`vault-verify chrono ${id}`);
  });

  it("takes the backup before a migration, and the update's output names it", async () => {
    const fingerprint = "7c1f00000001";
    const record = {
      fingerprint,
      colour: "green",
      receipt: "r-update-7",
      ports: {},
      done: {},
      manifest: {
        environment: "development",
        system: "chrono",
        release: "v2",
        version: "v2",
        source: { kind: "git", url: "none", tag: "v2" },
        build: [],
        buildSeconds: 1,
        services: [],
        schema: { folder: "migrations", url: "DATABASE_URL", provides: 1, needs: 0, change: "expand" },
        checks: { postgres: "DATABASE_URL" },
      },
    };
    const folder = `/var/lib/switchyard/systems/chrono/releases/${fingerprint}`;
    await on.run(`mkdir -p ${folder} && cat > ${folder}/record.json`, JSON.stringify(record));
    const secrets = { DATABASE_URL: on.settings().database?.url };
    await on.run(`cat > ${folder}/secrets.json`, JSON.stringify(secrets));
    const printed = await on.verb<{ id: string; vault: { id: string; repository: string } }>(
      `backup chrono v2 ${fingerprint}`,
      { receipt: "r-update-7" },
    );
    expect(printed.vault.repository).toBe(repository);
    const listed = await on.verb<VaultBackup[]>("vault-list chrono");
    expect(listed.at(-1)).toMatchObject({ id: printed.vault.id, reason: "migration", release: "v2" });
    await on.verb(`vault-verify chrono ${printed.vault.id}`);
    // DEI-1, item 4: what a checklist backs up is in the vault too.
    const limits = { connectionsBelow: 100, freeGigabytes: 0, certificateDays: 30, answerDays: 7 };
    const checklist = { units: {}, variables: [], answers: {}, ...limits };
    const policy = "/var/lib/switchyard/systems/chrono/policy.json";
    await on.run(`cat > ${policy}`, JSON.stringify({ checklist }));
    const rows = await on.verb<{ number: number; state: string; found: string }[]>(
      `checklist chrono v2 ${fingerprint}`,
    );
    await on.run(`rm ${policy}`);
    const [last] = (await on.verb<VaultBackup[]>("vault-list chrono")).slice(-1);
    expect(last).toMatchObject({ reason: "checklist", release: "v2" });
    expect(rows.filter(({ state }) => state !== "ok")).toEqual([]);
    expect(rows[3]?.found).toContain(`in the vault as ${last?.id}; no release serves yet`);
    // Without its vault the update stops before the migration.
    const settings = on.settings();
    const wrong = { ...settings, target: { ...settings.target, bucket: "nobodys" } };
    await on.run("cat > /var/lib/switchyard/vault/chrono/settings.json", JSON.stringify(wrong));
    await expect(on.verb(`backup chrono v2 ${fingerprint}`, {})).rejects.toThrow("nobodys");
    await on.verb("vault-prepare chrono", settings);
  });

  it("commits the configuration without its secrets, once for each change", async () => {
    const unit = "switchyard-vault-chrono-configuration.service";
    await on.run(`systemctl start ${unit}`);
    const files = git("ls-tree", "-r", "--name-only", "box").trim().split("\n");
    expect(files).toEqual([
      "SHA256SUMS",
      "records/releases/7c1f00000001/record.json",
      "units/switchyard-boot.service",
      "units/switchyard-door@.service",
      "units/switchyard-vault-chrono-configuration.service",
      "units/switchyard-vault-chrono-configuration.timer",
      "units/switchyard-vault-chrono-database.service",
      "units/switchyard-vault-chrono-database.timer",
    ]);
    expect(git("log", "--format=%an %s", "box")).toMatch(/^switchyard Configuration of chrono on \S+\n$/);
    const [commit] = git("rev-parse", "box").split("\n");
    expect(await on.verb("vault-configuration chrono")).toEqual({ commit, changed: false });
    await on.run("echo '{}' > /var/lib/switchyard/systems/chrono/policy.json");
    await on.killAgainAndAgain("vault-configuration chrono", {}, 3);
    expect(await on.verb("vault-configuration chrono")).toMatchObject({ changed: false });
    expect(git("show", "box:records/policy.json")).toBe("{}\n");
    expect(git("rev-list", "--count", "box").trim()).toBe("2");
    expect(git("grep", "-c", "-e", "ldBn", "-e", "jUw", "box", "--", ".").trim()).toBe("");
  });

  it("shows its secrets nowhere, and what leaves the box is not readable", async () => {
    // Looks for as long as it takes, on whatever machine.
    const watching = on.run("until [ -e /root/seen ]; do ps axww -o args; sleep 0.05; done | sort -u");
    watching.catch(() => {});
    await on.run(`systemctl start ${timer}.service`);
    const { id } = (await on.verb<VaultBackup[]>("vault-list chrono")).at(-1) ?? { id: "" };
    await on.verb(`vault-verify chrono ${id}`);
    await on.run("touch /root/seen");
    const seen = await watching;
    expect(seen).toMatch(/restic .* backup/);
    expect(seen).toContain("pg_dump");
    // The last part of each is the same however it is quoted.
    const secrets = ["Qx73hjUw", "Hk52ldBn", on.writer.secretAccessKey, on.writer.accessKeyId];
    const places = new Map([
      ["ps", seen],
      ["journal", await on.run("journalctl --no-pager")],
      ["units", await on.run("cat /etc/systemd/system/*.service /etc/systemd/system/*.timer")],
    ]);
    expect(places.get("journal")).toContain("vault");
    for (const key of on.keys("")) places.set(key, on.object(key).toString("latin1"));
    const leaks = [...places].filter(([, text]) => secrets.some((secret) => text.includes(secret)));
    expect(leaks.map(([place]) => place)).toEqual([]);
    const readable = on.keys("").filter((key) => on.object(key).includes("FLR/"));
    expect(readable).toEqual([]);
    const files = await on.run(
      `grep -rlF -e Qx73hjUw -e '${on.writer.secretAccessKey}' /etc /run /var/log /tmp /root || true`,
    );
    expect(files).toBe("");
  });
});

/** Puts an object back as it was. */
async function restoreObject(key: string, bytes: Buffer): Promise<void> {
  const answer = await on.s3.ask({ method: "PUT", path: `/${bucket}/${key}`, body: bytes });
  expect(answer.status).toBe(200);
}

/** git on the server's own repository. */
function git(...words: string[]): string {
  const { stdout } = spawnSync("git", ["-C", on.repository, ...words], { encoding: "utf8" });
  return stdout;
}
