import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ask } from "../gates/ask.ts";
import { bakeRelease, type Sampler } from "../gates/bake.ts";
import type { EmergencyStop } from "../gates/emergency-stop.ts";
import { asProbe, RequestProbes } from "../gates/request-probes.ts";
import type { RuleTable } from "../gates/rules.ts";
import type { ServiceSample } from "../gates/seen.ts";
import type { Finding } from "../rollout/cutover/machine.ts";
import { edgeRoot } from "./local/places.ts";
import type { EdgePolicy } from "./manifest.ts";
import { overrideFor, overrideHeader } from "./probe.ts";
import type { PlacedVersion } from "./records.ts";

export interface Watch {
  readonly next: PlacedVersion;
  readonly policy: EdgePolicy;
  readonly front: string;
  readonly worker: string;
  readonly seconds: number;
  /** The release has served a whole bake before. */
  readonly proved: boolean;
  /** The release's share of the traffic while it is watched. */
  readonly percent: number;
  readonly emergencyStop: () => Promise<EmergencyStop | null>;
  readonly doors: () => Promise<Finding | null>;
}

/**
 * The bake on the edge: requests of our own to where people are, judged by the system's rule table. Below all of the
 * traffic they ask for the release by version. What other people's requests met is in Cloudflare's analytics minutes
 * later; it is not read here.
 */
export async function bake(watch: Watch): Promise<Finding | null> {
  const { policy, seconds, percent, next, proved } = watch;
  const { health } = next.record.manifest;
  const result = await bakeRelease({
    rules: measurable(policy.rules),
    services: [{ name: service, kind: "serving", health, metrics: false, asked: true }],
    database: false,
    seconds,
    proved,
    ...(policy.checkSeconds === undefined ? {} : { checkSeconds: policy.checkSeconds }),
    scrapeSeconds: policy.scrapeSeconds,
    healthSeconds: policy.healthSeconds,
    sampler: new FrontSampler(watch),
    emergencyStop: watch.emergencyStop,
    doors: watch.doors,
  });
  if (result.held) return null;
  return {
    rule: result.rule,
    measured: percent === 100 ? result.measured : `${result.measured} at ${percent} % of the traffic`,
    allowed: result.allowed,
    at: new Date(),
    explain: async () => ({ journal: [], evidence: await keepEvidence(next, result) }),
  };
}

const service = "worker";

/** A Worker has no process whose restarts, memory or counters could be read from here, and no database of ours. */
export function measurable(rules: RuleTable): RuleTable {
  const measured = ["errorRate", "p95", "p99", "healthFailures"];
  return rules.filter(({ metric }) => measured.includes(metric));
}

class FrontSampler implements Sampler {
  private readonly watch: Watch;
  private readonly headers: Readonly<Record<string, string>>;
  private readonly requests: RequestProbes;
  private nextCheck = 0;

  constructor(watch: Watch) {
    const { worker, next, percent, front, policy } = watch;
    const byVersion = { [overrideHeader]: overrideFor(worker, next.versionId) };
    this.watch = watch;
    this.headers = percent === 100 ? {} : byVersion;
    this.requests = new RequestProbes({
      doors: [{ name: service, door: front }],
      paths: policy.probes,
      perSecond: policy.probesPerSecond,
      headers: this.headers,
    });
  }

  async sample(): Promise<Readonly<Record<string, ServiceSample>>> {
    const { front, next, policy } = this.watch;
    if (performance.now() < this.nextCheck) return { [service]: { probes: this.requests.take(service) } };
    this.nextCheck = performance.now() + (policy.checkSeconds ?? 0) * 1000;
    const url = `${front}${next.record.manifest.health}`;
    const answer = await ask(url, { headers: this.headers, seconds: Math.max(1, policy.scrapeSeconds) });
    return { [service]: { probes: [asProbe("health", answer), ...this.requests.take(service)] } };
  }

  close(): void {
    this.requests.close();
  }
}

/** A file on the runner. */
async function keepEvidence({ record }: PlacedVersion, measured: object): Promise<string> {
  const { system, release } = record.manifest;
  const folder = join(edgeRoot(), "evidence");
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const at = new Date().toISOString().replaceAll(":", "");
  const file = join(folder, `${at}-${system}-${release}-bake.json`);
  await writeFile(file, `${JSON.stringify(measured, null, 2)}\n`, { mode: 0o600 });
  return file;
}
