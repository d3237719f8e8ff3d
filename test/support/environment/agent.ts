import { execFileSync, spawn } from "node:child_process";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { until } from "../box/processes.ts";

/** An SSH agent with one key, which is nowhere else. */
export interface SshAgent {
  readonly socket: string;
  readonly publicKey: string;
  stop(): void;
}

/** The agent ends with `cat`, which ends with this process: a test that is killed leaves none behind. */
export async function startAgent(folder: string): Promise<SshAgent> {
  const socket = join(folder, "agent.sock");
  const child = spawn("ssh-agent", ["-a", socket, "cat"], { stdio: ["pipe", "ignore", "inherit"] });
  await until(() => existsSync(socket), 10, "ssh-agent does not start");
  const key = join(folder, "key");
  execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "deploy", "-f", key]);
  execFileSync("ssh-add", ["-q", key], { env: { ...process.env, SSH_AUTH_SOCK: socket } });
  const publicKey = readFileSync(`${key}.pub`, "utf8").trim();
  rmSync(key);
  return { socket, publicKey, stop: () => child.stdin.end() };
}
