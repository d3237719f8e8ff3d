/** What exists in the stand-in's world: one JSON file a thing, which comes with its creation and goes with its deletion. */
import { createHash } from "node:crypto";
import {
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import type { Properties } from "../protocol/values.ts";

export interface Thing {
  readonly package: string;
  readonly stack: string;
  readonly type: string;
  /** Name in the program. */
  readonly name: string;
  readonly urn: string;
  /** Its id in the engine's state: `default/web`, a bucket's name, a uuid. */
  readonly id: string;
  /** What no second thing of its type may have: mostly its id, else its name or address. */
  readonly place: string;
  /** Both without secrets. */
  readonly inputs: Properties;
  readonly outputs: Properties;
  /** Deleted by the program, kept by the real one (a Worker's version stays where it is). */
  readonly left?: true;
}

export const worldFolder = "world";

export class World {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = join(folder, worldFolder);
    mkdirSync(this.#folder, { recursive: true });
  }

  find(stack: string, type: string, place: string): Thing | undefined {
    const path = this.#path(stack, type, place);
    return existsSync(path) ? (JSON.parse(readFileSync(path, "utf8")) as Thing) : undefined;
  }

  /** @returns false where another thing has that place, and the new one is not made */
  make(thing: Thing): boolean {
    const path = this.#path(thing.stack, thing.type, thing.place);
    const written = this.#written(path, thing);
    try {
      linkSync(written, path);
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
      throw error;
    } finally {
      rmSync(written);
    }
  }

  /** Whether or not there is one. */
  put(thing: Thing): void {
    const path = this.#path(thing.stack, thing.type, thing.place);
    renameSync(this.#written(path, thing), path);
  }

  remove(thing: Pick<Thing, "stack" | "type" | "place">): void {
    rmSync(this.#path(thing.stack, thing.type, thing.place), { force: true });
  }

  all(): readonly Thing[] {
    return readdirSync(this.#folder)
      .filter((name) => name.endsWith(".json"))
      .sort()
      .map((name) => JSON.parse(readFileSync(join(this.#folder, name), "utf8")) as Thing);
  }

  #written(path: string, thing: Thing): string {
    const written = `${path}.${process.pid}`;
    writeFileSync(written, `${JSON.stringify(thing, undefined, 2)}\n`);
    return written;
  }

  #path(stack: string, type: string, place: string): string {
    const key = createHash("sha256")
      .update(JSON.stringify([stack, type, place]))
      .digest("hex")
      .slice(0, 20);
    return join(this.#folder, `${type.replace(/[^\w.-]+/g, "_")}-${key}.json`);
  }
}
