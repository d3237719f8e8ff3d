import { join } from "node:path";
import { type EmergencyStop, nothingBakes } from "../../gates/emergency-stop.ts";
import { pullHandle, readHandle } from "./bake-handle.ts";
import type { Host } from "./host.ts";
import { readCutover, systemDirectory } from "./records.ts";

/** The release that bakes at this moment is taken back within a second. @throws where nothing bakes */
export async function stopBake(host: Host, system: string, stop: EmergencyStop): Promise<void> {
  const { pending } = await readCutover(host, system);
  if (!pending) throw nothingBakes(system);
  await pullHandle(handleFile(host, system), pending.receipt, stop);
}

/** Asks for the handle of the cutover that is open now. */
export async function emergencyStopOf(
  host: Host,
  system: string,
): Promise<() => Promise<EmergencyStop | null>> {
  const receipt = (await readCutover(host, system)).pending?.receipt;
  return () => readHandle(handleFile(host, system), receipt);
}

function handleFile(host: Host, system: string): string {
  return join(systemDirectory(host, system), "emergency-stop.json");
}
