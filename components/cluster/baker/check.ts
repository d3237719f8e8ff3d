import { colourDoorName, doorName } from "../names.ts";
import { askChecks, askPatiently } from "./checks.ts";
import { type DoorObject, doorOrigin, ledTo } from "./doors.ts";
import type { CheckReport } from "./request.ts";
import { type Ground, targetOf } from "./work.ts";
import { serving } from "./workloads.ts";

/**
 * Whether a placed release could take traffic: its pods are ready and answer every check, and so does the Service of
 * its colour (TRD-3). Moves nothing; a release that was taken back gets its pods again first.
 */
export async function check(all: Ground): Promise<CheckReport> {
  const { api, system, request } = all;
  const { id, work, releases } = request;
  const fingerprint = work.verb === "check" ? work.fingerprint : "";
  const release = releases.find((one) => one.fingerprint === fingerprint);
  if (!release) throw new Error(`${system} ${fingerprint} is not placed on this cluster`);
  const unhealthy = await targetOf(all).checkHealth(fingerprint);
  if (unhealthy) {
    const { rule, measured, allowed } = unhealthy;
    return { id, lines: [], finding: { rule, measured, allowed } };
  }
  const lines: string[] = [];
  for (const service of serving(release)) {
    const door = await api.find<DoorObject>("Service", colourDoorName(system, service.name, release.colour));
    const asked = [service.health, ...service.checks.map(({ path }) => path)].join(", ");
    if (door && ledTo(door) === fingerprint) {
      const finding = await askPatiently(() => askChecks(service, doorOrigin(door), release.colour));
      if (finding) return { id, lines, finding };
      lines.push(`${service.name}: every pod ready, and healthy as ${release.colour} on ${asked}`);
    } else {
      lines.push(
        `${service.name}: every pod ready and healthy on ${asked} (${doorName(system, service.name)} waits)`,
      );
    }
  }
  return { id, lines, finding: null };
}
