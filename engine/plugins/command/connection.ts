/** Dials a remote host, through a proxy where one is named, with the retries the connection asks for. */
import { connect, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import ssh2, { type AuthenticationType, type Client, type ConnectConfig } from "ssh2";
import { hostKeyOf } from "../../../components/box/host-key.ts";
import type { Log } from "../protocol/log.ts";

/** One end of a connection, without envelopes; `check` has filled the defaults in. */
export interface End {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password?: string;
  readonly privateKey?: string;
  readonly privateKeyPassword?: string;
  /** Socket of an SSH agent; else SSH_AUTH_SOCK. */
  readonly agentSocketPath?: string;
  /** Failed dials that are tried again; -1 = for ever. */
  readonly dialErrorLimit: number;
  /** Seconds for one dial, the handshake included; 0 = no limit. */
  readonly perDialTimeout: number;
  /** `ssh-ed25519 AAAA…`; without it any key is taken. */
  readonly hostKey?: string;
}
export interface Connection extends End {
  readonly proxy?: End;
}

export interface Dialed {
  readonly client: Client;
  /** Rejects when the connection is lost, with words for the user; never resolves. */
  readonly lost: Promise<never>;
  /** Ends it and the proxy's. */
  close(): void;
}

/** Milliseconds between two questions whether the other side is still there, and unanswered ones that end it. */
const keepalive = { interval: 6_000, unanswered: 3 };

/** @throws `after 10 failed attempts: …` when the limit is reached, at once when the keys cannot be read */
export async function dial(connection: Connection, log: Log, signal: AbortSignal): Promise<Dialed> {
  const settings = await sshSettings(connection);
  const limit = connection.dialErrorLimit;
  const { proxy } = connection;
  if (proxy === undefined) {
    return retried("Dial", limit, log, signal, () => dialOnce(connection, settings, undefined));
  }
  try {
    const proxySettings = await sshSettings(proxy);
    const outer = await retried("Dial proxy", proxy.dialErrorLimit, log, signal, () =>
      dialOnce(proxy, proxySettings, undefined),
    );
    try {
      const inner = await retried("Dial from proxy", limit, log, signal, async () =>
        dialOnce(connection, settings, await forwarded(outer.client, connection)),
      );
      outer.lost.catch(() => inner.close());
      const close = (): void => {
        inner.close();
        outer.close();
      };
      return { client: inner.client, lost: Promise.race([inner.lost, outer.lost]), close };
    } catch (error) {
      outer.close();
      throw error;
    }
  } catch (error) {
    throw new Error(`proxy: ${message(error)}`);
  }
}

/** Tries again after 0.1 s, then half as long again each time, at most 5 s. */
async function retried<T>(
  what: string,
  limit: number,
  log: Log,
  signal: AbortSignal,
  attempt: () => Promise<T>,
): Promise<T> {
  for (let failed = 0; ; ) {
    if (signal.aborted) throw new Error("context canceled");
    try {
      return await attempt();
    } catch (error) {
      failed++;
      if (limit >= 0 && failed > limit) {
        throw new Error(`after ${failed - 1} failed attempts: ${message(error)}`);
      }
      log.line("info", `${what} ${failed}/${limit < 0 ? "inf" : limit} failed: retrying`, true);
      await delay(Math.min(100 * 1.5 ** (failed - 1), 5_000), undefined, { signal }).catch(() => undefined);
    }
  }
}

function dialOnce(end: End, settings: ConnectConfig, sock: Duplex | undefined): Promise<Dialed> {
  const client = new ssh2.Client();
  let lose: (reason: Error) => void = () => undefined;
  const lost = new Promise<never>((_, reject) => {
    lose = reject;
  });
  // Nobody need be listening: a connection may break after its last use.
  lost.catch(() => undefined);
  return new Promise((resolve, reject) => {
    const fail = (reason: string): void => {
      const error = new Error(reason);
      reject(error);
      lose(error);
    };
    client.on("ready", () => resolve({ client, lost, close: () => void client.end() }));
    client.on("error", (error: Error & { level?: string; code?: string }) => fail(failureText(end, error)));
    client.on("close", () => fail(`the connection to ${address(end)} was closed`));
    if (end.password !== undefined) {
      client.on("keyboard-interactive", (_name, _instructions, _language, prompts, answer) =>
        answer(prompts.map(() => end.password ?? "")),
      );
    }
    try {
      // ssh2's own connecting names no reason on a time-out; a socket of ours does, and is bounded the same.
      client.connect({ ...settings, sock: sock ?? socketTo(end, (reason) => fail(reason)) });
    } catch (error) {
      fail(message(error));
    }
  });
}

function socketTo(end: End, fail: (reason: string) => void): Socket {
  const socket = connect({ host: end.host, port: Math.trunc(end.port), keepAlive: true });
  socket.setNoDelay(true);
  if (end.perDialTimeout > 0) {
    const timer = setTimeout(() => {
      fail(`dial tcp ${address(end)}: i/o timeout`);
      socket.destroy();
    }, end.perDialTimeout * 1_000);
    socket.once("connect", () => clearTimeout(timer));
    socket.once("close", () => clearTimeout(timer));
  }
  return socket;
}

function forwarded(proxy: Client, end: End): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    proxy.forwardOut("127.0.0.1", 0, end.host, Math.trunc(end.port), (error, channel) => {
      const why = error?.message.replace(/^.*open failure: /, "");
      if (error) reject(new Error(`ssh: rejected: connect failed (${why})`));
      else resolve(channel);
    });
  });
}

async function sshSettings(end: End): Promise<ConnectConfig> {
  const agent = end.agentSocketPath ?? (process.env.SSH_AUTH_SOCK || undefined);
  if (agent !== undefined) await agentAnswers(agent);
  const methods: AuthenticationType[] = [
    ...(end.privateKey === undefined ? [] : (["publickey"] as const)),
    ...(end.password === undefined ? [] : (["password", "keyboard-interactive"] as const)),
    ...(agent === undefined ? [] : (["agent"] as const)),
  ];
  if (end.privateKey !== undefined) readableKey(end.privateKey, end.privateKeyPassword);
  const expected = end.hostKey === undefined ? undefined : hostKeyOf(end.hostKey);
  return {
    username: end.user,
    readyTimeout: end.perDialTimeout * 1_000,
    keepaliveInterval: keepalive.interval,
    keepaliveCountMax: keepalive.unanswered,
    authHandler: methods,
    ...(end.password === undefined ? {} : { password: end.password, tryKeyboard: true }),
    ...(end.privateKey === undefined ? {} : { privateKey: end.privateKey }),
    ...(end.privateKeyPassword === undefined ? {} : { passphrase: end.privateKeyPassword }),
    ...(agent === undefined ? {} : { agent }),
    ...(expected === undefined
      ? {}
      : {
          hostVerifier: (key: Buffer) => key.equals(expected.blob),
          algorithms: { serverHostKey: expected.algorithms },
        }),
  };
}

function readableKey(key: string, password: string | undefined): void {
  const parsed = ssh2.utils.parseKey(key, password);
  if (parsed instanceof Error)
    throw new Error(`the connection's privateKey cannot be read: ${parsed.message}`);
}

/** An agent that is gone is told at once: without it every dial would fail with "unable to authenticate". */
function agentAnswers(path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path });
    socket.once("connect", () => {
      socket.destroy();
      resolve();
    });
    socket.once("error", (error: NodeJS.ErrnoException) => {
      const why = error.code === "ENOENT" ? "no such file or directory" : error.message;
      reject(new Error(`dial unix ${path}: connect: ${why}`));
    });
  });
}

function failureText(end: End, error: Error & { level?: string; code?: string }): string {
  const dialing = `dial tcp ${address(end)}: connect:`;
  if (error.code === "ECONNREFUSED") return `${dialing} connection refused`;
  if (error.code === "EHOSTUNREACH") return `${dialing} no route to host`;
  if (error.code === "ENETUNREACH") return `${dialing} network is unreachable`;
  if (error.code === "ENOTFOUND") return `dial tcp: lookup ${end.host}: no such host`;
  if (error.code === "ETIMEDOUT") return `dial tcp ${address(end)}: i/o timeout`;
  if (error.level === "client-timeout" && error.message === "Keepalive timeout") {
    const seconds = (keepalive.interval * (keepalive.unanswered + 1)) / 1_000;
    return `the connection to ${address(end)} was lost: no answer for ${seconds} s`;
  }
  if (error.level === "client-authentication") {
    return `ssh: handshake failed: ssh: unable to authenticate as ${end.user}: ${error.message}`;
  }
  if (/Host denied|verification failed/i.test(error.message)) {
    return `ssh: handshake failed: ssh: host key mismatch: ${address(end)} is not the host whose key is pinned`;
  }
  return `ssh: ${address(end)}: ${error.message}`;
}

function address(end: End): string {
  return end.host.includes(":") ? `[${end.host}]:${end.port}` : `${end.host}:${end.port}`;
}

function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
