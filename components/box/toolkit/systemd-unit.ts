import { isAbsolute, join } from "node:path";
import { doorsFolder } from "./haproxy-config.ts";
import type { Unit } from "./host.ts";

/** The texts that systemd reads, each a pure function of plain values. */

export const unitFolder = "/etc/systemd/system";
export const bootUnit = "switchyard-boot.service";
export const toolkitCommand = "/usr/local/bin/switchyard-box";

/** Locks of singletons; root's folder, so a service can neither replace a lock nor take one away. */
export const locksFolder = "/run/switchyard";

/** What `flock` exits with when another process holds the lock. */
export const lockHeldStatus = 75;

/** A system user and the only folder of the machine that its services may write to. */
export interface ServiceUser {
  readonly name: string;
  readonly home: string;
}

/** What every process of ours may do without. JIT compilers need writable memory that is executable: no rule on that. */
export const hardening = `NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
ProtectProc=invisible
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
LockPersonality=yes
SystemCallArchitectures=native
UMask=0077`;

export function doorUnit(doorName: string): string {
  return `switchyard-door@${doorName}.service`;
}

export function jobUnit(jobName: string): string {
  return `switchyard-job-${jobName}.service`;
}

/**
 * A process of a release.
 *
 * - Its user is a real system user and not systemd's DynamicUser: two releases of a service run side by side, and with
 *   users of their own neither could read what the other has written.
 * - A singleton's process itself holds its service's lock for its life: `flock --no-fork` becomes the process (ALL-6).
 *   Who finds the lock held fails for good; waiting for it, an old release would take over when the new one crashes.
 * - A serving unit starts at boot once the boot is settled; a singleton only when it is told to.
 */
export function unitFile(unit: Unit, user: ServiceUser): string {
  const singleton = unit.kind === "singleton";
  const lock = `${locksFolder}/${unit.lock}.lock`;
  const lockWords = ["--nonblock", "--no-fork", "--conflict-exit-code", String(lockHeldStatus), lock];
  const command = programWords(unit, unit.command);
  const words = singleton ? ["/usr/bin/flock", ...lockWords, ...command] : command;
  const after = [
    "network.target",
    "postgresql.service",
    "redis-server.service",
    ...(unit.engine?.name === "docker" ? ["docker.service"] : []),
    ...(singleton ? [] : [bootUnit]),
  ];
  return `[Unit]
Description=${escaped(unit.description.replace(/\s+/g, " ").trim())}
After=${after.join(" ")}
StartLimitIntervalSec=0

[Service]
Type=exec
User=${unit.engine?.name === "podman" ? "root" : user.name}
WorkingDirectory=${escaped(unit.directory)}
EnvironmentFile=${escaped(unit.environmentFile)}
${singleton ? makeLock(lock) : ""}ExecStart=${commandLine(words)}
${unit.engine ? `ExecStopPost=${commandLine(programWords(unit, unit.engine.afterwards))}\n` : ""}Restart=always
RestartSec=500ms
${singleton ? `RestartPreventExitStatus=${lockHeldStatus}\n` : ""}KillMode=mixed
TimeoutStopSec=${unit.stopSeconds}
SyslogIdentifier=${unit.name}
MemoryAccounting=yes
${unit.engine?.name === "podman" ? "Delegate=yes\n" : confined(unit, user)}${singleton ? "" : "\n[Install]\nWantedBy=multi-user.target\n"}`;
}

/**
 * What a process may not do. A client of Docker's daemon is in the daemon's group and otherwise like any other; Podman
 * makes the containers itself, as root, with namespaces and mounts, so nothing of this can bind it.
 */
function confined({ engine }: Unit, { home }: ServiceUser): string {
  return `${engine ? "SupplementaryGroups=docker\n" : ""}ReadWritePaths=${commandLine([home])}
${hardening}
CapabilityBoundingSet=
`;
}

/** By root, in root's folder; open to be read by the service whatever its UMask is, which counts here too. */
function makeLock(lock: string): string {
  return `ExecStartPre=+/usr/bin/touch ${lock}\nExecStartPre=+/usr/bin/chmod 0644 ${lock}\n`;
}

/** One HAProxy process a door, an instance each: started, stopped and restarted without touching another door. */
export const doorTemplate = `[Unit]
Description=Switchyard front door %i
After=network.target ${bootUnit}
StartLimitIntervalSec=0

[Service]
Type=exec
User=haproxy
Group=haproxy
RuntimeDirectory=switchyard-door/%i
RuntimeDirectoryMode=0700
ExecStart=/usr/sbin/haproxy -db -f ${doorsFolder}/%i.cfg
Restart=always
RestartSec=200ms
SuccessExitStatus=143
KillMode=mixed
TimeoutStopSec=5
LimitNOFILE=32768
SyslogIdentifier=switchyard-door-%i
AmbientCapabilities=CAP_NET_BIND_SERVICE
CapabilityBoundingSet=CAP_NET_BIND_SERVICE
${hardening}

[Install]
WantedBy=multi-user.target
`;

/**
 * Settles what a reboot cut short, before any door opens and any serving unit starts. They are only ordered after it
 * and do not want it: starting a door on a running machine must not settle a cutover that is being watched.
 */
export const bootService = `[Unit]
Description=Switchyard: settle what a reboot cut short
After=local-fs.target systemd-tmpfiles-setup.service
ConditionPathExists=${toolkitCommand}

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=${toolkitCommand} boot
TimeoutStartSec=90

[Install]
WantedBy=multi-user.target
`;

/** Folders that a reboot empties. */
export function temporaryFolders(group: string): string {
  return `d ${locksFolder} 0750 root ${group} -\n`;
}

/**
 * The words of a systemd command line: quoted where a character has a meaning there, `%` and `$` doubled, so that the
 * program gets each word byte for byte. Throws at a NUL byte.
 */
export function commandLine(words: readonly string[]): string {
  return words.map(quoteWord).join(" ");
}

function quoteWord(word: string): string {
  if (word.includes("\0")) throw new Error("a command's word cannot hold a NUL byte");
  const literal = word.replaceAll("%", "%%").replaceAll("$", "$$$$");
  if (/^[A-Za-z0-9_@%+=:,./$-]+$/.test(literal)) return literal;
  const escaped = literal.replace(/["\\]/g, "\\$&").replace(
    // biome-ignore lint/suspicious/noControlCharactersInRegex: exactly these need an escape
    /[\x01-\x1f\x7f]/g,
    (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
  return `"${escaped}"`;
}

/** systemd takes an absolute path or a bare name it looks up; a path inside the build is made absolute. */
function programWords({ name, directory }: Unit, [program = "", ...words]: readonly string[]): string[] {
  if (program === "") throw new Error(`${name} has no command`);
  return [program.includes("/") && !isAbsolute(program) ? join(directory, program) : program, ...words];
}

/** A value that is the rest of its line. Throws at a character that would end the line. */
function escaped(value: string): string {
  if (/[\n\r\0]/.test(value))
    throw new Error(`${JSON.stringify(value)} cannot stand in a unit: it holds a line break`);
  return value.replaceAll("%", "%%");
}
