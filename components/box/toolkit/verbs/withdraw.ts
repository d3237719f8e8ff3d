import { join } from "node:path";
import { withdraw as withdrawTraffic } from "../../../rollout/cutover/machine.ts";
import type { Failure } from "../../../rollout/cutover/state.ts";
import { isDisposable } from "../../../rollout/environment.ts";
import { BoxTarget } from "../box-target.ts";
import { readJson, writeDurably } from "../durable.ts";
import type { Host } from "../host.ts";
import { readCutover, requireRelease, systemDirectory } from "../records.ts";

/**
 * Takes the system out of traffic; in staging and production only while armed (`switchyard destroy --arm`), or because
 * another leg of the system's first release failed.
 */
export async function withdraw(host: Host, system: string, because?: Failure): Promise<void> {
  const { confirmed } = await readCutover(host, system);
  if (confirmed !== null && !because) {
    const { environment } = (await requireRelease(host, system, confirmed)).manifest;
    if (!isDisposable(environment)) await requireArmed(host, system);
  }
  await withdrawTraffic(new BoxTarget(host, system), because);
}

const armedFile = (host: Host, system: string) => join(systemDirectory(host, system), "armed.json");

export async function arm(host: Host, system: string, minutes: number): Promise<void> {
  const until = new Date(Date.now() + minutes * 60_000).toISOString();
  await writeDurably(armedFile(host, system), JSON.stringify({ until }));
}

async function requireArmed(host: Host, system: string): Promise<void> {
  const armed = await readJson<{ until: string }>(armedFile(host, system));
  if (armed && Date.parse(armed.until) > Date.now()) return;
  throw new Error(
    `${system} serves, and destroying it is not armed${armed ? ` (it was until ${armed.until})` : ""}: ` +
      "`switchyard destroy --arm` allows it for ten minutes",
  );
}
