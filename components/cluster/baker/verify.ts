import type { EmergencyStop } from "../../gates/emergency-stop.ts";
import { type OutsideCheck, verifyFromOutside } from "../../gates/outside.ts";
import type { Finding } from "../../rollout/cutover/machine.ts";
import type { ClusterApi } from "../api.ts";
import type { ClusterRelease } from "../manifest.ts";
import { colourDoorName, doorName } from "../names.ts";
import { type DoorObject, doorOrigin, ledTo } from "./doors.ts";
import { serving } from "./workloads.ts";

/**
 * The checks from outside on a cluster: through the stable Services (`{backend}`) and those of the release's colour
 * (`{backend-colour}`, TRD-3), by address, because not every cluster has names.
 */
export async function verifyOnCluster(
  api: ClusterApi,
  system: string,
  release: ClusterRelease,
  checks: readonly OutsideCheck[],
  stop: () => EmergencyStop | null,
): Promise<Finding | null> {
  if (checks.length === 0) return null;
  const found = await verifyFromOutside({
    checks,
    origins: await originsOf(api, system, release),
    release: release.manifest.release,
    // A connection that was made before the switch had reached the node would stay with the old release.
    headers: { connection: "close" },
    stop: async () => stop(),
  });
  return found && { ...found, at: new Date() };
}

/** A colour's Service that another release of the same colour has taken meanwhile is none of this one's. */
async function originsOf(
  api: ClusterApi,
  system: string,
  { manifest, fingerprint, colour }: ClusterRelease,
): Promise<Record<string, string>> {
  const origins: Record<string, string> = {};
  for (const { name } of serving({ manifest, fingerprint, colour })) {
    const live = await api.find<DoorObject>("Service", doorName(system, name));
    const own = await api.find<DoorObject>("Service", colourDoorName(system, name, colour));
    if (live) origins[name] = doorOrigin(live);
    if (own && ledTo(own) === fingerprint) origins[`${name}-colour`] = doorOrigin(own);
  }
  return origins;
}
