import { z } from "zod";
import {
  applicationMetric,
  isShare,
  type Metric,
  type Rule,
  type RuleTable,
} from "../../components/gates/rules.ts";
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
  (value) =>
    metrics.includes(value as Metric) ||
    /^(counter|gauge|rises):[a-zA-Z_:][a-zA-Z0-9_:]*$/.test(String(value)),
  `one of ${metrics.join(", ")}, counter:<name>, gauge:<name>, rises:<name>`,
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

/** Where a system's releases are baked; each measures what it can. */
export type TargetKind = "box" | "cluster" | "edge";

const unmeasurable: Readonly<Record<TargetKind, (metric: Metric) => boolean>> = {
  box: () => false,
  // The baker reaches no database.
  cluster: (metric) => metric === "databaseFailures",
  // A Worker has no process that could be looked at from here, only answers.
  edge: (metric) => !isShare(metric) && metric !== "healthFailures",
};

/**
 * A rule has to be measured by one of the system's targets at least, and a share of errors has to be one that a bake can
 * tell. In production none is weaker than the document's, and none is missing.
 */
export function checkAlerts(
  { alerts: given }: { readonly alerts?: RuleTable | undefined },
  documented: RuleTable,
  targets: readonly TargetKind[],
  { environment, problem }: SystemContext,
): void {
  if (given === undefined) return;
  for (const rule of given) {
    if (targets.every((target) => unmeasurable[target](rule.metric))) {
      problem(
        "alerts",
        show(rule),
        `a metric that ${targets.join(" or ")} can measure: nobody would look at it`,
      );
    }
    if (rule.metric === "errorRate" && (rule.above < smallestShare || rule.above > largestShare)) {
      problem("alerts", show(rule), `errorRate above ${smallestShare} to ${largestShare} (0.1 % to 50 %)`);
    }
  }
  if (environment !== "production") return;
  for (const rule of documented) {
    const alike = given.filter((one) => sameKind(one, rule) && one.decision === rule.decision);
    if (alike.some((one) => one.above <= rule.above && one.forSeconds <= rule.forSeconds)) continue;
    const found = alike.length === 0 ? `no ${rule.decision} on ${rule.metric}` : alike.map(show).join("; ");
    problem("alerts", found, `${show(rule)}, or stricter, in production`);
  }
}

const [smallestShare, largestShare] = [0.001, 0.5];

/** What the application calls its own metric is the config's business; that there is one is the document's. */
function sameKind(one: Rule, other: Rule): boolean {
  const [named, wanted] = [applicationMetric(one.metric), applicationMetric(other.metric)];
  return named && wanted ? named.kind === wanted.kind : one.metric === other.metric;
}

function show({ metric: name, above, forSeconds, decision }: Rule): string {
  return `{ metric: ${name}, above: ${above}, forSeconds: ${forSeconds}, decision: ${decision} }`;
}
