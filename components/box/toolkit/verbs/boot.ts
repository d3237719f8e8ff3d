import { BoxTarget } from "../box-target.ts";
import type { Host } from "../host.ts";
import { findRelease, listSystems, readCutover } from "../records.ts";
import { singletons, unitName } from "../units.ts";
import { resolvePending } from "./baker.ts";

/**
 * Runs at boot before the front door opens: a cutover that the reboot cut short is resolved to `confirmed`, so no
 * request after the boot reaches an unproved release. Singletons start once the boot lets units start.
 */
export async function boot(host: Host): Promise<void> {
  for (const system of await listSystems(host)) await resolvePending(host, system, "reboot");
  await host.launch("singletons", ["start-singletons"]);
}

/** Starts the singletons of what is confirmed, and of nothing else (ALL-6). */
export async function startSingletons(host: Host): Promise<void> {
  for (const system of await listSystems(host)) {
    const { confirmed } = await readCutover(host, system);
    const release = confirmed === null ? null : await findRelease(host, system, confirmed);
    if (!release) continue;
    for (const service of singletons(release)) await host.startUnit(unitName(release, service));
  }
}

/** Puts traffic where it belongs after taking back had failed (`switchyard recover`). */
export async function recover(host: Host, system: string): Promise<void> {
  const target = new BoxTarget(host, system);
  await resolvePending(host, system, "killed");
  await target.moveTraffic((await readCutover(host, system)).confirmed);
}
