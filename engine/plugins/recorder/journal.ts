/**
 * The journal: two lines for an operation, one when it begins and one when it ends, appended by every process that
 * records into the folder. An operation's number is its place among the lines that begin one.
 */
import { appendFileSync, closeSync, existsSync, fstatSync, openSync, readSync } from "node:fs";
import { join } from "node:path";
import type { Properties } from "../protocol/values.ts";

export const journalFile = "journal.jsonl";

export type Operation = "create" | "update" | "delete" | "read" | "invoke";

export interface Begun {
  readonly outcome: "begun";
  /** Of this operation, in all its lines. */
  readonly id: string;
  /** ISO 8601. */
  readonly time: string;
  readonly package: string;
  readonly operation: Operation;
  readonly preview: boolean;
  readonly urn: string;
  /** `kubernetes:apps/v1:Deployment`; of an invoke the function's token. */
  readonly type: string;
  /** Name in the program. */
  readonly name: string;
  /** Without secrets, see `hidden`. Of a delete: what it was made with. */
  readonly inputs: Properties;
}
export interface Ended {
  readonly outcome: "done" | "failed";
  readonly id: string;
  readonly time: string;
  /** Why it failed. */
  readonly message?: string;
}
export type Line = Begun | Ended;

/** An operation that began, with the place it has in the journal. */
export interface Placed extends Begun {
  /** From 1. */
  readonly sequence: number;
  /** Bytes of the journal before it. */
  readonly offset: number;
}

export class Journal {
  readonly #path: string;
  readonly #begun: Placed[] = [];
  #offset = 0;
  #count = 0;

  constructor(folder: string) {
    this.#path = join(folder, journalFile);
  }

  begin(operation: Omit<Begun, "outcome" | "id" | "time">): Placed {
    this.#count += 1;
    const id = `${process.pid}-${this.#count}`;
    this.#append({ outcome: "begun", id, time: new Date().toISOString(), ...operation });
    // Other processes append too: only the file itself tells which place this one took.
    const placed = this.begun().findLast((other) => other.id === id);
    if (placed === undefined) throw new Error(`${this.#path} was changed while it was written`);
    return placed;
  }

  end(id: string, failure?: string): void {
    const time = new Date().toISOString();
    this.#append(
      failure === undefined
        ? { outcome: "done", id, time }
        : { outcome: "failed", id, time, message: failure },
    );
  }

  /** Every operation that has begun so far, oldest first. */
  begun(): readonly Placed[] {
    for (const [line, offset] of this.#news()) {
      if (line.outcome === "begun") {
        this.#begun.push({ ...line, sequence: this.#begun.length + 1, offset });
      }
    }
    return this.#begun;
  }

  /** One write each: the system keeps lines of several processes apart. */
  #append(line: Line): void {
    appendFileSync(this.#path, `${JSON.stringify(line)}\n`);
  }

  #news(): [Line, number][] {
    if (!existsSync(this.#path)) return [];
    const file = openSync(this.#path, "r");
    try {
      const size = fstatSync(file).size - this.#offset;
      if (size <= 0) return [];
      const bytes = Buffer.alloc(size);
      const read = readSync(file, bytes, 0, size, this.#offset);
      const found: [Line, number][] = [];
      let start = 0;
      for (let end = bytes.indexOf(10); end !== -1 && end < read; end = bytes.indexOf(10, start)) {
        found.push([JSON.parse(bytes.toString("utf8", start, end)) as Line, this.#offset + start]);
        start = end + 1;
      }
      this.#offset += start;
      return found;
    } finally {
      closeSync(file);
    }
  }
}
