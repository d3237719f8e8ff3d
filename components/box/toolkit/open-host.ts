import type { Host } from "./host.ts";

/** The machine this toolkit runs on: development's local box where SWITCHYARD_BOX_ROOT names its folder, else this Linux box. */
export async function openHost(): Promise<Host> {
  const root = process.env.SWITCHYARD_BOX_ROOT;
  if (root === undefined) {
    const { SystemdHost } = await import("./systemd-host.ts");
    return new SystemdHost();
  }
  const { LocalHost } = await import("./local-host.ts");
  return new LocalHost({ root, toolkit: [process.execPath, process.argv[1] ?? ""] });
}

/** Ends what runs on the local box; a real box is its owner's to turn off. */
export async function shutDown(): Promise<void> {
  const root = process.env.SWITCHYARD_BOX_ROOT;
  if (root === undefined)
    throw new Error("this is no local box of development, so it is not shut down from here");
  const { stopSupervisor } = await import("./local-host.ts");
  await stopSupervisor(root);
}
