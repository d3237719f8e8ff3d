import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { until } from "./box/processes.ts";

const root = "/sys/fs/cgroup";

/** The tops of this machine's hierarchies: one of all controllers (version 2), or one of each, or both. */
function hierarchies(): string[] {
  if (existsSync(join(root, "cgroup.controllers"))) return [root];
  const names = readdirSync(root, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  return names.map(({ name }) => join(root, name)).filter((top) => existsSync(join(top, "cgroup.procs")));
}

export function makeCgroups(name: string): void {
  for (const top of hierarchies()) {
    const group = join(top, name);
    mkdirSync(group, { recursive: true });
    // Version 1 gives a new group no processors; nothing can be put into it then.
    for (const file of ["cpuset.cpus", "cpuset.mems"]) {
      const own = join(group, file);
      if (existsSync(join(top, file)) && existsSync(own) && readFileSync(own, "utf8").trim() === "")
        writeFileSync(own, readFileSync(join(top, file)));
    }
  }
}

/** Removes the groups and those in them, whose processes have ended. */
export async function removeCgroups(name: string): Promise<void> {
  for (const top of hierarchies()) await remove(join(top, name));
}

export function cgroupsNamed(name: string): string[] {
  return hierarchies()
    .map((top) => join(top, name))
    .filter((group) => existsSync(group));
}

async function remove(group: string): Promise<void> {
  for (const name of foldersIn(group)) await remove(join(group, name));
  // The kernel takes a moment to let go of the last process.
  await until(() => removedEmpty(group), 10, `the control group ${group} is still in use`);
}

/** None where there is no such folder: another run may be removing the same leftover. */
function foldersIn(group: string): string[] {
  try {
    const entries = readdirSync(group, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

function removedEmpty(group: string): boolean {
  try {
    rmdirSync(group);
    return true;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "EBUSY") return false;
    if (code === "ENOENT") return true;
    throw error;
  }
}
