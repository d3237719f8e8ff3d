import { join, relative } from "node:path";
import { text } from "node:stream/consumers";
import { checkout } from "../../engine/checkout.ts";
import { locateGenerator } from "../../engine/generator.ts";
import { progressLine } from "../../engine/progress.ts";
import { type GateReport, keepEvidence, lineText, passed } from "./gate-report.ts";
import { readGateSpec } from "./gate-spec.ts";
import { resolveOrigins } from "./origins.ts";
import { withOrigins } from "./with-origins.ts";

/**
 * A gate on the runner: `engine/node.sh components/gates/main.ts <gate>`, its spec as JSON on standard input. What it
 * measured goes to standard error, one line a rule; standard output is one line of JSON; exit 1 names what did not hold.
 */
async function main(kind: string, signal: AbortSignal): Promise<GateReport | Skipped> {
  const { origins, served, ...spec } = readGateSpec(await text(process.stdin));
  if (spec.gate !== kind) throw new Error(`the spec is of a ${spec.gate} gate, and ${kind} was asked for`);
  if (served) return { gate: spec.name, skipped: "the release has served a whole bake here before" };
  const asked = withOrigins(spec, await resolveOrigins(origins));
  const find = () => locateGenerator(process.env, progressLine(process.stderr));
  switch (asked.gate) {
    case "load":
      return (await import("./load.ts")).loadGate(asked, find, signal);
    case "soak":
      return (await import("./soak.ts")).soakGate(asked, find, signal);
    case "http":
      return (await import("./http-checks.ts")).httpGate(asked, signal);
    case "certificate":
      return (await import("./certificate.ts")).certificateGate(asked);
    case "scan":
      return (await import("./scan.ts")).scanGate(asked, signal);
    case "database":
      return (await import("./database-from-box.ts")).databaseGateFromBox(asked);
    case "held":
      return (await import("./held.ts")).heldGate(asked);
    case "evidence":
      return (await import("./evidence.ts")).evidenceGate(asked);
  }
}

/** A gate that had nothing to prove; it is no evidence for anybody else. */
interface Skipped {
  readonly gate: string;
  readonly skipped: string;
}

const stop = new AbortController();
for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.once(name, () => stop.abort(new Error(`the gate was ended by ${name}`)));
}

/** @returns the exit code */
async function run(): Promise<number> {
  const report = await main(process.argv[2] ?? "", stop.signal);
  if ("skipped" in report) return say(report);
  const evidence = relative(checkout, await keepEvidence(join(checkout, ".switchyard/evidence"), report));
  const lines = report.lines.map(lineText);
  process.stderr.write(`${[`gate ${report.gate}`, ...lines, `evidence: ${evidence}`].join("\n")}\n`);
  if (!passed(report)) return 1;
  const at = new Date().toISOString();
  return say({ gate: report.gate, passed: at, lines, evidence });
}

async function say(what: object): Promise<0> {
  await new Promise<void>((resolve) => process.stdout.write(`${JSON.stringify(what)}\n`, () => resolve()));
  return 0;
}

run().then(
  (code) => process.exit(code),
  (error: Error) => process.stderr.write(`${error.message}\n`, () => process.exit(1)),
);
