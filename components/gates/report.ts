import { type Judgement, type Metric, type Rule, round, takenOverWindow } from "./rules.ts";

/** How a rule and what was measured are written for people: one line a rule, measured against allowed. */

export interface RuleLine {
  readonly rule: Rule;
  /** @example "errorRate > 5 % for 120 s" */
  readonly name: string;
  readonly state: Judgement["state"] | "not applicable";
  /** The service the figures are of: the worst one. */
  readonly service: string | null;
  /** @example "7.2 % (api)" */
  readonly measured: string;
  /** @example "≤ 5 % over 120 s" */
  readonly allowed: string;
  readonly brokenAt: number | null;
  /** The whole line, @example "errorRate 0.2 % ≤ 1 % over 60 s (api)" */
  readonly text: string;
}

export function ruleName(rule: Rule): string {
  const limit = `${rule.metric} > ${written(rule.metric, rule.above)}`;
  if (rule.forSeconds === 0) return limit;
  return `${limit} ${takenOverWindow(rule.metric) ? "over" : "for"} ${round(rule.forSeconds)} s`;
}

/** @param judgement null when the rule applies to no service of the release */
export function measuredLine(rule: Rule, service: string | null, judgement: Judgement | null): RuleLine {
  const limit = written(rule.metric, rule.above);
  const over = rule.forSeconds === 0 ? "" : ` over ${round(rule.forSeconds)} s`;
  const line = { rule, name: ruleName(rule), service, allowed: `≤ ${limit}${over}` };
  if (judgement === null) {
    const text = `${rule.metric} – ≤ ${limit}${over}: not applicable`;
    return { ...line, state: "not applicable", measured: "–", brokenAt: null, text };
  }
  const { state, value, atLeast, brokenAt, reason } = judgement;
  const found = value === null ? "–" : `${atLeast ? "≥ " : ""}${written(rule.metric, value)}`;
  const compared = value !== null && value > rule.above ? ">" : "≤";
  const measured = `${found}${reason ? `, ${reason}` : ""}${service ? ` (${service})` : ""}`;
  const notes = [service, reason, state === "held" || state === "broken" ? null : state];
  if (state === "broken") notes.push(rule.decision);
  const note = notes.filter((text) => text !== null).join(", ");
  const text = `${rule.metric} ${found} ${compared} ${limit}${over}${note ? ` (${note})` : ""}`;
  return { ...line, state, measured, brokenAt, text };
}

/** A value in the unit people read, three digits: "0.2 %", "812 ms", "12 MB/min", "2 in a row". */
export function written(metric: Metric, value: number): string {
  switch (metric) {
    case "errorRate":
    case "cpu":
      return `${round(value * 100)} %`;
    case "p95":
    case "p99":
      return value < 10 ? `${round(value * 1000)} ms` : `${round(value)} s`;
    case "memoryGrowth":
      return `${round(value / 1_000_000)} MB/min`;
    case "healthFailures":
    case "databaseFailures":
      return `${value} in a row`;
    default:
      return `${value}`;
  }
}
