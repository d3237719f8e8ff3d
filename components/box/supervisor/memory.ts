import { readJson, writeDurably } from "../toolkit/durable.ts";
import type { Backend, Door, Unit } from "../toolkit/host.ts";
import type { ProcessIdentity } from "../toolkit/process-identity.ts";
import { machineBoot } from "./machine-boot.ts";

/** What outlives the supervisor: what should run, what the doors open on, and which processes it has started. */
export interface Memory {
  /** The machine's boot in which the processes were started. */
  boot: string;
  units: Record<string, { unit: Unit; wanted: boolean }>;
  doors: Record<string, { door: Door; remembered: Backend | null; open: boolean }>;
  /** Every process that was started and has not been seen to end, by the name of its unit or job. */
  processes: Record<string, ProcessIdentity & { readonly graceSeconds: number }>;
}

/** The memory as it was left; an empty one for a new folder. */
export async function recall(file: string): Promise<Memory> {
  return (await readJson<Memory>(file)) ?? { boot: await machineBoot(), units: {}, doors: {}, processes: {} };
}

/** Writes the memory, one write at a time; several changes while one is written share the next. */
export class MemoryFile {
  readonly now: Memory;
  private readonly file: string;
  private writing: Promise<void> = Promise.resolve();
  private next: Promise<void> | null = null;
  private discarded = false;

  constructor(file: string, now: Memory) {
    this.file = file;
    this.now = now;
  }

  /** Nothing is written from now on. */
  discard(): void {
    this.discarded = true;
  }

  /** Resolves when what the memory holds at this moment is on the disk. */
  save(): Promise<void> {
    this.next ??= this.writing
      .catch(() => {})
      .then(() => {
        this.next = null;
        if (this.discarded) return;
        this.writing = writeDurably(this.file, `${JSON.stringify(this.now, null, 2)}\n`);
        return this.writing;
      });
    return this.next;
  }
}
