import { describe, expect, it } from "vitest";
import type { Unit } from "../../components/box/toolkit/host.ts";
import { parseSs } from "../../components/box/toolkit/port-owner.ts";
import { parseProperties } from "../../components/box/toolkit/systemd-manager.ts";
import { activeOf } from "../../components/box/toolkit/systemd-process.ts";
import {
  bootService,
  commandLine,
  doorTemplate,
  unitFile,
} from "../../components/box/toolkit/systemd-unit.ts";

/** The texts that systemd reads. What it does with them: test/box/hosts.test.ts. */

const unit: Unit = {
  name: "chrono-api-7c1f2a9b0c1d",
  description: "chrono api v2 (green), 100%\nready",
  kind: "serving",
  lock: "chrono-api",
  command: ["bun", "run", "server.ts"],
  directory: "/srv/switchyard/builds/chrono-1",
  environmentFile: "/srv/switchyard/releases/chrono-7c1f2a9b0c1d/api.env",
  stopSeconds: 20,
};
const user = { name: "switchyard", home: "/srv/switchyard/home/switchyard" };
const hardening = `NoNewPrivileges=yes
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

describe("a unit's file", () => {
  it("of a serving process", () => {
    expect(unitFile(unit, user)).toBe(`[Unit]
Description=chrono api v2 (green), 100%% ready
After=network.target postgresql.service redis-server.service switchyard-boot.service
StartLimitIntervalSec=0

[Service]
Type=exec
User=switchyard
WorkingDirectory=/srv/switchyard/builds/chrono-1
EnvironmentFile=/srv/switchyard/releases/chrono-7c1f2a9b0c1d/api.env
ExecStart=bun run server.ts
Restart=always
RestartSec=500ms
KillMode=mixed
TimeoutStopSec=20
SyslogIdentifier=chrono-api-7c1f2a9b0c1d
MemoryAccounting=yes
ReadWritePaths=/srv/switchyard/home/switchyard
${hardening}
CapabilityBoundingSet=

[Install]
WantedBy=multi-user.target
`);
  });

  it("of a singleton, whose process holds its service's lock and which no boot starts", () => {
    const oracle: Unit = {
      ...unit,
      kind: "singleton",
      lock: "chrono-oracle",
      command: ["./bin/oracle", "--rate=5%"],
    };
    expect(unitFile(oracle, user)).toBe(`[Unit]
Description=chrono api v2 (green), 100%% ready
After=network.target postgresql.service redis-server.service
StartLimitIntervalSec=0

[Service]
Type=exec
User=switchyard
WorkingDirectory=/srv/switchyard/builds/chrono-1
EnvironmentFile=/srv/switchyard/releases/chrono-7c1f2a9b0c1d/api.env
ExecStartPre=+/usr/bin/touch /run/switchyard/chrono-oracle.lock
ExecStartPre=+/usr/bin/chmod 0644 /run/switchyard/chrono-oracle.lock
ExecStart=/usr/bin/flock --nonblock --no-fork --conflict-exit-code 75 /run/switchyard/chrono-oracle.lock /srv/switchyard/builds/chrono-1/bin/oracle --rate=5%%
Restart=always
RestartSec=500ms
RestartPreventExitStatus=75
KillMode=mixed
TimeoutStopSec=20
SyslogIdentifier=chrono-api-7c1f2a9b0c1d
MemoryAccounting=yes
ReadWritePaths=/srv/switchyard/home/switchyard
${hardening}
CapabilityBoundingSet=
`);
  });

  it("refuses what would end a line, and a command that is none", () => {
    expect(() => unitFile({ ...unit, directory: "/srv/a\nUser=root" }, user)).toThrow(/holds a line break/);
    expect(() => unitFile({ ...unit, command: [] }, user)).toThrow("chrono-api-7c1f2a9b0c1d has no command");
  });
});

it("a door's unit is one HAProxy, opened after the boot is settled and opened again whenever it ends", () => {
  expect(doorTemplate).toBe(`[Unit]
Description=Switchyard front door %i
After=network.target switchyard-boot.service
StartLimitIntervalSec=0

[Service]
Type=exec
User=haproxy
Group=haproxy
RuntimeDirectory=switchyard-door/%i
RuntimeDirectoryMode=0700
ExecStart=/usr/sbin/haproxy -db -f /etc/switchyard/doors/%i.cfg
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
`);
});

it("the boot's unit runs once a boot, and nothing that starts later brings it in", () => {
  expect(bootService).toBe(`[Unit]
Description=Switchyard: settle what a reboot cut short
After=local-fs.target systemd-tmpfiles-setup.service
ConditionPathExists=/usr/local/bin/switchyard-box

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/bin/switchyard-box boot
TimeoutStartSec=90

[Install]
WantedBy=multi-user.target
`);
  expect(doorTemplate).not.toMatch(/^(Wants|Requires|BindsTo)=/m);
});

it("a command's words are quoted for systemd", () => {
  expect(
    commandLine(["a", "b c", "", "100%", "$HOME", 'say "hi"', "back\\slash", "a;b", "tab\there", "ü"]),
  ).toBe('a "b c" "" 100%% $$HOME "say \\"hi\\"" "back\\\\slash" "a;b" "tab\\x09here" "ü"');
  expect(() => commandLine(["a\0b"])).toThrow("a command's word cannot hold a NUL byte");
});

it.each([
  ["active", "running"],
  ["reloading", "running"],
  ["activating", "starting"],
  ["deactivating", "stopping"],
  ["failed", "failed"],
  ["inactive", "gone"],
])("systemd's %s is %s", (state, active) => {
  expect(activeOf(parseProperties(`LoadState=loaded\nActiveState=${state}\nControlGroup=/a=b\n`))).toBe(
    active,
  );
});

it("properties may hold equals signs", () => {
  expect(parseProperties("A=1\nB=x=y\nC=\n")).toEqual({ A: "1", B: "x=y", C: "" });
});

it("the owner of a port is read from ss", () => {
  const line =
    'LISTEN 0 511 0.0.0.0:8080 0.0.0.0:* users:(("node",pid=4711,fd=18),("node",pid=4712,fd=18))\n';
  expect(parseSs(line)).toEqual({ process: "node", pid: 4711 });
  expect(parseSs("LISTEN 0 511 0.0.0.0:8080 0.0.0.0:*\n")).toEqual({
    process: "a process of another user",
    pid: 0,
  });
  expect(parseSs("")).toBeNull();
});
