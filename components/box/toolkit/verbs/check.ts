import type { Failure } from "../../../rollout/cutover/state.ts";
import { BoxTarget } from "../box-target.ts";
import type { Host } from "../host.ts";
import { requireRelease } from "../records.ts";

/** What a check found wrong, with its journal gathered: it leaves the box. */
export type Checked = Pick<Failure, "rule" | "measured" | "allowed" | "journal" | "evidence">;

/** Whether a placed release could take traffic at this moment; moves nothing. */
export async function check(host: Host, system: string, fingerprint: string): Promise<Checked | null> {
  await requireRelease(host, system, fingerprint);
  const finding = await new BoxTarget(host, system).checkHealth(fingerprint);
  if (!finding) return null;
  const { rule, measured, allowed, explain } = finding;
  const { journal, evidence } = (await explain?.()) ?? { journal: [], evidence: "" };
  return { rule, measured, allowed, journal, evidence };
}
