import { performance } from "node:perf_hooks";
import { setTimeout as pause } from "node:timers/promises";
import { readScrape, type ScrapeOptions } from "../../gates/metrics.ts";
import { Observation, type Verdict } from "../../gates/observation.ts";
import { fitTable } from "../../gates/rules.ts";
import type { Probe, ServiceSample } from "../../gates/seen.ts";
import type { Finding } from "../../rollout/cutover/machine.ts";
import type { ServiceManifest } from "../../rollout/manifest.ts";
import { keepEvidence } from "./evidence.ts";
import { type Probe as Answer, probe } from "./health.ts";
import type { Host } from "./host.ts";
import type { Policy, ReleaseRecord } from "./records.ts";
import { checkServiceHealth } from "./service-health.ts";
import { singletons, unitName } from "./units.ts";

/**
 * The bake on a box: watches a release that takes traffic, with requests of its own so that a quiet night gives a
 * verdict too, and judges it by the system's rule table. A broken rule ends it at once; one that is not measured yet
 * when the time is over gets a little more, and no verdict by then is a bad one.
 */
export async function bake(
  host: Host,
  release: ReleaseRecord,
  policy: Policy,
  seconds: number,
): Promise<Finding | null> {
  const { services } = release.manifest;
  const observation = new Observation({
    rules: fitTable(policy.rules, seconds, policy.scrapeSeconds),
    services: services.map(({ name, kind, metrics }) => ({ name, kind, metrics: metrics !== undefined })),
    database: false,
    minimumRequests: 10,
    staleSeconds: Math.max(5, policy.scrapeSeconds * 3),
  });
  const probes = new RequestProbes(release, policy);
  // The singletons have only just been started: until one has answered once, its health is a question of time.
  const starting = new Map(singletons(release).map((service) => [service.name, service]));
  const begin = performance.now();
  const end = begin + seconds * 1000;
  const patience = end + Math.max(2, policy.scrapeSeconds * 5) * 1000;
  try {
    for (;;) {
      const taken = await sample(host, release, policy, probes, starting);
      observation.add({ at: performance.now(), services: taken });
      const verdict = observation.verdict();
      const now = performance.now();
      const proved = starting.size === 0 && ["ok", "investigate"].includes(verdict.decision);
      if (verdict.decision === "rollback" || (starting.size === 0 && now >= patience && !proved)) {
        return findingOf(host, release, verdict, observation.evidence());
      }
      const [late] = starting.values();
      if (late && now - begin > policy.healthSeconds * 1000) {
        // Healthy just now is no verdict on the rest: only a finding ends the bake here.
        const finding = await checkServiceHealth(host, release, late, 1);
        if (finding) return finding;
        starting.delete(late.name);
      }
      if (now >= end && proved) return null;
      await pause(policy.scrapeSeconds * 1000);
    }
  } finally {
    probes.stop();
  }
}

function findingOf(host: Host, release: ReleaseRecord, verdict: Verdict, measured: object): Finding {
  return {
    rule: verdict.rule,
    measured: verdict.measured,
    allowed: verdict.allowed,
    at: new Date(),
    explain: () => keepEvidence(host, release, "bake", measured),
  };
}

async function sample(
  host: Host,
  release: ReleaseRecord,
  policy: Policy,
  probes: RequestProbes,
  starting: Map<string, ServiceManifest>,
) {
  const entries = await Promise.all(
    release.manifest.services.map(async (service): Promise<[string, ServiceSample]> => {
      const port = release.ports[service.name] ?? 0;
      const [unit, health, metrics] = await Promise.all([
        host.unitState(unitName(release, service)),
        probe(port, service.health, Math.max(1, policy.scrapeSeconds)),
        service.metrics === undefined ? null : scrape(port, service, service.metrics, policy),
      ]);
      if (health.ok) starting.delete(service.name);
      const answers = probes.take(service.name);
      if (!starting.has(service.name)) answers.unshift(asProbe("health", health));
      return [service.name, { unit, probes: answers, ...(metrics ? { metrics } : {}) }];
    }),
  );
  return Object.fromEntries(entries);
}

async function scrape(port: number, service: ServiceManifest, path: string, policy: Policy) {
  try {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`, { signal: AbortSignal.timeout(5000) });
    if (!answer.ok) return { failed: `${path} answered ${answer.status}` };
    return readScrape(await answer.text(), scrapeOptions(service, path, policy));
  } catch (error) {
    return { failed: (error as Error).message };
  }
}

function scrapeOptions(service: ServiceManifest, metrics: string, policy: Policy): ScrapeOptions {
  const counters = policy.rules.flatMap(({ metric }) =>
    metric.startsWith("counter:") ? [metric.slice(8)] : [],
  );
  return { ownPaths: [service.health, metrics], counters };
}

/** Requests at a steady rate through the front door, apart from the scrapes. */
class RequestProbes {
  private readonly answers = new Map<string, Probe[]>();
  private readonly running = new Set<Promise<void>>();
  private readonly timer: NodeJS.Timeout;
  private turn = 0;

  constructor(release: ReleaseRecord, policy: Policy) {
    const targets = release.manifest.services.filter(({ door }) => door !== undefined);
    this.timer = setInterval(() => {
      for (const service of targets)
        this.ask(service, policy.probes[this.turn % policy.probes.length] ?? "/");
      this.turn += 1;
    }, 1000 / policy.probesPerSecond);
  }

  /** What was answered since the last call. */
  take(service: string): Probe[] {
    const answers = this.answers.get(service) ?? [];
    this.answers.set(service, []);
    return answers;
  }

  /** What is still on its way is nobody's business any more: nothing waits for it. */
  stop(): void {
    clearInterval(this.timer);
  }

  private ask(service: ServiceManifest, path: string): void {
    if (this.running.size > 50) return;
    const asked = probe(service.door ?? 0, path).then((answer) => {
      this.answers.set(service.name, [...(this.answers.get(service.name) ?? []), asProbe("request", answer)]);
      this.running.delete(asked);
    });
    this.running.add(asked);
  }
}

function asProbe(kind: Probe["kind"], answer: Answer): Probe {
  const status = answer.status === 0 ? null : answer.status;
  return { kind, ok: answer.ok, status, seconds: answer.milliseconds / 1000 };
}
