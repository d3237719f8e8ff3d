import { chmod, chown, mkdir, readFile } from "node:fs/promises";
import { performance } from "node:perf_hooks";
import { setTimeout as pause } from "node:timers/promises";
import { writeDurably } from "./durable.ts";
import { doorsFolder } from "./haproxy-config.ts";
import { mustRun, type RunResult, run } from "./run.ts";
import { enable, mustSystemctl, showUnit } from "./systemd-manager.ts";
import {
  bootService,
  bootUnit,
  doorTemplate,
  locksFolder,
  type ServiceUser,
  temporaryFolders,
  unitFolder,
} from "./systemd-unit.ts";

/** Prepares a Debian machine (ALL-7): each step looks first and changes only what is missing. */

/** How long another apt or dpkg, unattended-upgrades for one, may hold its lock. */
const lockSeconds = 300;
const installSeconds = 900;

/** Installs what is missing of the packages. */
export async function installPackages(packages: readonly string[]): Promise<void> {
  const missing = await missingPackages(packages);
  if (missing.length === 0) return;
  await patiently(["dpkg", "--configure", "-a"]);
  await patiently([...aptGet, "update"]);
  const installed = await patiently([...aptGet, "install", "--yes", "--no-install-recommends", ...missing]);
  if (installed.code === 0) return;
  const printed = `${installed.stdout}\n${installed.stderr}`.trim().split("\n").slice(-15).join("\n");
  throw new Error(`apt-get install ${missing.join(" ")} exited ${installed.code}:\n${printed}`);
}

const aptGet = [
  ...["apt-get", "--quiet=2", "-o", `DPkg::Lock::Timeout=${lockSeconds}`],
  ...["-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold"],
];

async function missingPackages(packages: readonly string[]): Promise<string[]> {
  if (packages.length === 0) return [];
  const { stdout } = await run(
    ["dpkg-query", "--show", "--showformat=${db:Status-Status} ${Package}\\n", ...packages],
    {
      seconds: 30,
    },
  );
  const installed = new Set(stdout.split("\n").filter((line) => line.startsWith("installed ")));
  return packages.filter((name) => !installed.has(`installed ${name}`));
}

/** apt waits for dpkg's lock but not for that of its lists; either way the holder ends within minutes. */
async function patiently(command: readonly string[]): Promise<RunResult> {
  const deadline = performance.now() + lockSeconds * 1000;
  for (;;) {
    const result = await run(command, {
      seconds: installSeconds,
      env: { DEBIAN_FRONTEND: "noninteractive", NEEDRESTART_MODE: "a", LC_ALL: "C.UTF-8" },
    });
    const locked = /could not get lock|unable to (acquire|lock)|is locked by another process/i.test(
      result.stderr,
    );
    if (result.code === 0 || !locked || performance.now() > deadline) return result;
    await pause(2000);
  }
}

/**
 * Debian starts an HAProxy of its own on installation; the doors are processes of ours. A machine where somebody has
 * configured that HAProxy keeps it.
 */
export async function maskDebiansHaproxy(): Promise<void> {
  const { LoadState } = await showUnit("haproxy.service", ["LoadState"]);
  if (LoadState === "masked") return;
  const config = await readFile("/etc/haproxy/haproxy.cfg", "utf8").catch(() => "");
  if (/^\s*(frontend|listen)\b/m.test(config)) return;
  await mustSystemctl(["mask", "--now", "--quiet", "haproxy.service"], 60);
}

/** A group whose members may take locks: every service's user is in it. */
export const serviceGroup = "switchyard";

export async function addUser({ name, home }: ServiceUser, group: string | null): Promise<void> {
  if ((await run(["getent", "passwd", name], { seconds: 10 })).code !== 0) {
    const groups = group === null || group === name ? [] : ["--groups", group];
    const shell = ["--shell", "/usr/sbin/nologin"];
    await mustRun(
      [
        "useradd",
        "--system",
        "--user-group",
        ...groups,
        "--home-dir",
        home,
        "--no-create-home",
        ...shell,
        name,
      ],
      { seconds: 30 },
    );
  }
  const [uid, gid] = await idsOf(name);
  await folder(home, 0o750);
  await chown(home, uid, gid);
}

async function idsOf(user: string): Promise<[uid: number, gid: number]> {
  const [, , uid, gid] = (await mustRun(["getent", "passwd", user], { seconds: 10 })).split(":");
  return [Number(uid), Number(gid)];
}

/** The folder, with exactly this mode whatever the umask. */
export async function folder(path: string, mode: number): Promise<void> {
  await mkdir(path, { recursive: true });
  await chmod(path, mode);
}

/** The units of the machine itself: the doors' template and the settling at boot. */
export async function installMachineUnits(): Promise<void> {
  await folder("/etc/switchyard", 0o755);
  await folder(doorsFolder, 0o755);
  await writeChanged(`/etc/tmpfiles.d/switchyard.conf`, temporaryFolders(serviceGroup));
  await mustRun(["systemd-tmpfiles", "--create", "/etc/tmpfiles.d/switchyard.conf"], { seconds: 30 });
  await writeChanged(`${unitFolder}/switchyard-door@.service`, doorTemplate);
  await writeChanged(`${unitFolder}/${bootUnit}`, bootService);
  await mustSystemctl(["daemon-reload"], 60);
  await enable(bootUnit);
}

export async function writeChanged(path: string, text: string): Promise<void> {
  if ((await readFile(path, "utf8").catch(() => null)) !== text) await writeDurably(path, text, 0o644);
}

/** A machine without these is none this host can work on. */
export async function requireSystemd(): Promise<void> {
  if ((await run(["test", "-d", "/run/systemd/system"], { seconds: 5 })).code === 0) return;
  throw new Error(
    `this machine is not run by systemd (no /run/systemd/system), so ${locksFolder} and units cannot be had here; ` +
      "development's local box is chosen by SWITCHYARD_BOX_ROOT",
  );
}
