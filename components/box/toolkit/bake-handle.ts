import type { EmergencyStop } from "../../gates/emergency-stop.ts";
import { readJson, writeDurably } from "./durable.ts";

/** The manual handle of a bake, as a file beside it: good for the cutover of that receipt alone. */
interface Handle extends EmergencyStop {
  readonly receipt: string;
}

export async function pullHandle(
  file: string,
  receipt: string,
  { by, reason }: EmergencyStop,
): Promise<void> {
  await writeDurably(file, JSON.stringify({ by, reason, receipt } satisfies Handle));
}

/** Null: nobody has pulled it. */
export async function readHandle(file: string, receipt: string | undefined): Promise<EmergencyStop | null> {
  const handle = await readJson<Handle>(file);
  return handle !== null && handle.receipt === receipt ? { by: handle.by, reason: handle.reason } : null;
}
