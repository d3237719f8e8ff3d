import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  appendFileSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { connectPostgres } from "../../components/box/toolkit/database.ts";
import { run } from "../../components/box/toolkit/run.ts";
import { databaseGate } from "../../components/gates/database-access.ts";
import { probeDatabase } from "../../components/gates/database-probe.ts";
import { lineText } from "../../components/gates/gate-report.ts";
import { checkout } from "../../engine/checkout.ts";
import { until } from "../support/box/processes.ts";
import { freePort } from "../support/free-port.ts";

/** POD-11's database access gate, and the bake's look at a database (POD-8, DEI-6), against a real PostgreSQL server. */
const programs = programsFolder();
const folder = mkdtempSync(join(tmpdir(), "switchyard-postgres-"));
// A server refuses to run as root.
const identity = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {};
let server: ReturnType<typeof spawn> | undefined;
let port = 0;

const url = (user: string, password: string) => `postgresql://${user}:${password}@127.0.0.1:${port}/postgres`;

beforeAll(async () => {
  if (!programs) return;
  const data = join(folder, "data");
  mkdirSync(data);
  if (identity.uid) for (const path of [folder, data]) chownSync(path, identity.uid, identity.gid);
  writeFileSync(join(folder, "password"), "adm1n\n");
  const words = [
    "-D",
    data,
    "-U",
    "admin",
    "-A",
    "scram-sha-256",
    `--pwfile=${join(folder, "password")}`,
    "-N",
  ];
  execFileSync(join(programs, "initdb"), words, { ...identity, stdio: "ignore" });
  const hba = join(data, "pg_hba.conf");
  writeFileSync(hba, "host all trusty 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n");
  port = await freePort();
  appendFileSync(
    join(data, "postgresql.conf"),
    `port = ${port}\nunix_socket_directories = '${folder}'\nfsync = off\n`,
  );
  await start();
  const client = await connectPostgres(url("admin", "adm1n"), "test", {
    application: "test",
    statementSeconds: 10,
  });
  await client.query("CREATE ROLE app LOGIN PASSWORD 'app'; CREATE ROLE trusty LOGIN PASSWORD 'trusty'");
  await client.end();
});
afterAll(async () => {
  await stop();
  rmSync(folder, { recursive: true, force: true });
});

const gate = async (user: string, password: string) => {
  const report = await databaseGate({
    name: "database",
    url: url(user, password),
    key: "pod:databaseUrl",
    below: 30,
  });
  return report.lines.map((line) => lineText(line).replace(/[\d.]+ ms/, "_ms"));
};

describe.skipIf(!programs)("database access, with the PostgreSQL server of this machine", () => {
  it("is as it should be for an application's own role", async () => {
    expect(await gate("app", "app")).toEqual([
      "✓ pod:databaseUrl answers: _ms, allowed < 30 s",
      "✓ pod:databaseUrl is encrypted: on this machine, allowed TLS, or a server on this machine",
      "✓ pod:databaseUrl's role app: no superuser, allowed no superuser",
      "✓ pod:databaseUrl asks for a password: a wrong one is refused, allowed yes",
    ]);
  });

  it("refuses a superuser, and a role that gets in with any password", async () => {
    expect((await gate("admin", "adm1n"))[2]).toBe(
      "✗ pod:databaseUrl's role admin: a superuser, allowed no superuser",
    );
    expect((await gate("trusty", "trusty"))[3]).toBe(
      "✗ pod:databaseUrl asks for a password: any password gets in, allowed yes",
    );
  });

  it("is asked from the box that the application runs on, by the gate's own program", async () => {
    const asked = (user: string) => {
      const named = { gate: "database", name: "pod-v1-database", key: "pod:databaseUrl", below: 30 };
      const stdin = JSON.stringify({ ...named, url: url(user, user), box: "local" });
      return run(["engine/node.sh", "components/gates/main.ts", "database"], {
        ...{ cwd: checkout, stdin, seconds: 60 },
        env: { SWITCHYARD_BOX_ROOT: join(folder, "box") },
      });
    };
    const held = await asked("app");
    expect(held.code, held.stderr).toBe(0);
    expect(JSON.parse(held.stdout)).toMatchObject({
      gate: "pod-v1-database",
      passed: expect.any(String),
      lines: [
        expect.stringMatching(/^✓ pod:databaseUrl answers: /),
        expect.stringMatching(/^✓ pod:databaseUrl is encrypted: /),
        expect.stringMatching(/^✓ pod:databaseUrl's role app: /),
        expect.stringMatching(/^✓ pod:databaseUrl asks for a password: /),
      ],
    });
    const refused = await asked("trusty");
    expect(refused).toMatchObject({ code: 1, stdout: "" });
    expect(refused.stderr).toContain("✗ pod:databaseUrl asks for a password: any password gets in");
  });

  it("names a wrong password without repeating it", async () => {
    const [line] = await gate("app", "s3cret");
    expect(line).toMatch(/^✗ pod:databaseUrl connects: .*password authentication failed/);
    expect(line).not.toContain("s3cret");
  });

  it("is seen to go and to come back, by a new connection at every look", async () => {
    const look = () =>
      probeDatabase(async () => {
        const session = { application: "test", statementSeconds: 4 };
        const client = await connectPostgres(url("app", "app"), "pod:databaseUrl", session);
        await client.query("SELECT 1").finally(() => client.end());
      });
    expect(await look()).toMatchObject({ ok: true });
    await stop();
    expect(await look()).toMatchObject({ ok: false, detail: expect.stringContaining("ECONNREFUSED") });
    await start();
    expect(await look()).toMatchObject({ ok: true });
  });
});

async function start(): Promise<void> {
  const data = join(folder, "data");
  server = spawn(join(programs ?? "", "postgres"), ["-D", data], { ...identity, stdio: "ignore" });
  const ready = async () => {
    const session = { application: "test", statementSeconds: 5 };
    const client = await connectPostgres(url("admin", "adm1n"), "test", session).catch(() => null);
    await client?.end();
    return client !== null;
  };
  await until(ready, 60, "PostgreSQL did not start");
}

async function stop(): Promise<void> {
  if (!server || server.exitCode !== null) return;
  const gone = once(server, "close");
  server.kill("SIGINT");
  await gone;
}

/** Where Debian or PATH has initdb and postgres. */
function programsFolder(): string | undefined {
  const debian = "/usr/lib/postgresql";
  const versions = existsSync(debian)
    ? readdirSync(debian).map((version) => join(debian, version, "bin"))
    : [];
  const folders = [...versions, ...(process.env.PATH ?? "").split(":")];
  return folders.find((one) => existsSync(join(one, "initdb")) && existsSync(join(one, "postgres")));
}
