import { existsSync, readFileSync } from "node:fs";
import { Client, type ClientConfig } from "pg";

/** PostgreSQL: reading its URL, connecting with every wait bounded, and what preflight and gates ask it (CHR-7, CHR-9). */

export interface PostgresTarget {
  /** Host name, address, or the folder of a Unix socket. */
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
  readonly sslmode: "disable" | "require" | "verify-ca" | "verify-full" | null;
  /** Files of PEM text, as libpq knows them. */
  readonly sslrootcert: string | null;
  readonly sslcert: string | null;
  readonly sslkey: string | null;
}

/** Debian's bundle; libpq before 16 cannot be told to use the system's. */
const systemCertificates = "/etc/ssl/certs/ca-certificates.crt";

/**
 * @param key what holds the URL, for errors; @example "chrono:databaseUrl"
 * @throws for anything but a whole postgres:// URL. No message repeats the URL: it holds the password.
 */
export function readPostgresUrl(url: string, key: string): PostgresTarget {
  const expected = `expected postgresql://user:password@host:port/database, set ${key}`;
  let parsed: URL;
  try {
    parsed = new URL(url);
  } catch {
    throw new Error(
      `${key}: not a URL (a password with @ : / ? # or % must be percent-encoded); ${expected}`,
    );
  }
  if (parsed.protocol !== "postgres:" && parsed.protocol !== "postgresql:") {
    throw new Error(`${key}: found ${parsed.protocol}//, ${expected}`);
  }
  const parameter = (name: string) => parsed.searchParams.get(name);
  const host = parameter("host") ?? decode(parsed.hostname.replace(/^\[(.+)\]$/, "$1"));
  const user = decode(parsed.username);
  const database = decode(parsed.pathname.slice(1)) || user;
  if (!host || !user) throw new Error(`${key}: found no ${host ? "user" : "host"}, ${expected}`);
  const sslmode = parameter("sslmode") === "no-verify" ? "require" : parameter("sslmode");
  if (sslmode !== null && !["disable", "require", "verify-ca", "verify-full"].includes(sslmode)) {
    const allowed = "disable, require, verify-ca or verify-full";
    throw new Error(
      `${key}: found sslmode=${sslmode}, which leaves open whether to encrypt; expected ${allowed}`,
    );
  }
  return {
    host,
    port: Number(parameter("port") ?? (parsed.port || 5432)),
    user,
    password: decode(parsed.password),
    database,
    sslmode: sslmode as PostgresTarget["sslmode"],
    sslrootcert: parameter("sslrootcert"),
    sslcert: parameter("sslcert"),
    sslkey: parameter("sslkey"),
  };
}

/** The target as pg_dump and its family take it, so that nothing of it appears in `ps`. */
export function libpqEnvironment(target: PostgresTarget): Record<string, string> {
  const root = rootCertificates(target);
  return {
    PGHOST: target.host,
    PGPORT: String(target.port),
    PGUSER: target.user,
    PGPASSWORD: target.password,
    PGDATABASE: target.database,
    PGCONNECT_TIMEOUT: "10",
    ...(target.sslmode ? { PGSSLMODE: target.sslmode } : {}),
    ...(root === null ? {} : { PGSSLROOTCERT: root }),
    ...(target.sslcert ? { PGSSLCERT: target.sslcert } : {}),
    ...(target.sslkey ? { PGSSLKEY: target.sslkey } : {}),
  };
}

/**
 * Beside that environment, which has no variable for it: pg_dump and its family notice within 40 s that the server is
 * gone, in the middle of a dump of hours too. It names no database, so PGDATABASE stands.
 */
export const libpqAlive =
  "--dbname=keepalives_idle=10 keepalives_interval=10 keepalives_count=3 tcp_user_timeout=40000";

export interface SessionOptions {
  /** Shown in pg_stat_activity. */
  readonly application: string;
  /** Bound of each statement, on the server and here. */
  readonly statementSeconds: number;
  /** Bound of waiting for a table's lock; @default the statement's */
  readonly lockSeconds?: number;
}

/** An open session; the caller ends it. @throws naming the key, the server and the reason, never the password */
export async function connectPostgres(url: string, key: string, options: SessionOptions): Promise<Client> {
  const target = readPostgresUrl(url, key);
  const { host, port, user, password, database } = target;
  const milliseconds = options.statementSeconds * 1000;
  const client = new Client({
    host,
    port,
    user,
    password,
    database,
    ssl: tlsOf(target),
    application_name: options.application,
    connectionTimeoutMillis: 10_000,
    keepAlive: true,
    // Node asks ten times more, one a second: a server that is gone is noticed 20 s after its last word.
    keepAliveInitialDelayMillis: 10_000,
    statement_timeout: milliseconds,
    lock_timeout: (options.lockSeconds ?? options.statementSeconds) * 1000,
    // The server ends a statement that takes too long; this is for a server that no longer answers.
    query_timeout: milliseconds + 5000,
  });
  // Without a listener a connection that breaks between two queries would end the process.
  client.on("error", () => {});
  try {
    await client.connect();
    return client;
  } catch (error) {
    await client.end().catch(() => {});
    const server = `${user}@${host}:${port}/${database}`;
    throw new Error(`${key}: cannot connect to PostgreSQL at ${server}: ${reasonOf(error)}`);
  }
}

export interface PostgresChecks {
  /** What holds the URL, for errors. */
  readonly key: string;
  /** Replicas that the environment declares, and the setting that declares them (CHR-9). */
  readonly replicas?: { readonly declared: number; readonly key: string };
}

export interface PostgresAnswer {
  /** @example "PostgreSQL 15.18" */
  readonly version: string;
  /** Round trip of `SELECT version()` on an open connection. */
  readonly milliseconds: number;
  readonly connections: { readonly ofDatabase: number; readonly ofServer: number; readonly allowed: number };
  readonly replicas: number;
  /** For a gate's report. */
  readonly line: string;
}

/** Asks the database what CHR-7 asks, and counts its replicas. @throws naming the key that mends it */
export async function checkPostgres(url: string, checks: PostgresChecks): Promise<PostgresAnswer> {
  const client = await connectPostgres(url, checks.key, {
    application: "switchyard check",
    statementSeconds: 10,
  });
  try {
    const before = performance.now();
    const { rows } = await client.query<{ version: string }>("SELECT version()");
    const milliseconds = Math.round((performance.now() - before) * 10) / 10;
    const version = /^PostgreSQL \S+/.exec(rows[0]!.version)?.[0] ?? rows[0]!.version;
    const counts = (await client.query<Counts>(countsQuery)).rows[0]!;
    if (checks.replicas && counts.replicas < checks.replicas.declared) {
      const { declared, key } = checks.replicas;
      throw new Error(
        `${key} declares ${declared}, ${checks.key} has ${counts.replicas} replicas that stream from it ` +
          `(pg_stat_replication): start the missing one, or change ${key}`,
      );
    }
    const { of_database: ofDatabase, of_server: ofServer, allowed, replicas } = counts;
    const declared = checks.replicas ? ` (${checks.replicas.declared} declared)` : "";
    const used = `${ofServer} of ${allowed} connections`;
    return {
      version,
      milliseconds,
      connections: { ofDatabase, ofServer, allowed },
      replicas,
      line: `${checks.key}: ${version}, ${milliseconds} ms, ${used}, ${replicas} replicas${declared}`,
    };
  } finally {
    await client.end().catch(() => {});
  }
}

interface Counts {
  readonly of_database: number;
  readonly of_server: number;
  readonly allowed: number;
  readonly replicas: number;
}

/** The state of another role's replica is hidden (null) from an ordinary role; a base backup's is not "streaming". */
const countsQuery = `
  SELECT (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database())::int AS of_database,
         (SELECT count(*) FROM pg_stat_activity WHERE datname IS NOT NULL)::int AS of_server,
         current_setting('max_connections')::int AS allowed,
         (SELECT count(*) FROM pg_stat_replication WHERE state IS NULL OR state = 'streaming')::int AS replicas`;

/** Node's errors of a refused connection have their reasons inside and no message of their own. */
export function reasonOf(error: unknown): string {
  const inner = (error as AggregateError).errors;
  if (Array.isArray(inner) && inner.length > 0) return inner.map(reasonOf).join(", ");
  const { message, code } = error as NodeJS.ErrnoException;
  return message || code || String(error);
}

/** File of the authorities that a certificate must come from; null: none is asked for, or Node's own. */
function rootCertificates({ sslmode, sslrootcert }: PostgresTarget): string | null {
  if (sslrootcert !== null || !sslmode?.startsWith("verify-")) return sslrootcert;
  return existsSync(systemCertificates) ? systemCertificates : null;
}

/** What libpq means by the same sslmode, so that this session and pg_dump trust the same servers. */
function tlsOf(target: PostgresTarget): NonNullable<ClientConfig["ssl"]> {
  if (target.sslmode === null || target.sslmode === "disable") return false;
  const read = (path: string | null) => (path === null ? undefined : readFileSync(path, "utf8"));
  const [ca, cert, key] = [rootCertificates(target), target.sslcert, target.sslkey].map(read);
  const verifies = target.sslmode !== "require" || ca !== undefined;
  return {
    rejectUnauthorized: verifies,
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(target.sslmode === "verify-full" ? {} : { checkServerIdentity: () => undefined }),
  };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
