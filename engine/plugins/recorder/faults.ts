/** Faults that a test asks for; the file is read again for every operation, so they may change while an update runs. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Operation, Placed } from "./journal.ts";

export const faultsFile = "faults.json";

/** Which operations a fault is for. */
export interface Matching {
  /** Part of `<type> <name>`, as in `Deployment traider-v2`. @default every type and name */
  readonly match?: string;
  /** @default create, update and delete */
  readonly operation?: Operation;
  /** Previews are counted and struck only where this is true, and then nothing else is. @default false */
  readonly preview?: boolean;
  /** Only the nth that matches, from 1, counted from when the faults were set. @default every one */
  readonly nth?: number;
}
export interface Fail extends Matching {
  readonly message: string;
  /** It was made or changed all the same, as a Deployment that never becomes available. @default false */
  readonly made?: boolean;
}
export interface Slow extends Matching {
  readonly milliseconds: number;
}
/** The process ends without a word. */
export interface Die extends Matching {
  /** Before it did anything, or after it did and before it answered. */
  readonly when: "before" | "after";
}
export interface Faults {
  readonly fail?: readonly Fail[];
  readonly slow?: readonly Slow[];
  readonly die?: readonly Die[];
}
interface FaultsOnDisk extends Faults {
  /** Length of the journal, in bytes, when they were set. */
  readonly since: number;
}

export interface Strikes {
  readonly milliseconds: number;
  readonly fail: Fail | undefined;
  readonly die: Die | undefined;
}

/** What strikes an operation. @param begun every operation of the journal up to it */
export function strikes(folder: string, begun: readonly Placed[], operation: Placed): Strikes {
  const { since, fail = [], slow = [], die = [] } = readFaults(folder);
  const counted = begun.filter(({ offset, sequence }) => offset >= since && sequence <= operation.sequence);
  const hits = (fault: Matching): boolean =>
    matches(fault, operation) &&
    (fault.nth === undefined || counted.filter((other) => matches(fault, other)).length === fault.nth);
  return {
    milliseconds: slow.filter(hits).reduce((sum, { milliseconds }) => sum + milliseconds, 0),
    fail: fail.find(hits),
    die: die.find(hits),
  };
}

function matches({ match = "", operation, preview = false }: Matching, one: Placed): boolean {
  const kind = operation === undefined ? changing.has(one.operation) : one.operation === operation;
  return kind && one.preview === preview && `${one.type} ${one.name}`.includes(match);
}

const changing: ReadonlySet<Operation> = new Set(["create", "update", "delete"]);

function readFaults(folder: string): FaultsOnDisk {
  const path = join(folder, faultsFile);
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return { since: 0 };
    throw error;
  }
  try {
    const found = JSON.parse(text) as FaultsOnDisk;
    return { ...found, since: found.since ?? 0 };
  } catch (error) {
    throw new Error(
      `${path} is no JSON (${(error as Error).message}); expected { "fail": [], "slow": [], "die": [] }`,
    );
  }
}
