import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { setTimeout as pause } from "node:timers/promises";
import type { DoorTotals } from "../../gates/seen.ts";
import { removeDurably, writeDurably } from "./durable.ts";
import { adminSocket, doorConfig, doorsFolder, readDoorConfig } from "./haproxy-config.ts";
import { doorBackend, doorTotalsOf, drainDoorOf, pointDoorAt } from "./haproxy-door.ts";
import { DoorShutError } from "./haproxy-socket.ts";
import type { Backend, Door, GroundSpec, Host, Unit, UnitState } from "./host.ts";
import { portOwner, portTakenError } from "./port-owner.ts";
import { mustRun } from "./run.ts";
import {
  addUser,
  folder,
  installMachineUnits,
  installPackages,
  maskDebiansHaproxy,
  requireSystemd,
  serviceGroup,
} from "./systemd-ground.ts";
import {
  disable,
  enable,
  journalOf,
  mustSystemctl,
  readAgain,
  showUnit,
  systemctl,
} from "./systemd-manager.ts";
import { activeOf, memoryOf, processesOf, stateProperties } from "./systemd-process.ts";
import {
  doorUnit,
  jobUnit,
  lockHeldStatus,
  type ServiceUser,
  toolkitCommand,
  unitFile,
  unitFolder,
} from "./systemd-unit.ts";

/** Seconds a door's HAProxy, or one that is starting again, gets until it answers. */
const doorSeconds = 5;

/** A Linux box: systemd runs the processes, an HAProxy of its own stands before each public port. */
export class SystemdHost implements Host {
  readonly stateDirectory = "/var/lib/switchyard";
  readonly releasesDirectory = "/srv/switchyard";
  /** Not the user of the services: code that a build runs could read their secrets from /proc. */
  readonly buildUser = "switchyard-build";

  async ground({ packages, users }: GroundSpec): Promise<void> {
    await requireSystemd();
    if (packages.includes("haproxy")) await maskDebiansHaproxy();
    await installPackages(packages);
    await folder(this.stateDirectory, 0o700);
    await folder(this.releasesDirectory, 0o755);
    await folder(join(this.releasesDirectory, "home"), 0o755);
    await addUser(this.serviceUser(), null);
    for (const name of users) await addUser(this.serviceUser(name), serviceGroup);
    await addUser(this.serviceUser(this.buildUser), null);
    await installMachineUnits();
  }

  async installUnit(unit: Unit): Promise<void> {
    const path = unitPath(unit.name);
    const text = unitFile(unit, this.serviceUser(unit.user));
    if ((await readFile(path, "utf8").catch(() => null)) !== text) await writeDurably(path, text, 0o644);
    await readAgain(`${unit.name}.service`);
  }

  async startUnit(name: string): Promise<void> {
    const text = await readFile(unitPath(name), "utf8").catch(() => "");
    if (text === "")
      throw new Error(`${name} is not installed on this box (no ${unitPath(name)}): place its release`);
    if (text.includes("\n[Install]\n")) await enable(`${name}.service`);
    await mustSystemctl(["start", `${name}.service`], 60);
    if (text.includes("/usr/bin/flock ")) await requireLock(name);
  }

  async stopUnit(name: string): Promise<void> {
    const text = await readFile(unitPath(name), "utf8").catch(() => "");
    await disable(`${name}.service`);
    const seconds = Number(/^TimeoutStopSec=(\d+)$/m.exec(text)?.[1] ?? 90) + 15;
    const stopped = await systemctl(["stop", `${name}.service`], seconds);
    const state = await showUnit(`${name}.service`, ["ActiveState", "ControlGroup"]);
    const left = await processesOf(state.ControlGroup ?? "");
    if (left.length > 0 || !["inactive", "failed"].includes(state.ActiveState ?? "")) {
      throw new Error(
        `${name} is still ${state.ActiveState} after ${seconds} s, with the processes ${left.join(", ") || "none"}: ` +
          `${stopped.stderr.trim()}`,
      );
    }
    if (state.ActiveState === "failed") await systemctl(["reset-failed", `${name}.service`]);
  }

  async unitState(name: string): Promise<UnitState> {
    const properties = await showUnit(`${name}.service`, stateProperties);
    const active = activeOf(properties);
    const gone = active === "gone" || active === "failed";
    return {
      active,
      restarts: Number(properties.NRestarts ?? 0) || 0,
      memoryBytes: gone ? 0 : await memoryOf(properties),
    };
  }

  async removeUnit(name: string): Promise<void> {
    await this.stopUnit(name);
    await removeDurably(unitPath(name));
    const { LoadState } = await showUnit(`${name}.service`, ["LoadState"]);
    if (LoadState !== "not-found") await mustSystemctl(["daemon-reload"], 60);
  }

  journal(name: string, lines: number): Promise<string[]> {
    return journalOf(`${name}.service`, lines);
  }

  async openDoor(door: Door): Promise<void> {
    if (await this.isOpen(door)) return;
    const owner = await portOwner(door.port);
    if (owner) throw portTakenError(door.name, door.port, owner);
    if (!(await this.readDoor(door.name))) await this.writeDoor(door, null);
    await enable(doorUnit(door.name));
    await mustSystemctl(["start", doorUnit(door.name)], 30);
    try {
      await whileStarting(() => doorBackend(adminSocket(door.name)));
    } catch (error) {
      const journal = (await journalOf(doorUnit(door.name), 5)).join("\n");
      throw new Error(`the door ${door.name} did not open: ${(error as Error).message}\n${journal}`);
    }
  }

  async closeDoor(door: Door): Promise<void> {
    await disable(doorUnit(door.name));
    await mustSystemctl(["stop", doorUnit(door.name)], 30);
    await systemctl(["reset-failed", doorUnit(door.name)]);
    await removeDurably(doorPath(door.name));
  }

  async doorServes(door: Door): Promise<Backend | null> {
    if (!(await this.readDoor(door.name))) return null;
    return doorBackend(adminSocket(door.name));
  }

  async doorTotals(door: Door): Promise<DoorTotals | null> {
    return doorTotalsOf(adminSocket(door.name)).catch(() => null);
  }

  async pointDoor(door: Door, backend: Backend | null): Promise<void> {
    if (await this.readDoor(door.name))
      return whileStarting(() => pointDoorAt(adminSocket(door.name), backend));
    if (backend)
      throw new Error(
        `the door ${door.name} is not open on this box, so it cannot serve ${backend.fingerprint}`,
      );
  }

  async drainDoor(door: Door, seconds: number): Promise<void> {
    if (await this.readDoor(door.name))
      await whileStarting(() => drainDoorOf(adminSocket(door.name), seconds));
  }

  async rememberDoor(door: Door, backend: Backend | null): Promise<void> {
    if (backend || (await this.readDoor(door.name))) await this.writeDoor(door, backend);
  }

  async doors(): Promise<Door[]> {
    const files = await readdir(doorsFolder).catch(() => []);
    const names = files.filter((file) => file.endsWith(".cfg")).map((file) => file.slice(0, -".cfg".length));
    const read = await Promise.all(names.sort().map((name) => this.readDoor(name)));
    return read.flatMap((known) => (known ? [known.door] : []));
  }

  async launch(name: string, argv: readonly string[]): Promise<void> {
    await mustRun(
      [
        ...["systemd-run", "--quiet", "--collect", "--no-ask-password", `--unit=${jobUnit(name)}`],
        ...["--service-type=exec", "--property=KillMode=control-group"],
        // Everything but exit 0 starts it again, also the signals that systemd takes for a clean end.
        ...["--property=Restart=always", "--property=RestartPreventExitStatus=0"],
        ...["--property=RestartSec=200ms", "--property=StartLimitIntervalSec=0"],
        ...["--", toolkitCommand, ...argv],
      ],
      { seconds: 30, env: { LC_ALL: "C.UTF-8" } },
    ).catch(async (error: Error) => {
      if (await this.launched(name)) throw new Error(`the job ${name} runs already on this box`);
      throw error;
    });
  }

  async launched(name: string): Promise<boolean> {
    const active = activeOf(await showUnit(jobUnit(name), ["ActiveState"]));
    return active !== "gone" && active !== "failed";
  }

  async bootId(): Promise<string> {
    return (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim();
  }

  private serviceUser(name = serviceGroup): ServiceUser {
    return { name, home: join(this.releasesDirectory, "home", name) };
  }

  private async isOpen({ name, port }: Door): Promise<boolean> {
    const known = await this.readDoor(name);
    if (known?.door.port !== port) return false;
    try {
      await doorBackend(adminSocket(name));
      return true;
    } catch (error) {
      if (error instanceof DoorShutError) return false;
      throw error;
    }
  }

  private async readDoor(name: string): Promise<ReturnType<typeof readDoorConfig> | null> {
    const text = await readFile(doorPath(name), "utf8").catch(() => null);
    return text === null ? null : readDoorConfig(text);
  }

  private async writeDoor(door: Door, remembered: Backend | null): Promise<void> {
    const ipv6 = await stat("/proc/net/if_inet6").then(
      () => true,
      () => false,
    );
    const text = doorConfig(door, remembered, { ipv6 });
    const known = await readFile(doorPath(door.name), "utf8").catch(() => null);
    if (known !== text) await writeDurably(doorPath(door.name), text, 0o644);
  }
}

function unitPath(name: string): string {
  return `${unitFolder}/${name}.service`;
}

function doorPath(name: string): string {
  return `${doorsFolder}/${name}.cfg`;
}

/** A door that has just been started, or is starting again after it died, does not answer yet. */
async function whileStarting<T>(ask: () => Promise<T>): Promise<T> {
  const deadline = performance.now() + doorSeconds * 1000;
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof DoorShutError) || performance.now() > deadline) throw error;
      await pause(20);
    }
  }
}

/** Waits until `flock` has become the singleton's process, or has given up because another one holds the lock. */
async function requireLock(name: string): Promise<void> {
  const deadline = performance.now() + 5000;
  for (;;) {
    const state = await showUnit(`${name}.service`, ["ActiveState", "MainPID", "ExecMainStatus"]);
    if (state.ActiveState === "failed" && Number(state.ExecMainStatus) === lockHeldStatus) {
      throw new Error(
        `${name} was not started: another process holds its service's lock, so it would run twice`,
      );
    }
    const program = await readFile(`/proc/${state.MainPID}/comm`, "utf8").catch(() => "");
    if (program.trim() !== "flock" || performance.now() > deadline) return;
    await pause(10);
  }
}
