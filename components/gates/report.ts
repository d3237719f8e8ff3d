import {
  applicationMetric,
  hasToRise,
  type Judgement,
  type Metric,
  type Rule,
  round,
  takenOverWindow,
} from "./rules.ts";
import type { Source } from "./traffic-watch.ts";

/** How a rule and what was measured are written for people: one line a rule, measured against allowed. */

export interface Judged {
  /** Null: no service could be judged. */
  readonly service: string | null;
  readonly source?: Source;
  readonly judgement: Judgement;
}

export interface RuleLine {
  readonly rule: Rule;
  /** @example "errorRate > 5 % for 120 s" */
  readonly name: string;
  readonly state: Judgement["state"] | "not applicable";
  /** The service the figures are of: the worst one. */
  readonly service: string | null;
  /** @example "7.2 %, 198 of 2745 requests (api)" */
  readonly measured: string;
  /** @example "≤ 5 % over 120 s" */
  readonly allowed: string;
  readonly brokenAt: number | null;
  /** Of a share: how many requests were looked at, else 0. */
  readonly requests: number;
  /** The whole line, @example "errorRate 0.2 % ≤ 1 % over 60 s (api, 5 of 2745 requests, sees 1.6 % with 99 %)" */
  readonly text: string;
}

export function ruleName(rule: Rule): string {
  const limit = written(rule.metric, rule.above);
  if (hasToRise(rule)) return `${rule.metric} by more than ${limit}`;
  const name = `${rule.metric} > ${limit}`;
  if (rule.forSeconds === 0) return name;
  return `${name} ${takenOverWindow(rule.metric) ? "over" : "for"} ${round(rule.forSeconds)} s`;
}

/** @param judged the worst of those that the rule asks; null when it applies to no service of the release */
export function measuredLine(rule: Rule, judged: Judged | null): RuleLine {
  const limit = written(rule.metric, rule.above);
  const over = rule.forSeconds === 0 ? "" : ` over ${round(rule.forSeconds)} s`;
  const allowed = hasToRise(rule) ? `> ${limit}` : `≤ ${limit}${over}`;
  const line = { rule, name: ruleName(rule), service: judged?.service ?? null, allowed };
  if (judged === null) {
    const text = `${rule.metric} – ${allowed}: not applicable`;
    return { ...line, state: "not applicable", measured: "–", brokenAt: null, requests: 0, text };
  }
  const { service, judgement } = judged;
  const { state, value, atLeast, brokenAt, reason, requests = 0 } = judgement;
  const found = value === null ? "–" : `${atLeast ? "≥ " : ""}${written(rule.metric, value)}`;
  const compared = value !== null && value > rule.above ? ">" : "≤";
  const where = service === null ? [] : [`${service}${sources[judged.source ?? "service"]}`];
  const who = where.length === 0 ? "" : ` (${where.join()})`;
  const counted = requests === 0 ? [] : [countOf(judgement)];
  const measured = `${[found, ...counted, ...(reason === null ? [] : [reason])].join(", ")}${who}`;
  const standing = state === "held" ? [] : [state === "broken" ? rule.decision : state];
  const because = reason === null ? [] : [reason];
  return {
    ...line,
    state,
    measured,
    brokenAt,
    requests,
    // Written when it is read: what so many requests can see takes some arithmetic, and a bake judges every second.
    get text() {
      const notes = [...where, ...counted, ...sightOf(rule, judgement), ...because, ...standing];
      const note = notes.length === 0 ? "" : ` (${notes.join(", ")})`;
      return `${rule.metric} ${found} ${compared} ${limit}${over}${note}`;
    },
  };
}

const sources: Readonly<Record<Source, string>> = {
  service: "",
  door: " at the front door",
  own: " by our own requests",
};

/** A histogram's buckets give parts of a request. */
function countOf({ bad = 0, requests = 0 }: Judgement): string {
  return `${round(bad)} of ${Math.round(requests)} requests`;
}

function sightOf(rule: Rule, { sees }: Judgement): string[] {
  if (!sees) return [];
  const share = sees();
  if (share === null) return ["sees nothing yet"];
  const slower = rule.metric === "errorRate" ? "" : " slower";
  return [`sees ${round(share * 100)} %${slower} with 99 %`];
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
      return `${applicationMetric(metric)?.kind === "gauge" ? round(value) : value}`;
  }
}
