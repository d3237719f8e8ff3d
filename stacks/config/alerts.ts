import { z } from "zod";
import type { Metric, Rule, RuleTable } from "../../components/gates/rules.ts";
import type { SystemContext } from "./read.ts";

/**
 * The alert numbers by which a system's releases are judged while they bake, as its document has them: a whole table, in
 * the place of the documented one. They change in place, without a release.
 */

const metrics: readonly Metric[] = [
  ...(["errorRate", "p95", "p99", "healthFailures", "databaseFailures"] as const),
  ...(["restarts", "memoryGrowth", "cpu"] as const),
];

const metric = z.custom<Metric>(
  (value) => metrics.includes(value as Metric) || /^counter:[a-zA-Z_:][a-zA-Z0-9_:]*$/.test(String(value)),
  `one of ${metrics.join(", ")}, counter:<name>`,
);

export const alerts = z
  .array(
    z.strictObject({
      metric,
      /** Broken by values greater than this: a ratio, seconds, a number, bytes a minute (rules.ts). */
      above: z.number().min(0),
      /** How long, in seconds; 0 is at once. */
      forSeconds: z.number().min(0).max(3600).default(0),
      decision: z.enum(["rollback", "investigate"]).default("rollback"),
    }),
  )
  .min(1)
  .optional();

/** In production none is weaker than the document's, and none is missing. */
export function checkAlerts(
  { alerts: given }: { readonly alerts?: RuleTable | undefined },
  documented: RuleTable,
  { environment, problem }: SystemContext,
): void {
  if (environment !== "production" || given === undefined) return;
  for (const rule of documented) {
    const alike = given.filter((one) => one.metric === rule.metric && one.decision === rule.decision);
    if (alike.some((one) => one.above <= rule.above && one.forSeconds <= rule.forSeconds)) continue;
    const found = alike.length === 0 ? `no ${rule.decision} on ${rule.metric}` : alike.map(show).join("; ");
    problem("alerts", found, `${show(rule)}, or stricter, in production`);
  }
}

function show({ metric: name, above, forSeconds, decision }: Rule): string {
  return `{ metric: ${name}, above: ${above}, forSeconds: ${forSeconds}, decision: ${decision} }`;
}
