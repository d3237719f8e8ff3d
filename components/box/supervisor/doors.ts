import type { DoorTotals } from "../../gates/seen.ts";
import type { Backend, Door } from "../toolkit/host.ts";
import { FrontDoor } from "./front-door.ts";
import { note } from "./log-file.ts";
import type { MemoryFile } from "./memory.ts";

/** The doors of a local box: those that are open, and what each opens on when the supervisor starts again. */
export class Doors {
  private readonly memory: MemoryFile;
  private readonly log: string;
  private readonly fronts = new Map<string, FrontDoor>();

  constructor(memory: MemoryFile, log: string) {
    this.memory = memory;
    this.log = log;
  }

  async open(door: Door): Promise<void> {
    if (this.fronts.has(door.name)) return;
    const remembered = this.memory.now.doors[door.name]?.remembered ?? null;
    await this.listen(door, remembered);
    this.memory.now.doors[door.name] = { door, remembered, open: true };
    await this.memory.save();
  }

  async close(door: Door): Promise<void> {
    delete this.memory.now.doors[door.name];
    await this.memory.save();
    const front = this.fronts.get(door.name);
    this.fronts.delete(door.name);
    await front?.close();
  }

  serves(door: Door): Backend | null {
    return this.fronts.get(door.name)?.serves() ?? null;
  }

  totals(door: Door): DoorTotals | null {
    return this.fronts.get(door.name)?.totals() ?? null;
  }

  point(door: Door, backend: Backend | null): void {
    const front = this.fronts.get(door.name);
    if (!front && backend) {
      throw new Error(
        `the door ${door.name} is not open on this box, so it cannot serve ${backend.fingerprint}`,
      );
    }
    front?.point(backend);
  }

  async drain(door: Door, seconds: number): Promise<void> {
    await this.fronts.get(door.name)?.drain(seconds);
  }

  async remember(door: Door, backend: Backend | null): Promise<void> {
    const known = this.memory.now.doors[door.name];
    if (!known && !backend) return;
    this.memory.now.doors[door.name] = { door, remembered: backend, open: known?.open ?? false };
    await this.memory.save();
  }

  list(): Door[] {
    return Object.values(this.memory.now.doors).map(({ door }) => door);
  }

  states(): { readonly door: Door; readonly serves: Backend | null }[] {
    return [...this.fronts.values()].map((front) => ({ door: front.door, serves: front.serves() }));
  }

  /** Opens what was open when the last supervisor ended; a port that somebody has taken meanwhile is noted. */
  async reopen(isStopping: () => boolean): Promise<void> {
    for (const { door, remembered, open } of Object.values(this.memory.now.doors)) {
      if (!open || isStopping()) continue;
      await this.listen(door, remembered).catch((error: Error) => note(this.log, error.message));
    }
  }

  async closeAll(): Promise<void> {
    await Promise.all([...this.fronts.values()].map((front) => front.close()));
  }

  private async listen(door: Door, backend: Backend | null): Promise<void> {
    const front = new FrontDoor(door, backend);
    this.fronts.set(door.name, front);
    try {
      await front.open();
    } catch (error) {
      this.fronts.delete(door.name);
      throw error;
    }
  }
}
