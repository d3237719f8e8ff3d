import { below, type GateLine, type GateReport, holds, written } from "./gate-report.ts";
import { attack, type Target } from "./generator.ts";
import type { LoadLimits, LoadTest } from "./limits.ts";
import type { LoadSummary } from "./load-result.ts";

export interface LoadGateArgs extends LoadTest {
  /** Asked in turn; together they get `rate`. */
  readonly targets: readonly Target[];
  /** After which an unanswered request is an error. @default 10 */
  readonly timeoutSeconds?: number;
}

/** Finds the generator; called once a gate. @example () => locateGenerator(env, progress) */
export type FindGenerator = () => Promise<{ readonly path: string; readonly version: string }>;

/**
 * SAN-3: so many requests a second for so long, each with a body of so many bytes. Open model: a slow server does not
 * slow the measurement, and the latency of every request that was due while it stalled counts from when it was due.
 */
export async function loadGate(
  args: LoadGateArgs,
  find: FindGenerator,
  signal?: AbortSignal,
): Promise<GateReport> {
  const { name, targets, rate, seconds, bodyBytes, limits, timeoutSeconds = 10 } = args;
  const generator = await find();
  const asked = { targets, rate, seconds, bodyBytes, timeoutSeconds };
  const summary = await attack(generator.path, asked, signal);
  return {
    gate: name,
    lines: loadLines(summary, args, limits),
    evidence: {
      asked: { rate, seconds, bodyBytes, timeoutSeconds, urls: targets.map(({ url }) => url) },
      generator: `vegeta ${generator.version}`,
      limits,
      summary,
    },
  };
}

/** A generator that sent fewer requests than asked has not put the load on: whatever it measured is no verdict. */
const leastShare = 0.99;
/** Seconds by which the last request may be late however short the test: a busy machine, not a lower rate. */
const lastMoments = 0.5;

export function loadLines(
  summary: LoadSummary,
  asked: { readonly rate: number; readonly seconds: number },
  limits: LoadLimits,
): GateLine[] {
  const { sent, errors, latency, lateness } = summary;
  const [reason] = Object.entries(summary.reasons);
  const failed = below("errors", sent === 0 ? null : errors / sent, limits.errors, written.share);
  const said = reason
    ? `${failed.measured} (${errors} of ${sent}; ${reason[1]} × ${reason[0]})`
    : failed.measured;
  return [
    rateLine(summary, asked),
    { ...failed, measured: said },
    below("p95", latency?.p95 ?? null, limits.p95, written.seconds),
    ...(limits.p99 === undefined ? [] : [below("p99", latency?.p99 ?? null, limits.p99, written.seconds)]),
    ...(lateness === null ? [] : [scheduleLine(lateness.p99, limits)]),
  ];
}

function rateLine(
  { due, sent, rate }: LoadSummary,
  asked: { readonly rate: number; readonly seconds: number },
): GateLine {
  const took = sent / rate;
  const held = sent > 0 && sent >= due * leastShare && took <= asked.seconds / leastShare + lastMoments;
  const measured =
    sent === 0 ? "no request was sent" : `${written.perSecond(rate)}, ${sent} of ${due} requests`;
  const allowed = `≥ ${written.share(leastShare)} of ${written.perSecond(asked.rate)}`;
  return { rule: "rate", measured, allowed, state: held ? "held" : "unmeasured" };
}

/** A generator that is itself late by what the limit allows says nothing about who was slow. */
function scheduleLine(late: number, { p95 }: LoadLimits): GateLine {
  const line = holds(
    "the generator's own lateness (p99)",
    late < p95 / 2,
    written.seconds(late),
    `< ${written.seconds(p95 / 2)}`,
  );
  return line.state === "held" ? line : { ...line, state: "unmeasured" };
}
