import type { EmergencyStop } from "../gates/emergency-stop.ts";
import { type OutsideCheck, verifyFromOutside } from "../gates/outside.ts";
import type { Finding } from "../rollout/cutover/machine.ts";
import { overrideFor, overrideHeader } from "./probe.ts";
import type { PlacedVersion } from "./records.ts";

/**
 * The checks from outside on the edge. `{front}` is asked for the release by version, whatever share of the traffic it
 * has by now; any other address as it is: that is what the release has to get along with.
 */
export async function verifyByVersion(
  worker: string,
  front: string,
  { record, versionId }: PlacedVersion,
  checks: readonly OutsideCheck[],
  stop: () => Promise<EmergencyStop | null>,
): Promise<Finding | null> {
  const found = await verifyFromOutside({
    checks,
    origins: { front },
    release: record.manifest.release,
    headers: { "cache-control": "no-cache", [overrideHeader]: overrideFor(worker, versionId) },
    stop,
  });
  return found && { ...found, at: new Date() };
}
