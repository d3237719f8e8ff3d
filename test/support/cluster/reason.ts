import { spawnSync } from "node:child_process";
import { accessSync, constants, existsSync, readFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { reasonNoBox } from "../box/reason.ts";
import { nodeProgram } from "./layers.ts";
import { goPrograms } from "./packages.ts";
import { goModule, hasClusterPrograms } from "./programs.ts";

/** Programs of the machine itself, beside those of a test box, and the Debian package each comes from. */
const programs: Readonly<Record<string, string>> = { openssl: "openssl", setpriv: "util-linux", tar: "tar" };

/** Why no cluster can be brought up on this machine, in words for a skipped test's title; null when one can. */
export function reasonNoCluster(): string | null {
  const noBox = reasonNoBox();
  if (noBox !== null) return noBox;
  for (const [program, packageName] of Object.entries(programs)) {
    if (!isOnPath(program)) return `needs ${program}: apt-get install ${packageName}`;
  }
  if (!existsSync(nodeProgram)) return "needs the project's own Node: npm ci";
  if (!/\soverlay$/m.test(readFileSync("/proc/filesystems", "utf8")))
    return "the kernel has no overlay mounts";
  return reasonNoCgroups() ?? (hasClusterPrograms() ? null : reasonNoGo());
}

function reasonNoCgroups(): string | null {
  const unified = "/sys/fs/cgroup/cgroup.controllers";
  if (!existsSync(unified) && !existsSync("/sys/fs/cgroup/memory"))
    return "the kernel gives no control groups";
  try {
    accessSync(existsSync(unified) ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory", constants.W_OK);
    return null;
  } catch {
    return "may not make control groups: /sys/fs/cgroup is read-only";
  }
}

/** Asked in the modules' own folders: each says which Go it needs, and Go may be able to fetch that. */
function reasonNoGo(): string | null {
  const advice = "Go to build Kubernetes from its module: https://go.dev/doc/install";
  if (!isOnPath("go")) return `needs ${advice}`;
  for (const one of goPrograms) {
    const tried = spawnSync("go", ["list", "-m"], {
      cwd: goModule(one),
      env: { ...process.env, GOWORK: "off" },
    });
    if (tried.status !== 0) return `needs a newer ${advice} (${tried.stderr.toString().trim()})`;
  }
  return null;
}

function isOnPath(program: string): boolean {
  return (process.env.PATH ?? "").split(delimiter).some((folder) => existsSync(join(folder, program)));
}
