import { readFile, writeFile } from "node:fs/promises";
import type { EmergencyStop } from "../gates/emergency-stop.ts";
import type { EdgeAddress } from "./api.ts";
import { turnFile } from "./turn.ts";

/** The manual handle of a bake that runs on this machine: good for the cutover of that receipt alone. */
interface Handle extends EmergencyStop {
  readonly receipt: string;
}

export async function pullHandle(address: EdgeAddress, receipt: string, stop: EmergencyStop): Promise<void> {
  const handle: Handle = { by: stop.by, reason: stop.reason, receipt };
  await writeFile(handleFile(address), JSON.stringify(handle), { mode: 0o600 });
}

/** Null: nobody has pulled it. */
export async function readHandle(
  address: EdgeAddress,
  receipt: string | undefined,
): Promise<EmergencyStop | null> {
  const text = await readFile(handleFile(address), "utf8").catch(() => null);
  if (text === null) return null;
  const handle = JSON.parse(text) as Handle;
  return handle.receipt === receipt ? { by: handle.by, reason: handle.reason } : null;
}

const handleFile = (address: EdgeAddress) => `${turnFile(address)}.stop`;
