import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { Unit, UnitState } from "../toolkit/host.ts";
import { boundLog, lastLines } from "./log-file.ts";
import type { MemoryFile } from "./memory.ts";
import { UnitKeeper } from "./unit-keeper.ts";

/** The units of a local box: what is installed, and what should run. */
export class Units {
  private readonly memory: MemoryFile;
  private readonly logs: string;
  private readonly keepers = new Map<string, UnitKeeper>();
  /** The last start by lock: of two starts of a singleton the second sees the first. */
  private readonly starts = new Map<string, Promise<void>>();

  constructor(memory: MemoryFile, logs: string) {
    this.memory = memory;
    this.logs = logs;
    for (const { unit } of Object.values(memory.now.units)) this.keep(unit);
  }

  /** A process that runs goes on as it is; its next start is by the new definition. */
  async install(unit: Unit): Promise<void> {
    const keeper = this.keepers.get(unit.name);
    if (keeper) keeper.unit = unit;
    else this.keep(unit);
    this.memory.now.units[unit.name] = { unit, wanted: this.memory.now.units[unit.name]?.wanted ?? false };
    await this.memory.save();
  }

  async start(name: string): Promise<void> {
    const keeper = this.keepers.get(name);
    if (!keeper) throw new Error(`${name} is not installed on this box: place its release`);
    if (keeper.unit.kind === "singleton") return this.startSingleton(keeper);
    await this.want(name, true);
    await keeper.start();
  }

  async stop(name: string): Promise<void> {
    await this.want(name, false);
    await this.keepers.get(name)?.stop();
  }

  /** Ends every process and leaves what should run as it is remembered. */
  async endAll(): Promise<void> {
    await Promise.all([...this.keepers.values()].map((keeper) => keeper.stop()));
  }

  /** Starts a serving unit that was running when the last supervisor ended; a singleton waits to be told. */
  async startWanted(isStopping: () => boolean): Promise<void> {
    for (const { unit, wanted } of Object.values(this.memory.now.units)) {
      // Why one did not start stands in its journal.
      if (wanted && !isStopping())
        await this.keepers
          .get(unit.name)
          ?.start()
          .catch(() => {});
    }
  }

  async remove(name: string): Promise<void> {
    await this.stop(name);
    this.keepers.delete(name);
    delete this.memory.now.units[name];
    await this.memory.save();
    await rm(this.logOf(name), { force: true });
  }

  async state(name: string): Promise<UnitState> {
    return (await this.keepers.get(name)?.state()) ?? { active: "gone", restarts: 0, memoryBytes: 0 };
  }

  async states(): Promise<Record<string, UnitState>> {
    const names = [...this.keepers.keys()];
    return Object.fromEntries(await Promise.all(names.map(async (name) => [name, await this.state(name)])));
  }

  /** Seconds that stopping the unit may take; without a name, stopping all of them. */
  stopSeconds(name?: string): number {
    const seconds = [...this.keepers.values()].map(({ unit }) =>
      name === undefined || unit.name === name ? unit.stopSeconds : 0,
    );
    return Math.max(0, ...seconds);
  }

  journal(name: string, lines: number): Promise<string[]> {
    return lastLines(this.logOf(name), lines);
  }

  async boundLogs(): Promise<void> {
    for (const name of this.keepers.keys()) await boundLog(this.logOf(name));
  }

  private keep(unit: Unit): void {
    this.keepers.set(unit.name, new UnitKeeper(unit, this.memory, this.logOf(unit.name)));
  }

  private async want(name: string, wanted: boolean): Promise<void> {
    const remembered = this.memory.now.units[name];
    if (!remembered || remembered.wanted === wanted) return;
    remembered.wanted = wanted;
    await this.memory.save();
  }

  /** One process a lock, also while it starts, stops or waits to start again (ALL-6). */
  private startSingleton(keeper: UnitKeeper): Promise<void> {
    const { lock, name } = keeper.unit;
    const start = (this.starts.get(lock) ?? Promise.resolve())
      .catch(() => {})
      .then(() => {
        const rivals = [...this.keepers.values()].filter(
          (other) => other !== keeper && other.unit.lock === lock,
        );
        const holder = rivals.find((other) => !other.isGone);
        if (!holder) return keeper.start();
        throw new Error(
          `${name} was not started: another process holds its service's lock (${holder.unit.name}), ` +
            "so it would run twice",
        );
      });
    this.starts.set(lock, start);
    return start;
  }

  private logOf(name: string): string {
    return join(this.logs, `${name}.log`);
  }
}
