import { bakeRelease } from "../../gates/bake.ts";
import { probeDatabase } from "../../gates/database-probe.ts";
import { HttpSampler, type SampledService } from "../../gates/http-sampler.ts";
import type { Finding } from "../../rollout/cutover/machine.ts";
import type { ServiceManifest } from "../../rollout/manifest.ts";
import { connectPostgres } from "./database.ts";
import { emergencyStopOf } from "./emergency-stop.ts";
import { keepEvidence } from "./evidence.ts";
import type { Host } from "./host.ts";
import { type Policy, type ReleaseRecord, readSecrets } from "./records.ts";
import { redactor } from "./redact.ts";
import { doorOf, unitName } from "./units.ts";

/** The bake on a box: the units' own state, health and metrics of each process, the database, requests at the doors. */
export async function bake(
  host: Host,
  release: ReleaseRecord,
  policy: Policy,
  proved: boolean,
  doors: () => Promise<Finding | null> = async () => null,
): Promise<Finding | null> {
  const { manifest } = release;
  const { rules, scrapeSeconds, checkSeconds = scrapeSeconds, healthSeconds } = policy;
  const secrets = await readSecrets(host, release);
  const services = sampledServices(host, release, secrets);
  const result = await bakeRelease({
    rules,
    services: manifest.services.map(({ name, kind, door, health, metrics }) => ({
      name,
      // Behind a door it takes requests, and has proved its health before it took the first.
      kind: door === undefined ? kind : "serving",
      health,
      metrics: metrics !== undefined,
      asked: door !== undefined,
    })),
    database: manifest.checks.postgres !== undefined,
    seconds: proved ? policy.shortBakeSeconds : policy.bakeSeconds,
    proved,
    scrapeSeconds,
    checkSeconds,
    healthSeconds,
    sampler: new HttpSampler({
      services,
      rules,
      scrapeSeconds,
      checkSeconds,
      probes: { paths: policy.probes, perSecond: policy.probesPerSecond },
    }),
    emergencyStop: await emergencyStopOf(host, manifest.system),
    doors,
  });
  if (result.held) return null;
  const { rule, measured, allowed, evidence } = result;
  return {
    rule,
    measured: redactor(Object.values(secrets))(measured),
    allowed,
    at: new Date(),
    explain: () => keepEvidence(host, release, "bake", evidence),
  };
}

function sampledServices(
  host: Host,
  release: ReleaseRecord,
  secrets: Readonly<Record<string, string>>,
): SampledService[] {
  const { services, checks } = release.manifest;
  const { postgres } = checks;
  // The database is the release's: it is asked once a scrape, beside the first service.
  const [first] = services;
  return services.map((service) => ({
    name: service.name,
    processes: () => [`http://127.0.0.1:${release.ports[service.name] ?? 0}`],
    health: service.health,
    ...(service.metrics === undefined ? {} : { metrics: service.metrics }),
    ...throughDoor(host, release, service),
    unit: () => host.unitState(unitName(release, service)),
    ...(postgres !== undefined && service === first
      ? { database: () => probeDatabase(() => askPostgres(secrets[postgres] ?? "", postgres)) }
      : {}),
  }));
}

/** Users reach the service through its front door, which counts what they get. */
function throughDoor(host: Host, release: ReleaseRecord, service: ServiceManifest) {
  const door = doorOf(release.manifest.system, service);
  if (!door) return {};
  return { door: `http://127.0.0.1:${door.port}`, doorTotals: () => host.doorTotals(door) };
}

async function askPostgres(url: string, key: string): Promise<void> {
  const client = await connectPostgres(url, key, { application: "switchyard bake", statementSeconds: 4 });
  try {
    await client.query("SELECT 1");
  } finally {
    await client.end().catch(() => {});
  }
}
