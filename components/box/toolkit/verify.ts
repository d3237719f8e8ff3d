import { type OutsideCheck, verifyFromOutside } from "../../gates/outside.ts";
import type { Finding } from "../../rollout/cutover/machine.ts";
import { emergencyStopOf } from "./emergency-stop.ts";
import { keepEvidence } from "./evidence.ts";
import type { Host } from "./host.ts";
import { type ReleaseRecord, readSecrets } from "./records.ts";
import { redactor } from "./redact.ts";
import { doorsOf, unitName } from "./units.ts";

/** The checks from outside on a box: through its front doors, and to whatever else their addresses name. */
export async function verifyOnBox(
  host: Host,
  release: ReleaseRecord,
  checks: readonly OutsideCheck[],
): Promise<Finding | null> {
  if (checks.length === 0) return null;
  const { manifest } = release;
  const doors = doorsOf(release).map(({ door, service }) => [service.name, `http://127.0.0.1:${door.port}`]);
  const found = await verifyFromOutside({
    checks,
    origins: Object.fromEntries(doors),
    release: manifest.release,
    // A connection that was kept from before the switch would ask the release that is left.
    headers: { connection: "close" },
    logged: async (name) => {
      const service = manifest.services.find((one) => one.name === name);
      return service ? (await host.journal(unitName(release, service), 10)).length : 0;
    },
    stop: await emergencyStopOf(host, manifest.system),
  });
  if (!found) return null;
  const redact = redactor(Object.values(await readSecrets(host, release)));
  const finding = { ...found, measured: redact(found.measured) };
  return { ...finding, at: new Date(), explain: () => keepEvidence(host, release, "verify", finding) };
}
