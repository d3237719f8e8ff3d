import { readFile } from "node:fs/promises";
import { setTimeout as pause } from "node:timers/promises";
import { readEnvironmentFile } from "../toolkit/environment-file.ts";
import type { Unit, UnitState } from "../toolkit/host.ts";
import { inheritedEnvironment } from "./environment.ts";
import { type GatedProcess, startGated } from "./gated-process.ts";
import { endGroup, membersOf } from "./group.ts";
import { boundLog, note } from "./log-file.ts";
import type { MemoryFile } from "./memory.ts";

/** Pause before a process that ended by itself is started again, as in systemd-unit.ts. */
const restartMilliseconds = 500;

/** Keeps one unit's process running from `start` to `stop`. What is asked of it happens one after the other. */
export class UnitKeeper {
  /** What the next start runs. */
  unit: Unit;
  private readonly memory: MemoryFile;
  private readonly log: string;
  private active: UnitState["active"] = "gone";
  private restarts = 0;
  private process: GatedProcess | null = null;
  /** Ends the pause before a restart. */
  private waking = new AbortController();
  private queue: Promise<unknown> = Promise.resolve();

  constructor(unit: Unit, memory: MemoryFile, log: string) {
    this.unit = unit;
    this.memory = memory;
    this.log = log;
  }

  get isGone(): boolean {
    return this.active === "gone" || this.active === "failed";
  }

  start(): Promise<void> {
    return this.inTurn(async () => {
      if (this.process || this.active === "running") return;
      this.waking.abort();
      this.restarts = 0;
      await this.spawn();
    });
  }

  /** Returns when no process of the unit is left. */
  stop(): Promise<void> {
    return this.inTurn(async () => {
      this.waking.abort();
      this.active = this.process ? "stopping" : "gone";
      if (!this.process) return;
      await endGroup(this.process.identity, this.unit.stopSeconds);
      await this.forget();
      this.active = "gone";
    });
  }

  async state(): Promise<UnitState> {
    const members = this.process ? await membersOf(this.process.identity.pid) : [];
    const memoryBytes = members.reduce((sum, member) => sum + member.residentBytes, 0);
    return { active: this.active, restarts: this.restarts, memoryBytes: this.isGone ? 0 : memoryBytes };
  }

  private async spawn(): Promise<void> {
    const { name, command, directory, environmentFile, stopSeconds } = this.unit;
    this.active = "starting";
    try {
      const values = readEnvironmentFile(await readFile(environmentFile, "utf8"));
      await boundLog(this.log);
      const environment = { ...inheritedEnvironment(), ...values };
      const process = await startGated(
        { command, directory, environment, log: this.log },
        async (identity) => {
          this.memory.now.processes[name] = { ...identity, graceSeconds: stopSeconds };
          await this.memory.save();
        },
      );
      this.process = process;
      this.active = "running";
      process.ended.then((end) => this.inTurn(() => this.onEnd(process, end))).catch(() => {});
    } catch (error) {
      this.active = "failed";
      await note(this.log, `could not be started: ${(error as Error).message}`);
      throw new Error(`${name} could not be started: ${(error as Error).message}`);
    }
  }

  private async onEnd(process: GatedProcess, end: Awaited<GatedProcess["ended"]>): Promise<void> {
    if (this.process !== process) return;
    // What it leaves behind would hold its port, and would be a second one of a singleton.
    await endGroup(process.identity, 0);
    await this.forget();
    this.active = "starting";
    this.restarts++;
    await note(this.log, `ended by itself (${describe(end)}); starting again`);
    this.waking = new AbortController();
    this.startAgain(this.waking.signal).catch(() => {});
  }

  private async startAgain(signal: AbortSignal): Promise<void> {
    await pause(restartMilliseconds, undefined, { signal });
    await this.inTurn(async () => {
      if (!signal.aborted && !this.process) await this.spawn();
    });
  }

  private async forget(): Promise<void> {
    this.process = null;
    delete this.memory.now.processes[this.unit.name];
    await this.memory.save();
  }

  private inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.queue.catch(() => {}).then(work);
    this.queue = turn;
    return turn;
  }
}

function describe({ code, signal }: Awaited<GatedProcess["ended"]>): string {
  return signal ?? `exit code ${code}`;
}
