import { mkdir, open, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { performance } from "node:perf_hooks";
import { setTimeout as pause } from "node:timers/promises";
import { ask, type Request, type WholeAnswer } from "../../gates/ask.ts";
import type { Finding } from "../../rollout/cutover/machine.ts";
import type { MaintenanceManifest, ServiceManifest } from "../../rollout/manifest.ts";
import { keepEvidence } from "./evidence.ts";
import type { Host } from "./host.ts";
import { type ReleaseRecord, readSecrets } from "./records.ts";
import { redactor } from "./redact.ts";
import { checkServiceHealth } from "./service-health.ts";
import { doorsOf, maintenanceFlag } from "./units.ts";

/**
 * The parts of a maintenance window (DEI-2, DEI-3): the flag, the draining, and what a release shows before it takes a
 * request. Their order, and the way back, is the cutover target's.
 */

/** What a cutover in a window stands before, beside the steps of every cutover; a rehearsal can hold it there. */
export const windowSteps = ["flag", "drain", "stop", "start", "judge", "smoke", "open"] as const;
export type WindowStep = (typeof windowSteps)[number];

/** Flags of a system: every release that is placed looks at its own. None: the system needs no window. */
export function flagsOf(host: Host, releases: readonly ReleaseRecord[]): string[] {
  const flags = releases.flatMap(({ manifest: { maintenance } }) =>
    maintenance ? [maintenanceFlag(host, maintenance)] : [],
  );
  return [...new Set(flags)];
}

export async function raiseFlags(flags: readonly string[]): Promise<void> {
  for (const flag of flags) {
    await mkdir(dirname(flag), { recursive: true, mode: 0o755 });
    const file = await open(flag, "a", 0o644);
    // Whatever the toolkit's umask is, the services must see it.
    await file.chmod(0o644).finally(() => file.close());
  }
}

/** Gone for good: no power cut brings back a flag that was gone when its cutover was settled. */
export async function lowerFlags(flags: readonly string[]): Promise<void> {
  for (const flag of flags) {
    await rm(flag, { force: true });
    const folder = await open(dirname(flag), "r").catch(() => null);
    await folder?.sync().finally(() => folder.close());
  }
}

/** Waits until few enough requests are in flight at a release that is about to be left; it still runs. */
export async function awaitDrained(
  host: Host,
  release: ReleaseRecord,
  { drainBelow, drainSeconds }: MaintenanceManifest,
): Promise<Finding | null> {
  const deadline = performance.now() + drainSeconds * 1000;
  for (const { service } of doorsOf(release)) {
    for (;;) {
      const answer = await askProcess(release, service, service.health);
      // Nothing listens there, so nothing is in flight either.
      if (answer.detail === "ECONNREFUSED") break;
      const active = fieldOf(answer, "active_connections");
      if (typeof active === "number" && active < drainBelow) break;
      if (performance.now() > deadline) {
        const rule = `${service.name} of ${release.manifest.release} drains within ${drainSeconds} s of its flag`;
        const measured =
          typeof active === "number"
            ? `${active} active connections`
            : `no active_connections in the JSON of ${service.health}`;
        return findingOf(host, release, "drain", answer, rule, measured, `fewer than ${drainBelow}`);
      }
      await pause(250);
    }
  }
  return null;
}

/** DEI-3 before the first request: health "healthy", and the database as fast as it must be. */
export async function verifyHealth(
  host: Host,
  release: ReleaseRecord,
  healthSeconds: number,
): Promise<Finding | null> {
  const database = release.manifest.maintenance?.database;
  for (const { service } of doorsOf(release)) {
    const finding =
      (await checkServiceHealth(host, release, service, healthSeconds)) ??
      (await checkHealthWord(host, release, service)) ??
      (database ? await checkDatabase(host, release, service, database) : null);
    if (finding) return finding;
  }
  return null;
}

/** DEI-3: one request that a user might make, asked of the process itself while the door is still shut. */
export async function smokeTest(host: Host, release: ReleaseRecord): Promise<Finding | null> {
  const smoke = release.manifest.maintenance?.smoke;
  if (!smoke) return null;
  for (const { service } of doorsOf(release)) {
    const body = JSON.stringify(smoke.body);
    const request = { method: "POST", headers: { "content-type": "application/json" }, body, seconds: 30 };
    const answer = await askProcess(release, service, smoke.path, request);
    if (answer.ok) continue;
    const rule = `${service.name} passes its smoke test, POST ${smoke.path}`;
    return findingOf(
      host,
      release,
      "smoke",
      answer,
      rule,
      await answered(host, release, answer),
      "200 to 299",
    );
  }
  return null;
}

async function checkHealthWord(host: Host, release: ReleaseRecord, service: ServiceManifest) {
  const answer = await askProcess(release, service, service.health);
  const word = fieldOf(answer, "status") ?? answer.text.trim().slice(0, 200);
  if (word === "healthy") return null;
  const rule = `${service.name} says "healthy" on ${service.health}`;
  return findingOf(host, release, "health", answer, rule, `"${word}"`, '"healthy"');
}

async function checkDatabase(
  host: Host,
  release: ReleaseRecord,
  service: ServiceManifest,
  { path, belowMilliseconds }: NonNullable<MaintenanceManifest["database"]>,
): Promise<Finding | null> {
  const answer = await askProcess(release, service, path);
  const told = fieldOf(answer, "milliseconds");
  const milliseconds = typeof told === "number" ? told : answer.milliseconds;
  if (answer.ok && milliseconds < belowMilliseconds) return null;
  const rule = `${service.name} reaches its database (${path})`;
  const measured = answer.ok ? `${milliseconds} ms` : await answered(host, release, answer);
  return findingOf(host, release, "database", answer, rule, measured, `200, below ${belowMilliseconds} ms`);
}

function askProcess(release: ReleaseRecord, service: ServiceManifest, path: string, request: Request = {}) {
  return ask(`http://127.0.0.1:${release.ports[service.name] ?? 0}${path}`, request);
}

/** A member of an answer in JSON; undefined where it is something else. */
function fieldOf({ text }: WholeAnswer, name: string): unknown {
  try {
    return (JSON.parse(text) as Record<string, unknown> | null)?.[name];
  } catch {
    return undefined;
  }
}

async function answered(host: Host, release: ReleaseRecord, answer: WholeAnswer): Promise<string> {
  const redact = redactor(Object.values(await readSecrets(host, release)));
  return answer.status ? `${answer.status} ${redact(answer.detail)}`.trim() : `no answer (${answer.detail})`;
}

function findingOf(
  host: Host,
  release: ReleaseRecord,
  step: string,
  answer: WholeAnswer,
  rule: string,
  measured: string,
  allowed: string,
): Finding {
  const { status, milliseconds, text } = answer;
  const shown = { status, milliseconds, text: text.slice(0, 2000) };
  return { rule, measured, allowed, at: new Date(), explain: () => keepEvidence(host, release, step, shown) };
}
