import { mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { DoorTotals } from "../../gates/seen.ts";
import {
  callSupervisor,
  NoSupervisorError,
  settleSeconds,
  startSupervisor,
  stopSupervisor,
} from "../supervisor/client.ts";
import { codeHash } from "../supervisor/code-hash.ts";
import type { Operation } from "../supervisor/control.ts";
import type { SupervisorStatus } from "../supervisor/supervisor.ts";
import type { Backend, Door, GroundSpec, Host, Unit, UnitState } from "./host.ts";

export { stopSupervisor };

export interface LocalHostOptions {
  /** Folder that holds all of the local box; made where it is missing. */
  readonly root: string;
  /** Words that run switchyard-box, for jobs and for settling what was cut short. */
  readonly toolkit: readonly string[];
}

/**
 * The machine of development, without root: a supervisor of ours runs the processes and the front doors. It is started
 * by the first call, and outlives it.
 */
export class LocalHost implements Host {
  readonly stateDirectory: string;
  readonly releasesDirectory: string;
  readonly buildUser = null;
  private readonly root: string;
  private readonly toolkit: readonly string[];

  constructor({ root, toolkit }: LocalHostOptions) {
    this.root = resolve(root);
    this.toolkit = toolkit;
    this.stateDirectory = join(this.root, "state");
    this.releasesDirectory = this.root;
  }

  /** Packages and users are the person's own here. */
  async ground(_spec: GroundSpec): Promise<void> {
    await mkdir(this.root, { recursive: true, mode: 0o700 });
    await mkdir(this.stateDirectory, { recursive: true, mode: 0o700 });
    await startSupervisor(this.root, this.toolkit);
  }

  async installUnit(unit: Unit): Promise<void> {
    if (unit.engine) {
      throw new Error(
        `${unit.name} is a compose project, which needs a Linux box with systemd; the local box runs the service ` +
          "itself: take its image out of the release",
      );
    }
    await this.call("installUnit", [unit]);
  }

  async startUnit(name: string): Promise<void> {
    await this.call("startUnit", [name]);
  }

  async stopUnit(name: string): Promise<void> {
    await this.call("stopUnit", [name], await this.stopLimit(name));
  }

  async unitState(name: string): Promise<UnitState> {
    return (await this.call("unitState", [name])) as UnitState;
  }

  async removeUnit(name: string): Promise<void> {
    await this.call("removeUnit", [name], await this.stopLimit(name));
  }

  async journal(name: string, lines: number): Promise<string[]> {
    return (await this.call("journal", [name, lines])) as string[];
  }

  async openDoor(door: Door): Promise<void> {
    await this.call("openDoor", [door], 30);
  }

  async closeDoor(door: Door): Promise<void> {
    await this.call("closeDoor", [door]);
  }

  async doorServes(door: Door): Promise<Backend | null> {
    return (await this.call("doorServes", [door])) as Backend | null;
  }

  async doorTotals(door: Door): Promise<DoorTotals | null> {
    return (await this.call("doorTotals", [door])) as DoorTotals | null;
  }

  async pointDoor(door: Door, backend: Backend | null): Promise<void> {
    await this.call("pointDoor", [door, backend]);
  }

  async drainDoor(door: Door, seconds: number): Promise<void> {
    await this.call("drainDoor", [door, seconds], seconds + 10);
  }

  async rememberDoor(door: Door, backend: Backend | null): Promise<void> {
    await this.call("rememberDoor", [door, backend]);
  }

  async doors(): Promise<Door[]> {
    return (await this.call("doors", [])) as Door[];
  }

  async launch(name: string, argv: readonly string[]): Promise<void> {
    await this.call("launch", [name, argv, ownSettings()]);
  }

  async launched(name: string): Promise<boolean> {
    return (await this.call("launched", [name])) as boolean;
  }

  /** The supervisor's start: after it nothing of before runs, as after a boot of a real box. */
  async bootId(): Promise<string> {
    return (await this.call("bootId", [])) as string;
  }

  private async stopLimit(name: string): Promise<number> {
    return ((await this.call("stopSeconds", [name])) as number) + 20;
  }

  private async call(operation: Operation, values: readonly unknown[], seconds = 10): Promise<unknown> {
    const limit = seconds + settleSeconds;
    try {
      return await callSupervisor(this.root, operation, values, limit);
    } catch (error) {
      if (!(error instanceof NoSupervisorError)) throw error;
    }
    await startSupervisor(this.root, this.toolkit);
    return callSupervisor(this.root, operation, values, limit);
  }
}

/** What the supervisor of a local box is doing; null where none runs. */
export async function supervisorStatus(
  root: string,
): Promise<(SupervisorStatus & { outdated: boolean }) | null> {
  try {
    const status = (await callSupervisor(resolve(root), "status", [], 10)) as SupervisorStatus;
    return { ...status, outdated: status.code !== (await codeHash()) };
  } catch (error) {
    if (error instanceof NoSupervisorError) return null;
    throw error;
  }
}

/** Settings of this program that a job is to have too; the right to be answered at boot is the boot's alone. */
function ownSettings(): Record<string, string> {
  const own = Object.entries(process.env).filter(
    ([name]) => name.startsWith("SWITCHYARD_") && name !== "SWITCHYARD_BOOT_TOKEN",
  );
  return Object.fromEntries(own.flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])));
}
