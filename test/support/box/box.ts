import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { closeSync, existsSync, openSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type BaseName, baseLayers, boxTools } from "./base.ts";
import { toStderr } from "./cache.ts";
import { giveToAgent, makeClientKey, seedAuthorisedKey, seedIdentity } from "./login.ts";
import { address, clientAddress, firstProcess, lastWords, Machine } from "./machine.ts";
import { identify, isAlive, type ProcessIdentity, until } from "./processes.ts";
import { reasonNoBox } from "./reason.ts";
import { type BoxRecord, boxes, removeBox, removeLeftovers } from "./records.ts";
import type { Finished, RunOptions } from "./run.ts";

export interface BoxOptions {
  /** `full`: PostgreSQL, Redis, Node, HAProxy, git, restic… `empty`: none of them, but apt can install them offline. */
  readonly base: BaseName;
  /** Default: a random one. */
  readonly name?: string;
  /** The box outlives this process; `findBox(name)` finds it again, `stop()` ends it. Default false. */
  readonly keep?: boolean;
  /** Size of the box's disk, which is memory as far as it is used. Default 3072. */
  readonly diskMiB?: number;
}

export type CommandOptions = Pick<RunOptions, "stdin" | "timeoutSeconds">;

/** A Debian machine with systemd on a cable to a client, reached as a real one is, over SSH. */
export interface Box {
  readonly name: string;
  /** The box's address in the client's network. */
  readonly address: string;
  /** The client's own address, for what the box is to fetch from it: the box has no other route. */
  readonly clientAddress: string;
  /** Public host key: `ssh-ed25519 AAAA…`. */
  readonly hostKey: string;
  /** SSH_AUTH_SOCK of an agent whose only key may log in as root. */
  readonly agentSocket: string;
  /** Put before a command's words, runs it in the client's network, the only one that reaches the box. */
  readonly enter: readonly string[];
  /** The words of a whole ssh call from there, to which a command's words may be added. */
  readonly sshCommand: readonly string[];
  /** Runs a shell command as root over SSH. Code 255 when the box cannot be reached; rejects after the timeout. */
  ssh(command: string, options?: CommandOptions): Promise<Finished>;
  /** Runs a shell command as root in the box without its network, as at its console. Rejects when the box is off. */
  inside(command: string, options?: CommandOptions): Promise<Finished>;
  /** Gives the agent a new key and authorises only that one. */
  rotateKey(): Promise<void>;
  /** Reboots in good order. Resolves at the next login, with the seconds since the call; so do the next two. */
  reboot(): Promise<number>;
  /** Cuts the power (SIGKILL to everything in it) and starts the box again from the disk as it was. */
  killPower(): Promise<number>;
  powerOn(): Promise<number>;
  /** Cuts the power and leaves it off. */
  powerOff(): Promise<void>;
  /** From now on packets get lost both ways, silently: nothing is refused, connections hang. */
  cutNetwork(): Promise<void>;
  restoreNetwork(): Promise<void>;
  /** Leaves no free byte on the box's disk. */
  fillDisk(): Promise<void>;
  freeDisk(): Promise<void>;
  /** Ends the box; nothing of it is left. */
  stop(): Promise<void>;
}

/** Brings a box up and waits until root can log in and systemd has started everything (about 1 s). */
export async function startBox(options: BoxOptions): Promise<Box> {
  const reason = reasonNoBox();
  if (reason !== null) throw new Error(`no box can be brought up here: ${reason}`);
  const layers = await baseLayers(options.base);
  const tools = await boxTools();
  for (const name of await removeLeftovers())
    toStderr(`removed ${name}, left behind by a run that was killed`);

  const owner = identify(process.pid);
  if (!owner) throw new Error("no /proc/self/stat: is /proc mounted?");
  const claimed: BoxRecord = {
    name: options.name ?? randomBytes(4).toString("hex"),
    base: options.base,
    owner,
    keep: options.keep ?? false,
    hostKey: "",
    diskMiB: options.diskMiB ?? 3072,
  };
  const state = boxes.claim(claimed);
  try {
    const hostKey = await seedIdentity(state, address);
    seedAuthorisedKey(state, await makeClientKey(state));
    writeFileSync(join(state, "power"), "on\n");
    const supervisor = supervise(state, claimed, tools, layers);
    const record: BoxRecord = { ...claimed, hostKey, supervisor };
    boxes.write(record);
    await until(() => existsSync(join(state, "agent.sock")) || !isAlive(supervisor), 20, "no supervisor");
    await giveToAgent(state);
    const machine = new Machine(record, firstProcess(supervisor) ?? 0);
    await machine.waitForLogin();
    await machine.waitUntilStarted();
    return machine;
  } catch (error) {
    const words = lastWords(state);
    await removeBox(claimed.name);
    throw new Error(`the box did not come up: ${(error as Error).message}\n${words}`.trim());
  }
}

/** The box of that name, started with `keep` by an earlier process; undefined when it is not up. */
export function findBox(name: string): Box | undefined {
  const record = boxes.read(name);
  if (!record?.supervisor || !isAlive(record.supervisor)) return undefined;
  const first = firstProcess(record.supervisor);
  return first === undefined ? undefined : new Machine(record, first);
}

/** Starts `supervise.sh` in a session of its own, so that a Ctrl-C is this process's alone. */
function supervise(
  state: string,
  record: BoxRecord,
  tools: string,
  layers: readonly string[],
): ProcessIdentity {
  const log = openSync(join(state, "supervisor.log"), "a");
  const script = join(import.meta.dirname, "supervise.sh");
  const life = record.keep ? "kept" : "owned";
  const network = [`${address}/24`, `${clientAddress}/24`];
  const words = [script, "outside", state, tools, layers.join(":"), `${record.diskMiB}`, life, ...network];
  // An owned box ends when this process does: the kernel then closes the other end of its stdin.
  const child = spawn("sh", words, { stdio: [record.keep ? "ignore" : "pipe", log, log], detached: true });
  closeSync(log);
  child.unref();
  const identity = identify(child.pid ?? 0);
  if (!identity) throw new Error("sh could not be started");
  return identity;
}
