import { longestCutoverSeconds } from "../../rollout/cutover/longest.ts";
import type { Host } from "./host.ts";
import { listReleases, type ReleaseRecord, readPolicy } from "./records.ts";

/** Seconds within which a cutover of the system ends here. @throws where it has no policy yet */
export async function longestCutover(host: Host, system: string): Promise<number> {
  const [policy, releases] = await Promise.all([readPolicy(host, system), listReleases(host, system)]);
  return longestCutoverSeconds(policy, leavingSeconds(releases));
}

/** The longest that any of them takes to drain and to stop, in a maintenance window where it needs one. */
function leavingSeconds(releases: readonly ReleaseRecord[]): number {
  const each = releases.map(({ manifest: { services, maintenance } }) => {
    const window = maintenance ? maintenance.drainSeconds + maintenance.journalSeconds : 0;
    return (
      window + Math.max(0, ...services.map(({ drainSeconds, stopSeconds }) => drainSeconds + stopSeconds))
    );
  });
  return Math.max(0, ...each);
}
