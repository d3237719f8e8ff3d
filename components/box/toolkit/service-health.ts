import type { Finding } from "../../rollout/cutover/machine.ts";
import type { ServiceManifest } from "../../rollout/manifest.ts";
import { keepEvidence } from "./evidence.ts";
import { probeUntilHealthy } from "./health.ts";
import type { Host } from "./host.ts";
import { type ReleaseRecord, readSecrets } from "./records.ts";
import { redactor } from "./redact.ts";

/** Health of one service of a placed release; bounded; a failing one keeps its last journal lines (CHR-7). */
export async function checkServiceHealth(
  host: Host,
  release: ReleaseRecord,
  service: ServiceManifest,
  seconds: number,
): Promise<Finding | null> {
  const port = release.ports[service.name];
  if (port === undefined)
    throw new Error(`${service.name} of ${release.manifest.release} has no port on this box`);
  const answer = await probeUntilHealthy(port, service.health, seconds);
  if (answer.ok) return null;
  const redact = redactor(Object.values(await readSecrets(host, release)));
  return {
    rule: `${service.name} answers 2xx on ${service.health} within ${seconds} s`,
    measured: answer.status
      ? `${answer.status} ${redact(answer.detail)}`.trim()
      : `no answer (${answer.detail})`,
    allowed: "200 to 299",
    explain: () => keepEvidence(host, release, "health", answer),
  };
}
