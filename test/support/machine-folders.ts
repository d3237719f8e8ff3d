import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { isAlive, type ProcessIdentity } from "./box/processes.ts";

/** What is remembered of a machine while it is up, so that a later process can use it, or remove what is left of it. */
export interface MachineRecord {
  readonly name: string;
  /** The process it was started for; a machine whose owner is gone is a leftover, unless it was to be kept. */
  readonly owner: ProcessIdentity;
  readonly keep: boolean;
  /** The process that holds its namespaces; absent while it is being set up. */
  readonly supervisor?: ProcessIdentity;
}

/** One folder a machine, with its record; root's alone, and gone after a reboot, as the machines are. */
export class MachineFolders<Record extends MachineRecord> {
  private readonly kind: "box" | "cluster";
  private readonly root: string;

  constructor(kind: "box" | "cluster") {
    this.kind = kind;
    this.root = `/run/switchyard-${kind}`;
  }

  of(name: string): string {
    return join(this.root, name);
  }

  /** Makes the machine's folder. Throws when one of that name is there. */
  claim(record: Record): string {
    mkdirSync(this.root, { recursive: true, mode: 0o700 });
    const folder = this.of(record.name);
    try {
      mkdirSync(folder, { mode: 0o700 });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
      const remedy = `node test/support/${this.kind}/main.ts down ${record.name}`;
      throw new Error(`a ${this.kind} named ${record.name} is up already; end it with: ${remedy}`);
    }
    this.write(record);
    return folder;
  }

  write(record: Record): void {
    const file = join(this.of(record.name), "record.json");
    writeFileSync(`${file}.new`, JSON.stringify(record));
    renameSync(`${file}.new`, file);
  }

  /** Undefined when there is no such machine, or it has not got as far as having a record. */
  read(name: string): Record | undefined {
    try {
      return JSON.parse(readFileSync(join(this.of(name), "record.json"), "utf8")) as Record;
    } catch {
      return undefined;
    }
  }

  names(): string[] {
    return existsSync(this.root) ? readdirSync(this.root) : [];
  }

  /** Names of the machines of owners that were killed, and of no other. */
  leftovers(): string[] {
    return this.names().filter((name) => {
      const record = this.read(name);
      return record ? isLeftover(record) : isOld(this.of(name));
    });
  }
}

function isLeftover({ owner, keep, supervisor }: MachineRecord): boolean {
  if (isAlive(owner)) return false;
  return !(keep && supervisor && isAlive(supervisor));
}

/** A folder without a record is either a machine that begins this moment or one whose start was killed. */
function isOld(folder: string): boolean {
  const changed = statSync(folder, { throwIfNoEntry: false })?.mtimeMs;
  return changed !== undefined && Date.now() - changed > 60_000;
}
