import { readFile } from "node:fs/promises";
import { removeDurably, writeDurably } from "./durable.ts";
import { folder } from "./systemd-ground.ts";
import { mustSystemctl, showUnit } from "./systemd-manager.ts";
import { commandLine, hardening, toolkitCommand, unitFolder } from "./systemd-unit.ts";

/** Verbs of the toolkit that run by the clock: a systemd timer and its service each. */

export interface TimedVerb {
  /** Name of both units, without their ending. */
  readonly name: string;
  readonly description: string;
  /** The verb and its words; no secret is among them. */
  readonly verb: readonly string[];
  /** systemd's OnCalendar, in the machine's own time zone unless it names one. */
  readonly calendar: string;
  /** Folders that the verb writes to; missing ones do not matter. */
  readonly writes: readonly string[];
  /** After which it is ended. */
  readonly seconds: number;
}

/** A run that the machine slept through is made up for at the next boot. */
export function timerFile({ name, description, calendar }: TimedVerb): string {
  return `[Unit]
Description=${description}

[Timer]
OnCalendar=${calendar}
AccuracySec=1min
Persistent=yes
Unit=${name}.service

[Install]
WantedBy=timers.target
`;
}

/** Root, because it reads what only root may; everything else that root may do is taken away. */
export function timedServiceFile({ description, verb, writes, seconds }: TimedVerb): string {
  const paths = writes.map((path) => `-${path}`);
  return `[Unit]
Description=${description}
After=network-online.target postgresql.service
Wants=network-online.target
ConditionPathExists=${toolkitCommand}

[Service]
Type=oneshot
ExecStart=${commandLine([toolkitCommand, ...verb])}
TimeoutStartSec=${seconds}
KillMode=control-group
Nice=10
IOSchedulingClass=idle
ReadWritePaths=${commandLine(paths)}
CapabilityBoundingSet=
${hardening}
`;
}

/** Installs the units and starts the timer; changes nothing where they are as they should be. */
export async function installTimer(timed: TimedVerb): Promise<void> {
  const service = await replace(`${unitFolder}/${timed.name}.service`, timedServiceFile(timed));
  const timer = await replace(`${unitFolder}/${timed.name}.timer`, timerFile(timed));
  if (service || timer) await mustSystemctl(["daemon-reload"], 60);
  await mustSystemctl(["enable", "--now", "--quiet", `${timed.name}.timer`], 60);
  // A running timer keeps the time that it has worked out until it is started again.
  if (timer) await mustSystemctl(["restart", `${timed.name}.timer`], 60);
}

/** Ends the timer and what it may be running at this moment. */
export async function removeTimer(name: string): Promise<void> {
  const { LoadState } = await showUnit(`${name}.timer`, ["LoadState"]);
  if (LoadState !== "not-found") {
    await mustSystemctl(["disable", "--now", "--quiet", `${name}.timer`], 60);
    await mustSystemctl(["stop", `${name}.service`], 120);
  }
  await removeDurably(`${unitFolder}/${name}.timer`);
  await removeDurably(`${unitFolder}/${name}.service`);
  if (LoadState !== "not-found") await mustSystemctl(["daemon-reload"], 60);
}

const journalFolder = "/etc/systemd/journald.conf.d";

/**
 * The journal deletes whole files. By itself it lets one grow for a month, and would then delete what is a day old
 * together with what is a month old: a file a day, kept a day longer, keeps every line for the days asked for.
 */
export function journalRetention(days: number): string {
  return `[Journal]
Storage=persistent
MaxFileSec=1day
MaxRetentionSec=${days + 1}day
`;
}

export async function keepJournal(days: number): Promise<void> {
  await folder(journalFolder, 0o755);
  const changed = await replace(`${journalFolder}/switchyard.conf`, journalRetention(days));
  if (changed) await mustSystemctl(["restart", "systemd-journald.service"], 60);
}

async function replace(path: string, text: string): Promise<boolean> {
  if ((await readFile(path, "utf8").catch(() => null)) === text) return false;
  await writeDurably(path, text, 0o644);
  return true;
}
