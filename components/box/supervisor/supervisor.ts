import { randomUUID } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { Backend, Door, UnitState } from "../toolkit/host.ts";
import { codeHash } from "./code-hash.ts";
import { Doors } from "./doors.ts";
import { inheritedEnvironment } from "./environment.ts";
import { type GatedProcess, startGated } from "./gated-process.ts";
import { endGroup } from "./group.ts";
import { Job, type JobStart } from "./job.ts";
import { boundLog, note } from "./log-file.ts";
import { machineBoot } from "./machine-boot.ts";
import { MemoryFile, recall } from "./memory.ts";
import type { Places } from "./places.ts";
import { Units } from "./units.ts";

/** How long `switchyard-box boot` may take before the doors open on what is remembered anyway. */
const bootSeconds = 90;
const boundLogsMilliseconds = 5000;

export interface SupervisorStatus {
  readonly pid: number;
  readonly since: string;
  /** Hash of the code this supervisor was started with. */
  readonly code: string;
  /** False while it ends what a killed one has left and settles what that cut short. */
  readonly settled: boolean;
  readonly units: Readonly<Record<string, UnitState>>;
  readonly doors: readonly { readonly door: Door; readonly serves: Backend | null }[];
  readonly jobs: readonly string[];
}

/** Stands in for systemd and HAProxy on a machine of development: one a state directory. */
export class Supervisor {
  readonly units: Units;
  readonly doors: Doors;
  /** What it calls its own start: the machine of development boots with its supervisor. */
  readonly bootId = randomUUID();
  /** The boot's verb shows it, and is answered while everybody else waits. */
  readonly bootToken = randomUUID();
  readonly settled: Promise<void>;
  private readonly root: string;
  private readonly places: Places;
  private readonly toolkit: readonly string[];
  private readonly memory: MemoryFile;
  private readonly since = new Date().toISOString();
  private readonly jobs = new Map<string, Job>();
  private readonly bounding: NodeJS.Timeout;
  private isSettled = false;
  private isStopping = false;
  private booting: GatedProcess | null = null;

  static async begin(root: string, places: Places, toolkit: readonly string[]): Promise<Supervisor> {
    await mkdir(places.logs, { recursive: true, mode: 0o700 });
    return new Supervisor(root, places, toolkit, new MemoryFile(places.memory, await recall(places.memory)));
  }

  private constructor(root: string, places: Places, toolkit: readonly string[], memory: MemoryFile) {
    this.root = root;
    this.places = places;
    this.toolkit = toolkit;
    this.memory = memory;
    this.units = new Units(memory, places.logs);
    this.doors = new Doors(memory, places.log);
    this.bounding = setInterval(() => void this.boundLogs().catch(() => {}), boundLogsMilliseconds).unref();
    this.settled = this.settle();
    // Whoever calls is told; that nobody has called yet is no reason to end.
    this.settled.catch(() => {});
  }

  async launch(name: string, argv: readonly string[], environment: Record<string, string>): Promise<void> {
    if (this.jobs.has(name)) throw new Error(`the job ${name} runs already on this box`);
    const job = new Job(name, this.memory, this.toolkitStart(`job-${name}`, argv, environment));
    this.jobs.set(name, job);
    await job.run(() => this.jobs.delete(name));
  }

  launched(name: string): boolean {
    return this.jobs.has(name);
  }

  async status(): Promise<SupervisorStatus> {
    return {
      pid: process.pid,
      since: this.since,
      code: await codeHash(),
      settled: this.isSettled,
      units: await this.units.states(),
      doors: this.doors.states(),
      jobs: [...this.jobs.keys()],
    };
  }

  /** Ends everything that runs; what should run is remembered, for the next supervisor. */
  async stop(): Promise<void> {
    this.isStopping = true;
    clearInterval(this.bounding);
    if (this.booting) await endGroup(this.booting.identity, 0);
    await this.settled.catch(() => {});
    await Promise.all([...this.jobs.values()].map((job) => job.stop()));
    await this.doors.closeAll();
    await this.units.endAll();
  }

  /** The folder is gone: nothing is written to it any more. */
  forget(): void {
    this.memory.discard();
  }

  /**
   * What a boot is on a real box: nothing of before runs on, a cutover that was cut short is settled, and only then
   * serving processes start and doors open. On a machine where nothing was ever placed there is nothing to settle.
   */
  private async settle(): Promise<void> {
    await this.endOrphans();
    const { units, doors } = this.memory.now;
    if (Object.keys(units).length > 0 || Object.keys(doors).length > 0) await this.runBoot();
    await this.units.startWanted(() => this.isStopping);
    await this.doors.reopen(() => this.isStopping);
    this.isSettled = true;
  }

  private async endOrphans(): Promise<void> {
    const { now } = this.memory;
    const boot = await machineBoot();
    if (now.boot === boot) await endProcesses(Object.values(now.processes));
    now.boot = boot;
    now.processes = {};
    await this.memory.save();
  }

  private async runBoot(): Promise<void> {
    const start = this.toolkitStart("boot", ["boot"], { SWITCHYARD_BOOT_TOKEN: this.bootToken });
    let end: Awaited<GatedProcess["ended"]> | "late";
    try {
      this.booting = await startGated(start, async (identity) => {
        this.memory.now.processes.boot = { ...identity, graceSeconds: 0 };
        await this.memory.save();
      });
      end = await Promise.race([
        this.booting.ended,
        pause(bootSeconds * 1000, "late" as const, { ref: false }),
      ]);
      await endGroup(this.booting.identity, 0);
    } finally {
      this.booting = null;
      delete this.memory.now.processes.boot;
      await this.memory.save();
    }
    if (end !== "late" && end.code === 0) return;
    const how =
      end === "late"
        ? `did not end within ${bootSeconds} s`
        : `ended with ${end.signal ?? `exit code ${end.code}`}`;
    await note(
      this.places.log,
      `\`switchyard-box boot\` ${how} (${start.log}); doors open on what is confirmed`,
    );
  }

  private toolkitStart(name: string, argv: readonly string[], environment: Record<string, string>): JobStart {
    return {
      command: [...this.toolkit, ...argv],
      directory: "/",
      environment: {
        ...inheritedEnvironment(),
        ...compiledOnce(),
        ...environment,
        SWITCHYARD_BOX_ROOT: this.root,
      },
      log: this.logOf(name),
    };
  }

  private async boundLogs(): Promise<void> {
    await this.units.boundLogs();
    for (const name of this.jobs.keys()) await boundLog(this.logOf(`job-${name}`));
  }

  private logOf(name: string): string {
    return join(this.places.logs, `${name}.log`);
  }
}

/** Ends processes that another supervisor had started, each in its own time. */
export async function endProcesses(
  processes: readonly { readonly pid: number; readonly started: string; readonly graceSeconds: number }[],
): Promise<void> {
  await Promise.all(processes.map((one) => endGroup(one, one.graceSeconds)));
}

/** Jobs are the program itself: compiled once, each start takes half the time. */
function compiledOnce(): Record<string, string> {
  const folder = process.env.NODE_COMPILE_CACHE;
  return folder === undefined ? {} : { NODE_COMPILE_CACHE: folder };
}
