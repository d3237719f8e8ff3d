import { join } from "node:path";
import { type EmergencyStop, nothingBakes } from "../../gates/emergency-stop.ts";
import { readJson, writeDurably } from "./durable.ts";
import type { Host } from "./host.ts";
import { readCutover, systemDirectory } from "./records.ts";

/** Good for the cutover that runs when it is pulled. */
interface Handle extends EmergencyStop {
  readonly receipt: string;
}

/** The release that bakes at this moment is taken back within a second. @throws where nothing bakes */
export async function stopBake(host: Host, system: string, stop: EmergencyStop): Promise<void> {
  const { pending } = await readCutover(host, system);
  if (!pending) throw nothingBakes(system);
  const handle: Handle = { by: stop.by, reason: stop.reason, receipt: pending.receipt };
  await writeDurably(handleFile(host, system), JSON.stringify(handle));
}

/** Asks for the handle of the cutover that is open now. */
export async function emergencyStopOf(
  host: Host,
  system: string,
): Promise<() => Promise<EmergencyStop | null>> {
  const receipt = (await readCutover(host, system)).pending?.receipt;
  return async () => {
    const handle = await readJson<Handle>(handleFile(host, system));
    return handle !== null && handle.receipt === receipt ? { by: handle.by, reason: handle.reason } : null;
  };
}

function handleFile(host: Host, system: string): string {
  return join(systemDirectory(host, system), "emergency-stop.json");
}
