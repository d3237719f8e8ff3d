import { join } from "node:path";
import { writeDurably } from "../durable.ts";
import type { GroundSpec, Host } from "../host.ts";

export function groundReceiptFile(host: Host): string {
  return join(host.stateDirectory, "ground.json");
}

/** Prepares the machine (ALL-7): packages, users, folders, front door. Safe to repeat. */
export async function ground(host: Host, spec: GroundSpec & { receipt: string }): Promise<void> {
  await host.ground(spec);
  await writeDurably(groundReceiptFile(host), `${JSON.stringify({ receipt: spec.receipt })}\n`);
}
