import { setTimeout as pause } from "node:timers/promises";
import { type GatedProcess, type Start, startGated } from "./gated-process.ts";
import { endGroup } from "./group.ts";
import { boundLog, note } from "./log-file.ts";
import type { MemoryFile } from "./memory.ts";

/** Pause before a job that did not exit 0 is started again. */
const restartMilliseconds = 200;

export type JobStart = Start;

/** Work apart from who asked for it: started again after any end but exit 0; never by a later supervisor. */
export class Job {
  private readonly name: string;
  private readonly memory: MemoryFile;
  private readonly start: JobStart;
  private stopped = false;
  private over: Promise<void> = Promise.resolve();
  private process: GatedProcess | null = null;

  constructor(name: string, memory: MemoryFile, start: JobStart) {
    this.name = name;
    this.memory = memory;
    this.start = start;
  }

  /** Resolves when the first process of the job runs; `onOver` is called when the job is over. */
  async run(onOver: () => void): Promise<void> {
    try {
      await this.spawn();
    } catch (error) {
      onOver();
      throw error;
    }
    this.over = this.keep().finally(onOver);
    this.over.catch(() => {});
  }

  /** Ends it for good; returns when nothing of it is left. */
  async stop(): Promise<void> {
    this.stopped = true;
    if (this.process) await endGroup(this.process.identity, 0);
    await this.over.catch(() => {});
  }

  private async keep(): Promise<void> {
    for (;;) {
      if (this.process) {
        const { code, signal } = await this.process.ended;
        await endGroup(this.process.identity, 0);
        await this.forget();
        if (code === 0) return;
        await note(this.start.log, `ended with ${signal ?? `exit code ${code}`}; starting again`);
      }
      if (this.stopped) return;
      await pause(restartMilliseconds);
      if (this.stopped) return;
      await this.spawn().catch((error: Error) => note(this.start.log, error.message));
    }
  }

  private async spawn(): Promise<void> {
    await boundLog(this.start.log);
    this.process = await startGated(this.start, async (identity) => {
      if (this.stopped) throw new Error(`the job ${this.name} is stopped`);
      this.memory.now.processes[this.key] = { ...identity, graceSeconds: 0 };
      await this.memory.save();
    });
    // Stopped while it was starting: `stop` has not seen the process.
    if (this.stopped) await endGroup(this.process.identity, 0);
  }

  private async forget(): Promise<void> {
    this.process = null;
    delete this.memory.now.processes[this.key];
    await this.memory.save();
  }

  /** Never the name of a unit: those hold no colon. */
  private get key(): string {
    return `job:${this.name}`;
  }
}
