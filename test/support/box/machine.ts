import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Box, CommandOptions } from "./box.ts";
import { giveToAgent, makeClientKey, sshWords } from "./login.ts";
import { children, end, identify, namespacePids, type ProcessIdentity, until } from "./processes.ts";
import { type BoxRecord, boxes, removeBox } from "./records.ts";
import { check, type Finished, run } from "./run.ts";
import { SharedLogin } from "./shared-login.ts";

export const address = "10.77.0.2";
export const clientAddress = "10.77.0.1";

/** Nobody's address: packets sent there arrive at the other end of the cable and are thrown away. */
const nobody = "02:00:00:00:00:01";

/** The first process of a box's namespaces: the child of the `unshare` that made them. */
export function firstProcess(supervisor: ProcessIdentity): number | undefined {
  return children(supervisor.pid).find((pid) => namespacePids(pid).at(-1) === 1);
}

/** A box that is up, by its record and its first process's number. */
export class Machine implements Box {
  readonly name: string;
  readonly address = address;
  readonly clientAddress = clientAddress;
  readonly hostKey: string;
  readonly agentSocket: string;
  readonly enter: readonly string[];
  readonly sshCommand: readonly string[];
  readonly #state: string;
  readonly #first: number;
  readonly #diskMiB: number;
  readonly #login: SharedLogin;

  constructor(record: BoxRecord, first: number) {
    this.name = record.name;
    this.hostKey = record.hostKey;
    this.#state = boxes.of(record.name);
    this.agentSocket = join(this.#state, "agent.sock");
    this.enter = ["nsenter", `--net=/proc/${first}/ns/net`];
    this.sshCommand = [...this.enter, ...sshWords(this.#state, address)];
    this.#login = new SharedLogin(this.sshCommand, join(this.#state, `login-${process.pid}.sock`));
    this.#first = first;
    this.#diskMiB = record.diskMiB;
  }

  async ssh(command: string, options: CommandOptions = {}): Promise<Finished> {
    return run([...(await this.#login.words()), command], options);
  }

  async inside(command: string, options: CommandOptions = {}): Promise<Finished> {
    const leader = this.#leader();
    if (leader === undefined) throw new Error(`the box ${this.name} is off`);
    const environment = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"];
    const words = ["nsenter", `--target=${leader}`, "--all", ...environment, "sh", "-c", command];
    return run(words, options);
  }

  async rotateKey(): Promise<void> {
    const key = await makeClientKey(this.#state);
    await check([...this.sshCommand, "cat >/root/.ssh/authorized_keys"], { stdin: `${key}\n` });
    await giveToAgent(this.#state);
    this.#login.close();
  }

  async reboot(): Promise<number> {
    const started = performance.now();
    const before = this.#leader();
    // The connection ends with the machine: its exit code says nothing.
    await this.ssh("systemctl reboot", { timeoutSeconds: 120 });
    await until(() => this.#leader() !== before, 120, "the box does not go down for the reboot");
    this.#login.close();
    await this.waitForLogin();
    return (performance.now() - started) / 1000;
  }

  async killPower(): Promise<number> {
    const started = performance.now();
    await this.#killContainer();
    await this.waitForLogin();
    return (performance.now() - started) / 1000;
  }

  async powerOff(): Promise<void> {
    this.#setPower("off");
    await this.#killContainer();
  }

  async powerOn(): Promise<number> {
    const started = performance.now();
    this.#setPower("on");
    await this.waitForLogin();
    return (performance.now() - started) / 1000;
  }

  async cutNetwork(): Promise<void> {
    this.#login.close();
    await check([...this.enter, ...neighbour("replace", address, "box")]);
    await check([...this.#enterCable(), ...neighbour("replace", clientAddress, "eth0")]);
  }

  async restoreNetwork(): Promise<void> {
    // Nothing to delete when the network was not cut.
    await run([...this.enter, "ip", "neigh", "del", address, "dev", "box"]);
    await run([...this.#enterCable(), "ip", "neigh", "del", clientAddress, "dev", "eth0"]);
  }

  async fillDisk(): Promise<void> {
    // The disk shrinks to what is in use, which takes no time and no memory.
    for (let attempt = 0; attempt < 20; attempt += 1) {
      const used = Number(
        (await check([...this.#enterDisk(), "df", "--output=used", "-B1", this.#disk])).split("\n")[1],
      );
      const shrunk = await run([...this.#enterDisk(), "mount", "-o", `remount,size=${used}`, this.#disk]);
      // Refused when something was written between the two.
      if (shrunk.code === 0) return;
    }
    throw new Error(
      `the disk of ${this.name} cannot be filled: something in the box writes to it all the time`,
    );
  }

  async freeDisk(): Promise<void> {
    await check([...this.#enterDisk(), "mount", "-o", `remount,size=${this.#diskMiB}m`, this.#disk]);
  }

  stop(): Promise<void> {
    this.#login.close();
    return removeBox(this.name);
  }

  /** Waits until root can log in. */
  async waitForLogin(timeoutSeconds = 30): Promise<void> {
    let last = "";
    const loggedIn = async () => {
      const tried = await run([...this.enter, ...sshWords(this.#state, address, 1), "true"], {
        timeoutSeconds: 10,
      });
      last = tried.stderr.trim();
      return tried.code === 0;
    };
    await until(loggedIn, timeoutSeconds, "no login").catch((error) => {
      throw new Error(`${error.message}: ${last}`);
    });
  }

  /** Waits until systemd has started everything; rejects naming the units that failed. */
  async waitUntilStarted(): Promise<void> {
    const state = await this.ssh(
      "systemctl is-system-running --wait; systemctl --failed --plain --no-legend",
    );
    if (state.stdout.trim() !== "running") throw new Error(`the box started badly: ${state.stdout.trim()}`);
  }

  /** Pid of the box's own first process (systemd), as seen from here; undefined while the box is off. */
  #leader(): number | undefined {
    const depth = namespacePids(this.#first).length + 1;
    let generation = children(this.#first);
    while (generation.length > 0) {
      for (const pid of generation) {
        const pids = namespacePids(pid);
        if (pids.length === depth && pids.at(-1) === 1) return pid;
      }
      generation = generation.flatMap(children);
    }
    return undefined;
  }

  async #killContainer(): Promise<void> {
    this.#login.close();
    const leader = this.#leader();
    const identity = leader === undefined ? undefined : identify(leader);
    if (identity) await end(identity);
  }

  #setPower(to: "on" | "off"): void {
    writeFileSync(join(this.#state, "power"), `${to}\n`);
  }

  get #disk(): string {
    return join(this.#state, "disk");
  }

  #enterDisk(): string[] {
    return ["nsenter", `--mount=/proc/${this.#first}/ns/mnt`];
  }

  /** The box's network namespace is kept by a mount, so it is there while the box is off, too. */
  #enterCable(): string[] {
    return [...this.#enterDisk(), "nsenter", `--net=${join(this.#state, "network")}`];
  }
}

/** The end of the box's console and of its supervisor's messages, for an error. */
export function lastWords(state: string): string {
  return ["supervisor.log", "console.log"]
    .map((name) => {
      try {
        return readFileSync(join(state, name), "utf8").trim().split("\n").slice(-10).join("\n");
      } catch {
        return "";
      }
    })
    .filter((text) => text !== "")
    .join("\n");
}

function neighbour(verb: string, of: string, device: string): string[] {
  return ["ip", "neigh", verb, of, "lladdr", nobody, "nud", "permanent", "dev", device];
}
