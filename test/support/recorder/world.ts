import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { pathToFileURL } from "node:url";
import { pulumiHome } from "../../../engine/checkout.ts";
import { type EngineEnvironment, engineEnvironment } from "../../../engine/environment.ts";
import { version as commandVersion } from "../../../engine/plugins/command/schema.ts";
import { type Faults, faultsFile } from "../../../engine/plugins/recorder/faults.ts";
import { type Begun, type Ended, journalFile, type Line } from "../../../engine/plugins/recorder/journal.ts";
import { markerFile, markerText, recorderVariable } from "../../../engine/plugins/recorder/place.ts";
import { type Thing, World } from "../../../engine/plugins/recorder/world.ts";

export type { Faults, Thing };

/** An operation of the journal. */
export interface Recorded extends Omit<Begun, "outcome" | "id"> {
  /** Its place among all operations, from 1. */
  readonly sequence: number;
  /** "begun": it never ended, as when its process died. */
  readonly outcome: "begun" | "done" | "failed";
  /** ISO 8601; absent where it never ended. */
  readonly ended?: string;
  /** Why it failed. */
  readonly message?: string;
}

/** Which operations, or which things. Each that is given must hold. */
export interface Filter {
  /** Part of `<type> <name>`, as in a fault. */
  readonly match?: string;
  readonly package?: "kubernetes" | "aws" | "cloudflare";
  /** The stack's name. */
  readonly stack?: string;
}
export interface JournalFilter extends Filter {
  /** @default create, update and delete */
  readonly operations?: readonly Begun["operation"][];
  /** @default false: what previews asked for is left out */
  readonly previews?: boolean;
  /** Only operations after that one: what an earlier `position()` said. */
  readonly after?: number;
}

/** Folder of a `command` plugin that runs in every stack: the bundled one refuses those that a world plays. */
export const commandFolder = join(import.meta.dirname, "bin");

/**
 * The world that the recorder plugin answers from, for one test: a folder with what exists, the journal and the faults.
 * Give `environment` to whatever runs the engine (a Checkout, `engineEnvironment`): then kubernetes, aws and cloudflare
 * are the recorder in every stack, and `command` is the vendor's where it is installed, else the test's own.
 */
export class RecorderWorld {
  readonly folder: string;

  constructor() {
    this.folder = mkdtempSync(join(tmpdir(), "switchyard-recorder-"));
    writeFileSync(join(this.folder, markerFile), markerText);
    mkdirSync(join(this.folder, "state"));
  }

  /** A file backend of its own comes with it: the recorder refuses every other kind. */
  get environment(): Record<string, string> {
    return {
      [recorderVariable]: this.folder,
      PULUMI_BACKEND_URL: pathToFileURL(join(this.folder, "state")).href,
      PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION: "true",
      PATH: [process.env.PATH ?? "", ...(hasVendorsCommand() ? [] : [commandFolder])].join(delimiter),
    };
  }

  /** The engine and its whole environment, for tests that start the CLI themselves. */
  engine(stack: string, more: NodeJS.ProcessEnv = {}): Promise<EngineEnvironment> {
    return engineEnvironment({ stack, env: { ...process.env, ...this.environment, ...more } });
  }

  /** Replaces all faults, also while an update runs; `nth` counts from now. */
  setFaults(faults: Faults): void {
    const since = this.#read(journalFile).length;
    const path = join(this.folder, faultsFile);
    writeFileSync(`${path}.new`, JSON.stringify({ since, ...faults }));
    renameSync(`${path}.new`, path);
  }

  clearFaults(): void {
    this.setFaults({});
  }

  /** Operations in the order they began. */
  journal(filter: JournalFilter = {}): readonly Recorded[] {
    const { operations = ["create", "update", "delete"], previews = false, after = 0 } = filter;
    return this.#recorded().filter(
      (one) =>
        one.sequence > after &&
        operations.includes(one.operation) &&
        one.preview === previews &&
        fits(filter, { ...one, stack: stackOf(one.urn) }),
    );
  }

  /** The same as lines, for comparing whole orders: `create kubernetes:apps/v1:Deployment web`, `… failed`. */
  steps(filter: JournalFilter = {}): readonly string[] {
    return this.journal(filter).map(({ operation, type, name, outcome }) => {
      const ending = outcome === "done" ? "" : outcome === "failed" ? " failed" : " never ended";
      return `${operation} ${type} ${name}${ending}`;
    });
  }

  /** How many operations there are so far, for `after`. */
  position(): number {
    return this.#recorded().length;
  }

  /** What exists, by type and name. @param left also what programs have deleted and the real one would keep */
  things(filter: Filter = {}, left = false): readonly Thing[] {
    return new World(this.folder)
      .all()
      .filter((thing) => fits(filter, thing) && (left || thing.left !== true))
      .sort((a, b) => (`${a.type} ${a.place}` < `${b.type} ${b.place}` ? -1 : 1));
  }

  /** The only thing that fits. @throws where there are none or several */
  thing(filter: Filter): Thing {
    const found = this.things(filter);
    const [only] = found;
    if (only !== undefined && found.length === 1) return only;
    const names = found.map(({ type, name }) => `${type} ${name}`);
    throw new Error(`${JSON.stringify(filter)} fits ${names.length === 0 ? "nothing" : names.join(", ")}`);
  }

  /** Takes something out of the world behind the engine's back. */
  lose(filter: Filter): void {
    new World(this.folder).remove(this.thing(filter));
  }

  /** Puts something into the world that no program made: a namespace, a bucket. */
  give(thing: Pick<Thing, "stack" | "type" | "id"> & Partial<Thing>): void {
    const [owner = ""] = thing.type.split(":");
    const found = { package: owner, name: thing.id, urn: "", place: thing.id, inputs: {}, outputs: {} };
    new World(this.folder).put({ ...found, ...thing });
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }

  #recorded(): readonly Recorded[] {
    const lines = this.#read(journalFile)
      .toString("utf8")
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as Line);
    const ends = new Map(
      lines.filter((line): line is Ended => line.outcome !== "begun").map((line) => [line.id, line]),
    );
    return lines
      .filter((line): line is Begun => line.outcome === "begun")
      .map(({ id, ...begun }, index) => {
        const end = ends.get(id);
        const sequence = index + 1;
        if (end === undefined) return { ...begun, sequence };
        const { outcome, time: ended, message } = end;
        return { ...begun, sequence, outcome, ended, ...(message === undefined ? {} : { message }) };
      });
  }

  #read(name: string): Buffer {
    try {
      return readFileSync(join(this.folder, name));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return Buffer.alloc(0);
      throw error;
    }
  }
}

/** On PATH the vendor's comes first by itself; in Pulumi's own folder the engine would look last. */
function hasVendorsCommand(): boolean {
  return existsSync(join(pulumiHome(process.env), "plugins", `resource-command-v${commandVersion}`));
}

function fits(filter: Filter, one: { type: string; name: string; package: string; stack: string }): boolean {
  return (
    `${one.type} ${one.name}`.includes(filter.match ?? "") &&
    one.package === (filter.package ?? one.package) &&
    one.stack === (filter.stack ?? one.stack)
  );
}

function stackOf(urn: string): string {
  return urn.split("::")[0]?.replace("urn:pulumi:", "") ?? "";
}
