import { describe, type Location, runVerb } from "../box/location.ts";
import type { DatabaseGateArgs } from "./database-access.ts";
import type { GateReport } from "./gate-report.ts";

/** Bound of the look: three connections of ten seconds each, two statements, and the way to the box. */
const seconds = 60;

/**
 * The database gate, asked from the box that the application runs on: 127.0.0.1 in its URL is the box's, a database is
 * seldom open to the runner, and who gets in without a password depends on where they come from.
 */
export async function databaseGateFromBox({
  box,
  ...args
}: DatabaseGateArgs & { readonly box: Location }): Promise<GateReport> {
  const { code, stdout, stderr } = await runVerb(box, ["database-access"], JSON.stringify(args), seconds);
  if (code !== 0) throw new Error(stderr.trim() || `database-access exited ${code} on ${describe(box)}`);
  return JSON.parse(stdout) as GateReport;
}
