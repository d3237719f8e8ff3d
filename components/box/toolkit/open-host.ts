import type { Host } from "./host.ts";
import { LocalHost } from "./local-host.ts";
import { SystemdHost } from "./systemd-host.ts";

/** The machine this toolkit runs on: development's local box where SWITCHYARD_BOX_ROOT names its folder, else this Linux box. */
export async function openHost(): Promise<Host> {
  const root = process.env.SWITCHYARD_BOX_ROOT;
  if (root === undefined) return new SystemdHost();
  return new LocalHost({ root, toolkit: [process.execPath, process.argv[1] ?? ""] });
}
