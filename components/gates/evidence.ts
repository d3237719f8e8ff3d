import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { checkout } from "../../engine/checkout.ts";
import { type GateLine, type GateReport, holds } from "./gate-report.ts";

/** What a stack says of the gates that one of its releases passed: an output of the stack, by system. */
export interface ReleaseEvidence {
  readonly release: string;
  /** Image of each service; another image is another release, whatever its name. */
  readonly images: Readonly<Record<string, string>>;
  /** Each gate with the time it was passed. */
  readonly passed: Readonly<Record<string, string>>;
}

export interface EvidenceGateArgs {
  readonly name: string;
  /** @example "staging" */
  readonly stack: string;
  readonly system: string;
  readonly images: Readonly<Record<string, string>>;
  readonly required: readonly string[];
}

/** Asks a stack for its evidence. @throws with what the engine said */
export type AskStack = (stack: string, system: string) => Promise<readonly ReleaseEvidence[]>;

/** Promotion by evidence (SAN-3, SAN-5): the very images that are to be released have passed every gate elsewhere. */
export async function evidenceGate(
  { name, stack, system, images, required }: EvidenceGateArgs,
  askStack: AskStack = askByEngine,
): Promise<GateReport> {
  const known = await askStack(stack, system);
  const same = known.filter((one) => sameImages(one.images, images));
  const lines = required.map((gate): GateLine => {
    const rule = `${gate} in ${stack}, with these images`;
    const at = same
      .flatMap(({ passed }) => passed[gate] ?? [])
      .sort()
      .at(-1);
    const measured = at ? `passed at ${at}` : same.length > 0 ? "not passed" : notSeen(known, stack);
    return holds(rule, at !== undefined, measured, "passed");
  });
  return { gate: name, lines, evidence: { stack, images, known } };
}

function notSeen(known: readonly ReleaseEvidence[], stack: string): string {
  const names = known.map(({ release }) => release).join(", ") || "none";
  return `${stack} has not seen these images (it has evidence of: ${names})`;
}

/** References of the same digest are the same image, whatever registry they come from. */
function sameImages(one: Readonly<Record<string, string>>, other: Readonly<Record<string, string>>): boolean {
  const names = Object.keys(other);
  return names.length > 0 && names.every((name) => digestOf(one[name]) === digestOf(other[name]));
}

function digestOf(image: string | undefined): string | undefined {
  return /sha256:[0-9a-f]{64}$/.exec(image ?? "")?.[0] ?? image;
}

/** Seconds for the engine to read another stack's outputs. */
const boundSeconds = 60;

async function askByEngine(stack: string, system: string): Promise<readonly ReleaseEvidence[]> {
  const words = ["stack", "output", "--json", "--stack", stack, "--non-interactive"];
  try {
    const { stdout } = await promisify(execFile)("pulumi", words, {
      cwd: checkout,
      timeout: boundSeconds * 1000,
      maxBuffer: 64 * 1024 * 1024,
    });
    const outputs = JSON.parse(stdout) as Record<string, { evidence?: ReleaseEvidence[] } | undefined>;
    return outputs[system]?.evidence ?? [];
  } catch (error) {
    const { stderr, message } = error as { stderr?: string; message: string };
    const said = (stderr || message).trim().split("\n").at(-1);
    throw new Error(
      `the outputs of stack ${stack}, which hold ${system}'s evidence, cannot be read: ${said}. ` +
        `Deploy ${stack} first; its secrets provider has to be known to this runner too`,
    );
  }
}
