import { mkdir } from "node:fs/promises";
import { isAbsolute, join } from "node:path";
import { text } from "node:stream/consumers";
import type { Backup } from "../backup.ts";
import { removeDurably } from "../durable.ts";
import { exclusively } from "../exclusive.ts";
import type { Host } from "../host.ts";
import { installPackages } from "../systemd-ground.ts";
import { SystemdHost } from "../systemd-host.ts";
import { installTimer, keepJournal, removeTimer, type TimedVerb } from "../systemd-timer.ts";
import { commitConfiguration } from "../vault-configuration.ts";
import { backUp, keepDump, type Occasion } from "../vault-dump.ts";
import { currentRepository } from "../vault-repository.ts";
import { checkAll, listBackups, restore, verify } from "../vault-restore.ts";
import {
  type KnownSettings,
  readSettings,
  requireSettings,
  type VaultFolder,
  type VaultSettings,
  vaultFolder,
  writeSettings,
} from "../vault-settings.ts";
import { MissingProgram } from "../vault-stream.ts";

/** The vault's verbs of a machine (CHR-5, CHR-11). Each is safe to repeat and to be killed at any line. */

type VaultVerb = (host: Host, system: string, word: string) => Promise<unknown>;

export const vaultVerbs: Readonly<Record<string, VaultVerb>> = {
  "vault-prepare": async (host, system) => prepare(host, system, await input<VaultSettings>()),
  "vault-backup": (host, system, reason) =>
    writing(host, system, (folder, settings) =>
      backUp(folder, settings, { reason: reason === "timer" ? "timer" : "person" }),
    ),
  "vault-configuration": (host, system) =>
    writing(host, system, (folder, settings) => commitConfiguration(folder, host.stateDirectory, settings)),
  "vault-list": (host, system) => reading(host, system, listBackups),
  "vault-verify": (host, system, id) =>
    restoring(host, system, (folder, settings) => verify(folder, settings, id)),
  "vault-check": (host, system) => reading(host, system, checkAll),
  "vault-restore": async (host, system, wanted) => {
    const into = await input<{ database?: string; url?: string }>();
    return restoring(host, system, (folder, settings) => restore(folder, settings, wanted, into));
  },
  "vault-forget": forget,
};

/**
 * Puts a dump that an update has made into the system's vault; null where the machine has none. A failure is the
 * update's: nothing is migrated that is not safe.
 */
export async function keepInVault(
  host: Host,
  system: string,
  backup: Backup,
  occasion: Occasion,
): Promise<{ id: string; repository: string } | null> {
  if ((await readSettings(vaultFolder(host.stateDirectory, system))) === null) return null;
  return writing(host, system, async (folder, settings) => {
    const { id, repository } = await keepDump(folder, settings, backup, occasion);
    return { id, repository };
  });
}

/** Packages, settings, the current repository, timers and the journal's length; no repository is ever made twice. */
async function prepare(host: Host, system: string, settings: VaultSettings) {
  const folder = vaultFolder(host.stateDirectory, system);
  await mkdir(folder.path, { recursive: true, mode: 0o700 });
  const real = host instanceof SystemdHost;
  if (real && settings.target.kind === "folder" && !isAbsolute(settings.target.path)) {
    throw new Error(`vault:folder is ${settings.target.path}, expected an absolute path on a real box`);
  }
  if (real) await installPackages(["restic", "git", "openssh-client", "postgresql-client"]);
  return exclusively(host, lockOf(system), async () => {
    await writeSettings(folder, settings);
    const repository = await openRepository(folder, settings);
    const timers = real ? await setTimers(host, settings) : [];
    return { repository, timers };
  });
}

/** In development a machine without restic is one without backups, as long as there is nothing to back up. */
async function openRepository(folder: VaultFolder, settings: VaultSettings): Promise<string | null> {
  try {
    return await currentRepository(folder, settings, new Date());
  } catch (error) {
    if (!(error instanceof MissingProgram) || settings.database) throw error;
    return null;
  }
}

async function setTimers(host: Host, settings: VaultSettings): Promise<string[]> {
  const { database, configuration, logDays } = settings;
  const wanted = timersOf(settings, host.stateDirectory);
  const kept = [...(database ? [wanted.database] : []), ...(configuration ? [wanted.configuration] : [])];
  for (const timer of kept) await installTimer(timer);
  if (!database) await removeTimer(wanted.database.name);
  if (!configuration) await removeTimer(wanted.configuration.name);
  await keepJournal(logDays);
  return kept.map(({ name }) => `${name}.timer`);
}

const longestBackup = 4 * 3600;

/** When what is done (CHR-11): the database every six hours, the configuration every day. */
export function timersOf(
  { system, target }: Pick<VaultSettings, "system" | "target">,
  stateDirectory: string,
) {
  const writes = [stateDirectory, ...(target.kind === "folder" ? [target.path] : [])];
  const name = `switchyard-vault-${system}`;
  const database: TimedVerb = {
    name: `${name}-database`,
    description: `Switchyard: database of ${system} into the vault`,
    verb: ["vault-backup", system, "timer"],
    calendar: "*-*-* 00/6:10:00",
    writes,
    seconds: longestBackup,
  };
  const configuration: TimedVerb = {
    name: `${name}-configuration`,
    description: `Switchyard: configuration of ${system} into git`,
    verb: ["vault-configuration", system],
    calendar: "*-*-* 03:40:00",
    writes,
    seconds: 1800,
  };
  return { database, configuration };
}

/** Ends the timers and takes the keys off the machine. What was backed up stays where it is. */
async function forget(host: Host, system: string): Promise<void> {
  const folder = vaultFolder(host.stateDirectory, system);
  const settings = await readSettings(folder);
  if (settings && host instanceof SystemdHost) {
    const { database, configuration } = timersOf(settings, host.stateDirectory);
    await removeTimer(database.name);
    await removeTimer(configuration.name);
  }
  for (const name of ["settings.json", "password", "configuration", "configuration.key", "cache"]) {
    await removeDurably(join(folder.path, name));
  }
}

type Work<T> = (folder: VaultFolder, settings: KnownSettings) => Promise<T>;

/** Writes one at a time: a backup by the timer and one before a migration, or two updates. */
async function writing<T>(host: Host, system: string, work: Work<T>): Promise<T> {
  await requireSettings(vaultFolder(host.stateDirectory, system), system);
  return exclusively(host, lockOf(system), () => reading(host, system, work));
}

/** One at a time, because each drops what an earlier one has left; a backup need not wait for it. */
async function restoring<T>(host: Host, system: string, work: Work<T>): Promise<T> {
  await requireSettings(vaultFolder(host.stateDirectory, system), system);
  return exclusively(host, `${lockOf(system)}-restore`, () => reading(host, system, work));
}

async function reading<T>(host: Host, system: string, work: Work<T>): Promise<T> {
  const folder = vaultFolder(host.stateDirectory, system);
  return work(folder, await requireSettings(folder, system));
}

function lockOf(system: string): string {
  return `vault-${system}`;
}

async function input<T>(): Promise<T> {
  const given = process.stdin.isTTY ? "" : await text(process.stdin);
  return JSON.parse(given.trim() || "{}") as T;
}
