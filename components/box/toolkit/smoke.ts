import { performance } from "node:perf_hooks";
import { setTimeout as pause } from "node:timers/promises";
import { ask } from "../../gates/ask.ts";
import type { Finding } from "../../rollout/cutover/machine.ts";
import type { ServiceManifest, SmokeCheck } from "../../rollout/manifest.ts";
import { keepEvidence } from "./evidence.ts";
import type { Host } from "./host.ts";
import { type ReleaseRecord, readSecrets } from "./records.ts";
import { redactor } from "./redact.ts";
import { unitName } from "./units.ts";

/** Seconds that the journal may lag behind. */
const logSeconds = 5;

interface Seen {
  readonly ok: boolean;
  readonly measured: string;
  readonly allowed: string;
}

/**
 * The smoke test of a placed release (POD-7), asked of its own process before it takes any traffic.
 *
 * @returns one line a check, or the first that failed
 */
export async function smokeTest(
  host: Host,
  release: ReleaseRecord,
  service: ServiceManifest,
): Promise<string[] | Finding> {
  const lines: string[] = [];
  for (const check of service.smoke ?? []) {
    const { ok, measured, allowed } = await take(host, release, service, check);
    if (!ok) {
      const redact = redactor(Object.values(await readSecrets(host, release)));
      return {
        rule: `${service.name}: ${check.name} (${describe(check)})`,
        measured: redact(measured),
        allowed,
        explain: () => keepEvidence(host, release, "smoke", { check, measured }),
      };
    }
    lines.push(`${service.name}: ${check.name}: ${measured}, allowed ${allowed}`);
  }
  return lines;
}

function describe(check: SmokeCheck): string {
  if (check.kind === "answers") return `${check.method ?? "GET"} ${check.path}`;
  return check.kind === "limits" ? `${check.requests} times ${check.path} at once` : "its journal";
}

async function take(
  host: Host,
  release: ReleaseRecord,
  service: ServiceManifest,
  check: SmokeCheck,
): Promise<Seen> {
  if (check.kind === "logs") return logged(host, unitName(release, service));
  const url = `http://127.0.0.1:${release.ports[service.name] ?? 0}${check.path}`;
  if (check.kind === "answers") {
    const { status, detail } = await ask(url, {
      ...(check.method ? { method: check.method } : {}),
      seconds: 10,
    });
    const measured = status === 0 ? `no answer (${detail})` : `${status}${detail ? ` ${detail.trim()}` : ""}`;
    return { ok: status === check.status, measured, allowed: `${check.status}` };
  }
  const answers = await Promise.all(Array.from({ length: check.requests }, () => ask(url, { seconds: 10 })));
  const limited = answers.filter(({ status }) => status === 429).length;
  return { ok: limited > 0, measured: `${limited} of ${check.requests} answered 429`, allowed: "1 or more" };
}

async function logged(host: Host, unit: string): Promise<Seen> {
  const deadline = performance.now() + logSeconds * 1000;
  for (;;) {
    const count = (await host.journal(unit, 10)).length;
    if (count > 0 || performance.now() > deadline) {
      return {
        ok: count > 0,
        measured: count > 0 ? "it writes" : "no line in its journal",
        allowed: "1 line or more",
      };
    }
    await pause(100);
  }
}
