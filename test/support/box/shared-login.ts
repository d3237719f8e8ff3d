import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, rmSync } from "node:fs";
import { until } from "./processes.ts";

/**
 * One SSH login that many commands share. A login of its own costs each command 200 ms of CPU, and tests ask a box ten
 * times a second what they wait for. Whatever ends logins (a reboot, a cut network, another key) closes it; the next
 * command then logs in anew.
 */
export class SharedLogin {
  readonly #command: readonly string[];
  readonly #socket: string;
  #master: ChildProcess | null = null;
  #opening: Promise<void> | null = null;

  /** `command`: the words of an ssh call, to which options may be added before the host. */
  constructor(command: readonly string[], socket: string) {
    this.#command = command;
    this.#socket = socket;
  }

  /** The words of an ssh call over the shared login, or over one of its own where none can be had. */
  async words(): Promise<readonly string[]> {
    if (!this.#isOpen) {
      this.#opening ??= this.#open().finally(() => {
        this.#opening = null;
      });
      await this.#opening;
    }
    return this.#isOpen ? this.#with("-S", this.#socket) : this.#command;
  }

  close(): void {
    this.#master?.kill("SIGKILL");
    this.#master = null;
    rmSync(this.#socket, { force: true });
  }

  get #isOpen(): boolean {
    return this.#master !== null && existsSync(this.#socket);
  }

  async #open(): Promise<void> {
    this.close();
    // A box that is gone is noticed within four seconds; ssh then ends, and takes the socket with it.
    const alive = ["-o", "ServerAliveInterval=2", "-o", "ServerAliveCountMax=2"];
    const [program = "", ...words] = this.#with("-N", "-M", "-S", this.#socket, ...alive);
    const master = spawn(program, words, { stdio: "ignore" });
    this.#master = master;
    const ended = new Promise<void>((resolve) => {
      master.once("error", () => resolve());
      master.once("exit", () => {
        if (this.#master === master) this.#master = null;
        resolve();
      });
    });
    const opened = until(() => this.#isOpen || this.#master !== master, 10, "no shared login", 20);
    await Promise.race([opened.catch(() => this.close()), ended]);
  }

  #with(...options: string[]): readonly string[] {
    return [...this.#command.slice(0, -1), ...options, ...this.#command.slice(-1)];
  }
}
