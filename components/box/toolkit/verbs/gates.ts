import type { Finding } from "../../../rollout/cutover/machine.ts";
import { checkConnections } from "../connections.ts";
import { journalText } from "../evidence.ts";
import type { Host } from "../host.ts";
import { markDone, readPolicy, readSecrets, requireRelease } from "../records.ts";
import { checkServiceHealth } from "../service-health.ts";
import { smokeTest } from "../smoke.ts";
import { serving, unitName } from "../units.ts";

/** One line a rule: what was measured against what is allowed. */
export type GateLine = string;

/**
 * The gates a release passes before any traffic: its processes run, answer their health path, and reach their
 * database and Redis (CHR-7). Leaves the mark that the cutover asks for, so `--target` cannot walk around it.
 */
export async function gates(host: Host, system: string, fingerprint: string): Promise<GateLine[]> {
  const release = await requireRelease(host, system, fingerprint);
  if (!release.done.place)
    throw new Error(`${system} ${release.manifest.release} is not placed on this box yet`);
  const { healthSeconds, connections } = await readPolicy(host, system);
  const lines: GateLine[] = [];
  for (const service of serving(release)) {
    const finding = await checkServiceHealth(host, release, service, healthSeconds);
    if (finding) throw await gateErrorOf(finding);
    const { active, restarts } = await host.unitState(unitName(release, service));
    if (active !== "running") throw new GateError(`${service.name} runs`, active, "running", [], "");
    lines.push(`${service.name}: healthy on ${service.health}, running, ${restarts} restarts`);
    const smoke = await smokeTest(host, release, service);
    if (!Array.isArray(smoke)) throw await gateErrorOf(smoke);
    lines.push(...smoke);
  }
  const secrets = await readSecrets(host, release);
  lines.push(...(await checkConnections(release.manifest.checks, secrets, connections)));
  await markDone(host, release, "gates");
  return lines;
}

async function gateErrorOf(finding: Finding): Promise<GateError> {
  const { journal = [], evidence = "" } = (await finding.explain?.()) ?? {};
  return new GateError(finding.rule, finding.measured, finding.allowed, journal, evidence);
}

export class GateError extends Error {
  constructor(rule: string, measured: string, allowed: string, journal: readonly string[], evidence: string) {
    const lines = [`gate: ${rule}`, `measured: ${measured}`, `allowed: ${allowed}`, ...journalText(journal)];
    if (evidence) lines.push(`evidence on the box: ${evidence}`);
    super(lines.join("\n"));
    this.name = "GateError";
  }
}
