import { connectPostgres, readPostgresUrl, reasonOf } from "../box/toolkit/database.ts";
import { below, type GateLine, type GateReport, holds, written } from "./gate-report.ts";

/**
 * Database access (POD-11): the application's identity reaches its database, over TLS unless it is on this machine, is
 * no superuser, and without the right password nobody gets in.
 */
export interface DatabaseGateArgs {
  readonly name: string;
  /** postgresql://user:password@host/database; secret. */
  readonly url: string;
  /** What holds the URL, for errors. @example "pod:databaseUrl" */
  readonly key: string;
  /** Round trip of `SELECT 1`. @default 1 */
  readonly below?: number;
}

export async function databaseGate(args: DatabaseGateArgs): Promise<GateReport> {
  const { name, url, key } = args;
  const { host, user, port, database } = readPostgresUrl(url, key);
  const found = await askAccess(url, key);
  const server = `${user}@${host}:${port}/${database}`;
  if ("failed" in found) {
    const line: GateLine = {
      rule: `${key} connects`,
      measured: found.failed,
      allowed: "a connection",
      state: "broken",
    };
    return { gate: name, lines: [line], evidence: { server, ...found } };
  }
  const near = host.startsWith("/") || ["localhost", "127.0.0.1", "::1"].includes(host);
  const stranger = await strangerGetsIn(url, key);
  const lines = [
    below(`${key} answers`, found.seconds, args.below ?? 1, written.seconds),
    holds(
      `${key} is encrypted`,
      found.encrypted || near,
      found.encrypted ? "TLS" : near ? "on this machine" : "in clear",
      "TLS, or a server on this machine",
    ),
    holds(
      `${key}'s role ${user}`,
      !found.superuser,
      found.superuser ? "a superuser" : "no superuser",
      "no superuser",
    ),
    holds(
      `${key} asks for a password`,
      !stranger,
      stranger ? "any password gets in" : "a wrong one is refused",
      "yes",
    ),
  ];
  return { gate: name, lines, evidence: { server, ...found, wrongPasswordGetsIn: stranger } };
}

async function askAccess(url: string, key: string) {
  const session = { application: "switchyard gate", statementSeconds: 10 };
  try {
    const client = await connectPostgres(url, key, session);
    try {
      const before = performance.now();
      await client.query("SELECT 1");
      const seconds = (performance.now() - before) / 1000;
      const { rows } = await client.query<{ superuser: boolean; encrypted: boolean }>(accessQuery);
      return { seconds, superuser: rows[0]?.superuser === true, encrypted: rows[0]?.encrypted === true };
    } finally {
      await client.end().catch(() => {});
    }
  } catch (error) {
    return { failed: reasonOf(error) };
  }
}

const accessQuery = `
  SELECT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS superuser,
         coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false) AS encrypted`;

/** Tries the same role with a password that is certainly another one. */
async function strangerGetsIn(url: string, key: string): Promise<boolean> {
  const other = new URL(url);
  other.password = `${other.password}-not-it`;
  try {
    const client = await connectPostgres(other.href, key, {
      application: "switchyard gate",
      statementSeconds: 5,
    });
    await client.end();
    return true;
  } catch {
    return false;
  }
}
