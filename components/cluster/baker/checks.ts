import { setTimeout as pause } from "node:timers/promises";
import { ask } from "../../gates/ask.ts";
import type { ClusterService, HealthCheck } from "../manifest.ts";

/** What a check found wrong. */
export interface Complaint {
  readonly rule: string;
  readonly measured: string;
  readonly allowed: string;
}

/** Asks the health path and every other check of a service at one origin; null when all is well. */
export async function askChecks(
  service: ClusterService,
  origin: string,
  where: string,
): Promise<Complaint | null> {
  const health: HealthCheck = { path: service.health };
  for (const check of [health, ...service.checks]) {
    const complaint = await askCheck(service, check, origin, where);
    if (complaint) return complaint;
  }
  return null;
}

async function askCheck(
  service: ClusterService,
  { path, expect = {} }: HealthCheck,
  origin: string,
  where: string,
): Promise<Complaint | null> {
  const answer = await ask(`${origin}${path}`);
  const rule = `${service.name} answers 2xx on ${path} (${where})`;
  if (!answer.ok) {
    const measured = answer.status
      ? `${answer.status} ${answer.detail}`.trim()
      : `no answer (${answer.detail})`;
    return { rule, measured, allowed: "200 to 299" };
  }
  for (const [member, wanted] of Object.entries(expect)) {
    const found = memberOf(answer.text, member);
    if (found === wanted) continue;
    return {
      rule: `${service.name} says ${member} on ${path} (${where})`,
      measured: found ?? "nothing",
      allowed: wanted,
    };
  }
  return null;
}

/** A member of a JSON text by its dotted path, as text; undefined where there is none. */
export function memberOf(text: string, path: string): string | undefined {
  try {
    const value = path
      .split(".")
      .reduce<unknown>((at, name) => (at as Record<string, unknown> | null)?.[name], JSON.parse(text));
    return value === undefined ? undefined : String(value);
  } catch {
    return undefined;
  }
}

/** Three times in a row is not healthy (TRD-6); once may be a lost packet. */
export async function askPatiently(work: () => Promise<Complaint | null>): Promise<Complaint | null> {
  let last: Complaint | null = null;
  for (let attempt = 1; attempt <= 3; attempt++) {
    last = await work();
    if (!last) return null;
    if (attempt < 3) await pause(500);
  }
  return last;
}
