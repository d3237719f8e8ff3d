import { rmSync } from "node:fs";
import { removeCgroups } from "../cgroups.ts";
import { MachineFolders, type MachineRecord } from "../machine-folders.ts";
import type { BaseName } from "./base.ts";
import { end } from "./processes.ts";

export interface BoxRecord extends MachineRecord {
  readonly base: BaseName;
  readonly hostKey: string;
  readonly diskMiB: number;
}

export const boxes = new MachineFolders<BoxRecord>("box");

/** Ends the box and removes all that was its own: processes, cgroups, state. Mounts and networks end with it. */
export async function removeBox(name: string): Promise<void> {
  const record = boxes.read(name);
  if (record?.supervisor) await end(record.supervisor);
  await removeCgroups(`switchyard-box-${name}`);
  rmSync(boxes.of(name), { recursive: true, force: true });
}

/** Removes the boxes of owners that were killed, and no other. Returns their names. */
export async function removeLeftovers(): Promise<string[]> {
  const names = boxes.leftovers();
  for (const name of names) await removeBox(name);
  return names;
}
