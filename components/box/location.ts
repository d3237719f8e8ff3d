import { spawn } from "node:child_process";
import { join } from "node:path";
import { Client } from "ssh2";
import type { BoxConfig } from "../../stacks/config/box.ts";
import { UnreachableError } from "../rollout/leg.ts";
import type { Loss } from "../rollout/redial.ts";
import { pinnedFirst } from "./host-key.ts";
import { shellCommand } from "./quote.ts";

/** Where a box is: this machine, or one over SSH by the user's agent. */
export type Location = BoxConfig;

/** Path of the local box's toolkit, from the checkout's top. */
export const localToolkit = "components/box/switchyard-box.sh";

/** How a silent box is asked whether it is still there; with one question more than may go unanswered it is lost. */
export interface Keepalive {
  readonly seconds: number;
  readonly unanswered: number;
}

/** Many routers forget a connection on which nothing was said for some minutes, and tell nobody. */
export const keepalive: Keepalive = { seconds: 10, unanswered: 3 };

/** A host that is there shakes hands in less, however long what it is then asked for may take. */
const longestHandshake = 20;

/** The way to the box was lost, and what was asked of it may have arrived or not. A verb is safe to repeat. */
export class LostConnectionError extends UnreachableError {
  readonly loss: Loss;
  readonly why: string;

  constructor(location: Location, loss: Loss, why: string) {
    super(describe(location), why);
    this.name = "LostConnectionError";
    this.loss = loss;
    this.why = why;
  }
}

export interface VerbResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export function describe(location: Location): string {
  return location === "local"
    ? "the local box"
    : `the box ${location.user}@${location.host}:${location.port}`;
}

/** The shell command that runs a verb of the toolkit at the location. */
export function verbCommand(location: Location, ...words: readonly string[]): string {
  return shellCommand(location === "local" ? localToolkit : "switchyard-box", ...words);
}

/**
 * Runs a verb apart from the engine: what is asked before the first resource, and what the command line does at once.
 *
 * @throws LostConnectionError where the connection could not be made, or broke: within a minute, whatever `seconds` says
 */
export function runVerb(
  location: Location,
  words: readonly string[],
  stdin = "",
  seconds = 20,
  alive: Keepalive = keepalive,
): Promise<VerbResult> {
  return location === "local"
    ? runLocally(words, stdin, seconds)
    : runOverSsh(location, words, stdin, { seconds, alive });
}

function runLocally(words: readonly string[], stdin: string, seconds: number): Promise<VerbResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(`./${localToolkit}`, words, { cwd: checkout, timeout: seconds * 1000 });
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
    });
    child.stdin.on("error", () => {});
    child.stdin.end(stdin);
    child.once("error", (error) => reject(new UnreachableError(describe("local"), error.message)));
    child.once("close", (code) => resolve({ code: code ?? 137, stdout, stderr }));
  });
}

const checkout = join(import.meta.dirname, "../..");

function runOverSsh(
  location: Exclude<Location, "local">,
  words: readonly string[],
  stdin: string,
  { seconds, alive }: { readonly seconds: number; readonly alive: Keepalive },
): Promise<VerbResult> {
  const agent = process.env.SSH_AUTH_SOCK;
  if (!agent) {
    throw new UnreachableError(
      describe(location),
      "no SSH agent (SSH_AUTH_SOCK is not set): start one and `ssh-add` the box's key",
    );
  }
  return new Promise((resolve, reject) => {
    const client = new Client();
    const timer = setTimeout(() => fail(`no answer within ${seconds} s`), seconds * 1000);
    let offered = "";
    let loss: Loss = "silent";
    const end = (error: Error) => {
      clearTimeout(timer);
      client.destroy();
      reject(error);
    };
    const fail = (why: string) => end(new UnreachableError(describe(location), why));
    const lose = (why: string) => end(new LostConnectionError(location, loss, why));
    client.on("error", (error) => {
      if (isHostKeyRefused(offered, location)) return fail(otherHostKey(offered, location));
      if (error.level === "client-authentication") return fail(error.message);
      lose(isSilence(error) ? silence(alive) : error.message);
    });
    client.on("close", () => lose("the connection was closed"));
    client.on("ready", () => {
      loss = "broken";
      client.exec(verbCommand(location, ...words), (error, stream) => {
        if (error) return lose(error.message);
        let stdout = "";
        let stderr = "";
        let ended = false;
        stream.on("data", (data: Buffer) => {
          stdout += data.toString("utf8");
        });
        stream.stderr.on("data", (data: Buffer) => {
          stderr += data.toString("utf8");
        });
        stream.on("exit", () => {
          ended = true;
        });
        stream.on("close", (code: number | null) => {
          // Of a command that has ended the host says how it did.
          if (!ended) return lose("the connection was closed before the command had ended");
          clearTimeout(timer);
          client.end();
          resolve({ code: code ?? 137, stdout, stderr });
        });
        stream.end(stdin);
      });
    });
    client.connect({
      host: location.host,
      port: location.port,
      username: location.user,
      agent,
      readyTimeout: Math.min(seconds, longestHandshake) * 1000,
      keepaliveInterval: alive.seconds * 1000,
      keepaliveCountMax: alive.unanswered,
      algorithms: { serverHostKey: pinnedFirst(location.hostKey) },
      hostVerifier: (key: Buffer) => {
        offered = key.toString("base64");
        return !isHostKeyRefused(offered, location);
      },
    });
  });
}

function isSilence({ level, message }: Error & { level?: string }): boolean {
  return level === "client-timeout" && message === "Keepalive timeout";
}

const silence = ({ seconds, unanswered }: Keepalive) =>
  `the connection was lost: no answer for ${seconds * (unanswered + 1)} s`;

function isHostKeyRefused(offered: string, { hostKey }: Exclude<Location, "local">): boolean {
  return offered !== "" && hostKey !== undefined && hostKey.split(/\s+/)[1] !== offered;
}

function otherHostKey(offered: string, { hostKey }: Exclude<Location, "local">): string {
  const kind = Buffer.from(offered, "base64")
    .subarray(4, 30)
    .toString("latin1")
    .replace(/[^a-z0-9-].*$/s, "");
  return `it shows the host key ${kind} ${offered}, but box.hostKey pins ${hostKey}: nothing was sent to it`;
}
