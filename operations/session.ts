import { hostname } from "node:os";
import { environmentOf, isDisposable } from "../components/rollout/environment.ts";
import { type Backend, findBackend } from "./backend.ts";
import type { Engine } from "./engine.ts";
import { ask } from "./engine.ts";
import { type BackendEntry, numberVersions, type StackVersion } from "./history.ts";
import { type LedgerEntry, writeLedger } from "./ledger.ts";
import { readStackFile, type StackFile } from "./stackfile.ts";
import type { Observation, Targets, Unreachable } from "./targets.ts";
import type { Voice } from "./voice.ts";

/** Exit codes of every command. */
export const exit = {
  ok: 0,
  /** Refused, or failed and taken back: what served before serves. */
  failed: 1,
  /** Words on the command line that nobody understands. */
  usage: 2,
  /** Taking back failed too: read the exact state that was printed. */
  stuck: 3,
  /** Stopped by Ctrl-C. */
  interrupted: 130,
} as const;

export type Exit = (typeof exit)[keyof typeof exit];

/** Everything that a command needs from around it; tests bring their own. */
export interface Surroundings {
  /** Folder of Pulumi.yaml. */
  readonly checkout: string;
  readonly environment: NodeJS.ProcessEnv;
  readonly stdout: NodeJS.WritableStream;
  readonly stderr: NodeJS.WritableStream;
  /** The CLI and its environment for work on that stack. */
  readonly engine: (stack: string) => Promise<Engine>;
  readonly targets: (stack: string, config: Readonly<Record<string, unknown>>) => Promise<Targets>;
}

/** One command's view of one stack. */
export interface Session extends Omit<Surroundings, "engine"> {
  /** Found once a command, when it is first needed. */
  readonly engine: () => Promise<Engine>;
  readonly stack: string;
  readonly voice: Voice;
  readonly who: string;
  /** Aborted by the first Ctrl-C. */
  readonly signal: AbortSignal;
  /** For the ledger: the command as it was typed, without values that could be secret (there are none). */
  readonly command: string;
}

export const disposable = ({ stack }: Pick<Session, "stack">): boolean => isDisposable(environmentOf(stack));

export const readPins = (session: Session): Promise<StackFile> =>
  readStackFile(session.checkout, session.stack);

export async function backendOf(session: Session): Promise<Backend> {
  return findBackend(session.checkout, (await session.engine()).environment);
}

/** Every stack version there is, oldest first; all pages of the backend's history. */
export async function readHistory(session: Session): Promise<StackVersion[]> {
  const size = 500;
  const entries: BackendEntry[] = [];
  const engine = await session.engine();
  for (let page = 1; ; page++) {
    const words = ["stack", "history", "--json", "--stack", session.stack];
    const text = await ask(engine, session.checkout, [
      ...words,
      "--page-size",
      `${size}`,
      "--page",
      `${page}`,
    ]);
    const found = (JSON.parse(text) ?? []) as BackendEntry[];
    entries.push(...found);
    if (found.length < size) return numberVersions(entries);
  }
}

export type Observations = Readonly<Record<string, Observation | Unreachable>>;

/** Asks all targets; what cannot be asked is an answer too, never an error. */
export async function observe(session: Session, file: StackFile): Promise<Observations> {
  try {
    const targets = await session.targets(session.stack, file.config);
    return await targets.observe();
  } catch (error) {
    const unreachable = error instanceof Error ? error.message : String(error);
    return Object.fromEntries(Object.keys(file.pins).map((system) => [system, { unreachable }]));
  }
}

/** Writes the ledger; a full disk must not turn a good deployment into a failed one. */
export async function record(
  session: Session,
  file: StackFile,
  result: LedgerEntry["result"],
  began: number,
): Promise<void> {
  const systems = Object.fromEntries(Object.entries(file.pins).map(([system, { live }]) => [system, live]));
  const seconds = Math.round((Date.now() - began) / 100) / 10;
  const at = new Date(began).toISOString();
  const entry = {
    at,
    who: session.who,
    host: hostname(),
    stack: session.stack,
    command: session.command,
    systems,
    result,
    seconds,
  };
  await writeLedger(session.checkout, entry).catch((error: Error) => {
    session.voice.error(`the ledger could not be written: ${error.message}`);
  });
}
