import type { Rule, RuleTable } from "./rules.ts";

/**
 * The rules of each system's bake, as its deployment document has them. Crash, failed health and the emergency stop
 * (Observation.emergencyStop) decide at once, whatever the table.
 */

const megabyte = 1_000_000;

/** A process that ends by itself has crashed; the supervisor starting it again changes nothing about that. */
const crashed: Rule = { metric: "restarts", above: 0, forSeconds: 0, decision: "rollback" };

/** Three failed health checks in a row (TRD-6 has the number; the others say "failed health"). */
const unhealthy: Rule = { metric: "healthFailures", above: 2, forSeconds: 0, decision: "rollback" };

/** Two failed checks in a row: "failures", "unreachable"; a single one may be one lost packet. */
const databaseGone: Rule = { metric: "databaseFailures", above: 1, forSeconds: 0, decision: "rollback" };

/**
 * CHR-14: error rate > 1 %, p99 > 1000 ms, failed FTSO submissions, service restarts. The document names no windows; a
 * minute keeps one slow garbage collection from undoing a release. It also watches the submissions' success: an oracle
 * that submits nothing fails nothing, so some have to succeed. CHR-15: automatic rollback on failed health.
 */
export const chronoRules: RuleTable = [
  { metric: "errorRate", above: 0.01, forSeconds: 60, decision: "rollback" },
  { metric: "p99", above: 1, forSeconds: 60, decision: "rollback" },
  { metric: "counter:ftso_submissions_failed_total", above: 0, forSeconds: 0, decision: "rollback" },
  { metric: "rises:ftso_submissions_total", above: 0, forSeconds: 0, decision: "rollback" },
  crashed,
  unhealthy,
];

/**
 * Sanctum's document has alert thresholds (errors ≥ 2 %, p95 ≥ 1.5 s, p99 ≥ 3 s, a crash) and no rollback rules of its
 * own: they are held over the two minutes that its load tests take.
 */
export const sanctumRules: RuleTable = [
  { metric: "errorRate", above: 0.02, forSeconds: 120, decision: "rollback" },
  { metric: "p95", above: 1.5, forSeconds: 120, decision: "rollback" },
  { metric: "p99", above: 3, forSeconds: 120, decision: "rollback" },
  crashed,
  unhealthy,
];

/** TRD-6: error rate 5 % for 5 min; p95 1000 ms for 3 min; 3 failed health checks in a row; manual emergency_stop. */
export const traiderRules: RuleTable = [
  { metric: "errorRate", above: 0.05, forSeconds: 300, decision: "rollback" },
  { metric: "p95", above: 1, forSeconds: 180, decision: "rollback" },
  unhealthy,
  crashed,
];

/**
 * POD-8: health failing > 5 min; errors > 5 % for > 2 min; response > 2 s for > 3 min (read as p95); database
 * connection failures.
 */
export const podRules: RuleTable = [
  { metric: "healthFailures", above: 0, forSeconds: 300, decision: "rollback" },
  { metric: "errorRate", above: 0.05, forSeconds: 120, decision: "rollback" },
  { metric: "p95", above: 2, forSeconds: 180, decision: "rollback" },
  databaseGone,
  crashed,
];

/**
 * DEI-6: ROLLBACK on errors > 5 % for > 5 min, p95 > 5 s, crash, database unreachable, leak > 100 MB/min; INVESTIGATE
 * on errors of 1–5 % and p95 of 2–5 s; a single error is OK. The leak is measured over two minutes: a process that
 * warms up grows for one.
 */
export const deiaRules: RuleTable = [
  { metric: "errorRate", above: 0.05, forSeconds: 300, decision: "rollback" },
  { metric: "p95", above: 5, forSeconds: 0, decision: "rollback" },
  crashed,
  databaseGone,
  { metric: "memoryGrowth", above: 100 * megabyte, forSeconds: 120, decision: "rollback" },
  unhealthy,
  { metric: "errorRate", above: 0.01, forSeconds: 0, decision: "investigate" },
  { metric: "p95", above: 2, forSeconds: 0, decision: "investigate" },
];
