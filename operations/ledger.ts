import { appendFile, mkdir } from "node:fs/promises";
import { hostname, userInfo } from "node:os";
import { join } from "node:path";

/** One line of `.switchyard/ledger.jsonl`: what ran, when, who, with what result. */
export interface LedgerEntry {
  /** ISO time at which the command began. */
  readonly at: string;
  readonly who: string;
  readonly host: string;
  readonly stack: string;
  readonly command: string;
  /** Live release by system when the command ended. */
  readonly systems: Readonly<Record<string, string | null>>;
  readonly result: "succeeded" | "taken back" | "failed" | "stuck" | "refused" | "interrupted";
  readonly seconds: number;
}

/** Appends in one write, so that two commands at once do not mix their lines. */
export async function writeLedger(checkout: string, entry: LedgerEntry): Promise<void> {
  const folder = join(checkout, ".switchyard");
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await appendFile(join(folder, "ledger.jsonl"), `${JSON.stringify(entry)}\n`, { mode: 0o600 });
}

/** `name@host`: in CI the person who started the job. */
export function whoAmI(environment: NodeJS.ProcessEnv): string {
  const name = environment.SWITCHYARD_USER || environment.GITHUB_ACTOR || userName(environment);
  return `${name}@${hostname()}`;
}

function userName(environment: NodeJS.ProcessEnv): string {
  try {
    return userInfo().username;
  } catch {
    return environment.USER ?? "unknown"; // a container's user without an entry in /etc/passwd
  }
}
