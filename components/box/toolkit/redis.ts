import { run } from "./run.ts";

/** Redis, asked by redis-cli: PING (CHR-7), and whether it keeps its data (CHR-9). */

export interface RedisTarget {
  /** Host and port, or the path of a Unix socket. */
  readonly at: { readonly host: string; readonly port: number } | { readonly socket: string };
  readonly user: string | null;
  readonly password: string | null;
  readonly database: number;
  readonly tls: boolean;
  /** File of PEM text; null: the system's certificates. */
  readonly cacert: string | null;
}

/**
 * @param key what holds the URL, for errors; @example "chrono:redisUrl"
 * @throws for anything but redis://, rediss:// (TLS) and unix:// URLs. No message repeats the URL.
 */
export function readRedisUrl(url: string, key: string): RedisTarget {
  const expected = `expected redis://user:password@host:port/0, rediss://… or unix:///path.sock?db=0, set ${key}`;
  let parsed: URL;
  try {
    parsed = new URL(url);
  } catch {
    throw new Error(
      `${key}: not a URL (a password with @ : / ? # or % must be percent-encoded); ${expected}`,
    );
  }
  const { protocol, searchParams } = parsed;
  if (protocol !== "redis:" && protocol !== "rediss:" && protocol !== "unix:") {
    throw new Error(`${key}: found ${protocol}//, ${expected}`);
  }
  const database = searchParams.get("db") ?? (protocol === "unix:" ? "" : parsed.pathname.slice(1));
  if (!/^\d*$/.test(database)) throw new Error(`${key}: found database "${database}", expected a number`);
  const host = decodeURIComponent(parsed.hostname.replace(/^\[(.+)\]$/, "$1"));
  if (protocol !== "unix:" && host === "") throw new Error(`${key}: found no host, ${expected}`);
  return {
    at: protocol === "unix:" ? { socket: parsed.pathname } : { host, port: Number(parsed.port || 6379) },
    user: decodeURIComponent(parsed.username) || null,
    password: decodeURIComponent(parsed.password) || null,
    database: Number(database || 0),
    tls: protocol === "rediss:",
    cacert: searchParams.get("cacert"),
  };
}

export interface RedisChecks {
  /** What holds the URL, for errors. */
  readonly key: string;
  /** Whether the environment declares that Redis keeps its data, and the setting that declares it. */
  readonly persistence?: { readonly declared: boolean; readonly key: string };
}

export interface RedisAnswer {
  readonly version: string;
  readonly milliseconds: number;
  readonly appendonly: boolean;
  /** For a gate's report. */
  readonly line: string;
}

/** @throws naming the key that mends it; the password is in no message and in no process's arguments */
export async function checkRedis(url: string, checks: RedisChecks): Promise<RedisAnswer> {
  const target = readRedisUrl(url, checks.key);
  const before = performance.now();
  const pong = await ask(target, checks.key, ["PING"]);
  const milliseconds = Math.round(performance.now() - before);
  if (pong !== "PONG")
    throw new Error(`${checks.key}: PING to ${nameOf(target)} answered "${pong}", expected PONG`);
  // INFO says what is in force; CONFIG GET is forbidden to ordinary users and on managed servers.
  const info = await ask(target, checks.key, ["INFO"]);
  const field = (name: string) => new RegExp(`^${name}:(.*)$`, "m").exec(info)?.[1]?.trim();
  const version = `Redis ${field("redis_version") ?? "of unknown version"}`;
  const appendonly = field("aof_enabled") === "1";
  if (checks.persistence?.declared && !appendonly) {
    throw new Error(
      `${checks.persistence.key} declares persistence, Redis at ${nameOf(target)} has "appendonly no": set ` +
        `"appendonly yes" in its redis.conf (now: CONFIG SET appendonly yes, then CONFIG REWRITE), or change ` +
        checks.persistence.key,
    );
  }
  const line = `${checks.key}: ${version}, ${milliseconds} ms, appendonly ${appendonly ? "yes" : "no"}`;
  return { version, milliseconds, appendonly, line };
}

async function ask(target: RedisTarget, key: string, command: readonly string[]): Promise<string> {
  const env = target.password === null ? {} : { REDISCLI_AUTH: target.password };
  const argv = ["redis-cli", "--no-auth-warning", ...connectionArguments(target), ...command];
  let answer: Awaited<ReturnType<typeof run>>;
  try {
    answer = await run(argv, { env, seconds: 10 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    throw new Error(`${key}: redis-cli is not installed here; on Debian: apt-get install redis-tools`);
  }
  const printed = answer.stdout.trim();
  // redis-cli exits 0 on an error of the server; after a refused password it asks without one.
  const unauthorised = /^AUTH failed: (.*)/m.exec(answer.stderr)?.[1];
  const refused =
    unauthorised ??
    /^(\(error\) )?(NOAUTH|WRONGPASS|NOPERM|ERR|LOADING|DENIED|MISCONF)\b.*/m.exec(printed)?.[0];
  if (answer.code === 0 && !refused) return printed;
  const reason =
    refused ?? (`${printed}\n${answer.stderr}`.trim().split("\n").at(-1) || `exit ${answer.code}`);
  throw new Error(`${key}: ${command[0]} to Redis at ${nameOf(target)}: ${reason}`);
}

export function connectionArguments(target: RedisTarget): string[] {
  const { at, user, database, tls, cacert } = target;
  const where = "socket" in at ? ["-s", at.socket] : ["-h", at.host, "-p", String(at.port)];
  const host = "host" in at && !/^[\d.]+$|:/.test(at.host) ? ["--sni", at.host] : [];
  return [
    ...where,
    ...(database === 0 ? [] : ["-n", String(database)]),
    ...(user === null ? [] : ["--user", user]),
    ...(tls ? ["--tls", ...host, ...(cacert === null ? [] : ["--cacert", cacert])] : []),
  ];
}

function nameOf({ at }: RedisTarget): string {
  return "socket" in at ? at.socket : `${at.host}:${at.port}`;
}
