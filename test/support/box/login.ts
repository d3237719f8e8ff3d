import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { until } from "./processes.ts";
import { check, run } from "./run.ts";

/** Keys and logins of one box; all of it lies in the box's state folder. */

/** Makes the box's own host key and machine id where `supervise.sh` copies them from; returns the public line. */
export async function seedIdentity(state: string, address: string): Promise<string> {
  const seed = join(state, "seed");
  const ssh = join(seed, "etc", "ssh");
  mkdirSync(ssh, { recursive: true });
  const hostKey = join(ssh, "ssh_host_ed25519_key");
  await check(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", hostKey]);
  writeFileSync(join(seed, "etc", "machine-id"), `${randomBytes(16).toString("hex")}\n`);
  writeFileSync(join(seed, "etc", "hostname"), "box\n");
  writeFileSync(join(seed, "etc", "hosts"), "127.0.0.1 localhost\n127.0.1.1 box\n::1 localhost\n");
  const line = publicPart(readFileSync(`${hostKey}.pub`, "utf8"));
  writeFileSync(join(state, "known_hosts"), `${address} ${line}\n`);
  return line;
}

/** Authorises `key` (a public line) for root from the first start on. */
export function seedAuthorisedKey(state: string, key: string): void {
  const folder = join(state, "seed", "root", ".ssh");
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  writeFileSync(join(folder, "authorized_keys"), `${key}\n`, { mode: 0o600 });
}

/** A new key pair in a file of the state folder, until `giveToAgent` takes it; returns the public line. */
export async function makeClientKey(state: string): Promise<string> {
  const file = join(state, "client-key");
  await check(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "switchyard-test", "-f", file]);
  return publicPart(readFileSync(`${file}.pub`, "utf8"));
}

/** Makes the new key the agent's only one; the private half exists nowhere else. */
export async function giveToAgent(state: string): Promise<void> {
  const environment = { SSH_AUTH_SOCK: join(state, "agent.sock") };
  const file = join(state, "client-key");
  // Code 2: the agent cannot be reached, because it is only just starting.
  await until(async () => (await run(["ssh-add", "-l"], { environment })).code !== 2, 10, "no ssh-agent");
  await check(["ssh-add", "-q", "-D"], { environment });
  await check(["ssh-add", "-q", file], { environment });
  rmSync(file);
  rmSync(`${file}.pub`);
}

/** The words of an ssh call that trusts nothing but the box's own key and this state folder's agent. */
export function sshWords(state: string, address: string, connectSeconds = 5): string[] {
  const settings = [
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    "GlobalKnownHostsFile=/dev/null",
    `UserKnownHostsFile=${join(state, "known_hosts")}`,
    `IdentityAgent=${join(state, "agent.sock")}`,
    `ConnectTimeout=${connectSeconds}`,
    "LogLevel=ERROR",
  ];
  return ["ssh", "-F", "none", ...settings.flatMap((setting) => ["-o", setting]), `root@${address}`];
}

function publicPart(line: string): string {
  return line.trim().split(" ").slice(0, 2).join(" ");
}
