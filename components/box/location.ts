import { spawn } from "node:child_process";
import { Client } from "ssh2";
import type { BoxConfig } from "../../stacks/config/box.ts";
import { UnreachableError } from "../rollout/leg.ts";
import { shellCommand } from "./quote.ts";

/** Where a box is: this machine, or one over SSH by the user's agent. */
export type Location = BoxConfig;

/** Path of the local box's toolkit, from the checkout's top. */
export const localToolkit = "components/box/switchyard-box.sh";

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

/** Runs a verb apart from the engine: what is asked before the first resource, and what the command line does at once. */
export function runVerb(
  location: Location,
  words: readonly string[],
  stdin = "",
  seconds = 20,
): Promise<VerbResult> {
  return location === "local"
    ? runLocally(words, stdin, seconds)
    : runOverSsh(location, words, stdin, seconds);
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

const checkout = new URL("../..", import.meta.url).pathname;

function runOverSsh(
  location: Exclude<Location, "local">,
  words: readonly string[],
  stdin: string,
  seconds: number,
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
    const fail = (why: string) => {
      clearTimeout(timer);
      client.destroy();
      reject(new UnreachableError(describe(location), why));
    };
    client.on("error", (error) =>
      fail(isHostKeyRefused(offered, location) ? otherHostKey(offered, location) : error.message),
    );
    client.on("ready", () => {
      client.exec(verbCommand(location, ...words), (error, stream) => {
        if (error) return fail(error.message);
        let stdout = "";
        let stderr = "";
        stream.on("data", (data: Buffer) => {
          stdout += data.toString("utf8");
        });
        stream.stderr.on("data", (data: Buffer) => {
          stderr += data.toString("utf8");
        });
        stream.on("close", (code: number | null) => {
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
      readyTimeout: seconds * 1000,
      hostVerifier: (key: Buffer) => {
        offered = key.toString("base64");
        return !isHostKeyRefused(offered, location);
      },
    });
  });
}

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
