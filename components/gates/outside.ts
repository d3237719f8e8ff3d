import { performance } from "node:perf_hooks";
import { setTimeout as pause } from "node:timers/promises";
import { ask } from "./ask.ts";
import { type EmergencyStop, stoppedBy } from "./emergency-stop.ts";
import { type GateLine, holds } from "./gate-report.ts";
import { type HttpCheck, makeCheck } from "./http-checks.ts";
import { readScrape } from "./metrics.ts";
import { originNamed, withOrigins } from "./with-origins.ts";

/**
 * Checks from outside (POD-7, TRD-3, DEI-3, CHR-7): what a system's document asks of a release once traffic has moved.
 * They belong to the cutover, between switch and bake, and one that fails takes the release back.
 *
 * An address is whole, or begins with `{name}`: where users reach the service of that name on this target. A check of a
 * service that the release does not have is not made, so that an older release can always be gone back to.
 */
export type OutsideCheck =
  | (HttpCheck & { readonly kind: "answers" })
  | {
      readonly kind: "rises";
      readonly name: string;
      /** Address of Prometheus text. */
      readonly metrics: string;
      /** Counter in it, summed over its labels, that is higher after a request than before it. */
      readonly counter: string;
      /** Address that is asked once. */
      readonly request: string;
    }
  /** The service has written to its log; on a box. */
  | { readonly kind: "logs"; readonly name: string; readonly service: string };

/** Bound of all checks of a leg together, in seconds. */
export const longestVerification = 120;

/** Three times in a row is wrong; once may be a lost packet, or a connection that was on its way. */
const attempts = 3;

export interface OutsideArgs {
  readonly checks: readonly OutsideCheck[];
  /** Where the release's services are reached, by name. */
  readonly origins: Readonly<Record<string, string>>;
  /** Name of the release: an answer through `{name}` that says it is of another one is not its. */
  readonly release: string;
  /** How many lines a service has logged, 10 at most. */
  readonly logged?: (service: string) => Promise<number>;
  /** Headers of every request through `{name}`. */
  readonly headers?: Readonly<Record<string, string>>;
  /** The manual handle (`switchyard stop`); asked before every attempt. */
  readonly stop?: () => Promise<EmergencyStop | null>;
  /** @default longestVerification */
  readonly seconds?: number;
  /** Between two attempts. @default 1000 */
  readonly pauseMilliseconds?: number;
}

/** What was found wrong, with the check's name; null where every check holds. */
export async function verifyFromOutside(
  args: OutsideArgs,
): Promise<Pick<GateLine, "rule" | "measured" | "allowed"> | null> {
  const { origins, seconds = longestVerification, pauseMilliseconds = 1000 } = args;
  const deadline = performance.now() + seconds * 1000;
  for (const check of args.checks.filter((one) => isOf(one, origins))) {
    for (let attempt = 1; ; attempt++) {
      const stopped = await args.stop?.();
      if (stopped) return stoppedBy(stopped);
      const line = await inTime(check, args, deadline);
      if (line === null) {
        const measured = `"${check.name}" had not ended by then`;
        return { rule: `checks from outside end within ${seconds} s`, measured, allowed: "all of them" };
      }
      if (line.state === "held") break;
      if (attempt === attempts) return findingOf(check, line, origins);
      await pause(pauseMilliseconds);
    }
  }
  return null;
}

function isOf(check: OutsideCheck, origins: Readonly<Record<string, string>>): boolean {
  const [name] = namesIn(check);
  return name === undefined || name in origins;
}

function namesIn(check: OutsideCheck): string[] {
  if (check.kind === "logs") return [check.service];
  return [originNamed(check.kind === "rises" ? check.metrics : check.url) ?? []].flat();
}

async function inTime(check: OutsideCheck, args: OutsideArgs, deadline: number): Promise<GateLine | null> {
  const left = deadline - performance.now();
  if (left <= 0) return null;
  const bound = new AbortController();
  const late = pause(left, null, { signal: bound.signal }).catch(() => null);
  const made = make(check, args, bound.signal);
  // Nobody waits for it any more once it is late.
  made.catch(() => {});
  return Promise.race([made, late]).finally(() => bound.abort());
}

async function make(check: OutsideCheck, args: OutsideArgs, signal: AbortSignal): Promise<GateLine> {
  const { origins, headers = {}, logged } = args;
  if (check.kind === "logs") {
    const count = (await logged?.(check.service)) ?? 0;
    return holds(check.name, count > 0, count > 0 ? "it writes" : "no line in its log", "1 line or more");
  }
  const filled = withOrigins(check, origins);
  if (filled.kind === "rises") return makeRise(filled, headers);
  if (check.kind === "answers" && originNamed(check.url) === null) {
    return (await makeCheck(filled, signal)).line;
  }
  const own = { ...filled, release: args.release, headers: { ...headers, ...filled.headers } };
  return (await makeCheck(own, signal)).line;
}

async function makeRise(
  { name, metrics, counter, request }: Extract<OutsideCheck, { kind: "rises" }>,
  headers: Readonly<Record<string, string>>,
): Promise<GateLine> {
  const allowed = `${counter} rises with each request`;
  const before = await countOf(metrics, counter, headers);
  if (typeof before === "string") return holds(name, false, before, allowed);
  await ask(request, { headers });
  const after = await countOf(metrics, counter, headers);
  if (typeof after === "string") return holds(name, false, after, allowed);
  return holds(name, after > before, `${before}, and ${after} after a request`, allowed);
}

/** The counter's total, or why there is none. */
async function countOf(
  metrics: string,
  counter: string,
  headers: Readonly<Record<string, string>>,
): Promise<number | string> {
  const answer = await ask(metrics, { headers });
  if (!answer.ok) return answer.status === 0 ? `no answer (${answer.detail})` : `${answer.status}`;
  try {
    return readScrape(answer.text, { ownPaths: [], counters: [counter] }).counters[counter] ?? 0;
  } catch (error) {
    return (error as Error).message;
  }
}

function findingOf(check: OutsideCheck, line: GateLine, origins: Readonly<Record<string, string>>) {
  const { measured, allowed } = line;
  if (check.kind === "logs") return { rule: `${check.name}: the log of ${check.service}`, measured, allowed };
  const { url, method } =
    check.kind === "rises"
      ? { url: check.metrics, method: "GET" }
      : { url: check.url, method: check.method ?? "GET" };
  return { rule: `${check.name}: ${method} ${withOrigins(url, origins)}`, measured, allowed };
}
