/** Operations: each is written down, struck by the faults that a test has set, and done to the world. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Properties } from "../protocol/values.ts";
import { strikes } from "./faults.ts";
import { hiddenProperties } from "./hide.ts";
import { Journal, type Operation, type Placed } from "./journal.ts";
import type { Made, Model, Moment, Subject, Taken } from "./model.ts";
import { type Thing, World } from "./world.ts";

interface Limits {
  readonly preview: boolean;
  /** 0: none. */
  readonly seconds: number;
}
/** What was made, and why it is a failure all the same. */
interface Result<T> {
  readonly made: T;
  readonly failure: string | undefined;
}

export class Recorder {
  readonly #model: Model;
  readonly #folder: string;
  readonly #journal: Journal;
  readonly #world: World;
  readonly #canceled: AbortSignal;

  constructor(model: Model, folder: string, canceled: AbortSignal) {
    this.#model = model;
    this.#folder = folder;
    this.#journal = new Journal(folder);
    this.#world = new World(folder);
    this.#canceled = canceled;
  }

  taken(stack: string): Taken {
    return (type, place) => this.#world.find(stack, type, place) !== undefined;
  }

  create(subject: Subject, inputs: Properties, limits: Limits): Promise<Result<Made>> {
    return this.#operation("create", subject, inputs, limits, (moment) => {
      if (limits.preview) return { id: "", outputs: this.#model.foresee(subject, inputs) };
      const { type, stack } = subject;
      const needed = this.#model.needs(type, inputs);
      if (needed !== undefined && !this.taken(stack)(needed.type, needed.place))
        throw new Error(needed.missing);
      const made = this.#model.make(subject, inputs, moment);
      const thing = this.#thing(subject, made, inputs);
      if (this.#model.takesOver(type)) this.#world.put(thing);
      else if (!this.#world.make(thing)) throw new Error(this.#exists(thing));
      return made;
    });
  }

  update(
    subject: Subject,
    id: string,
    olds: Properties,
    news: Properties,
    limits: Limits,
  ): Promise<Result<Made>> {
    return this.#operation("update", subject, news, limits, (moment) => {
      const made = { id, outputs: this.#model.change(subject, id, olds, news, moment) };
      if (limits.preview) return made;
      const before = this.#find(subject, id, olds);
      if (before === undefined)
        throw new Error(`${subject.type} "${id}" not found: it is gone from the world`);
      const thing = this.#thing(subject, made, news);
      if (thing.place !== before.place) {
        if (!this.#world.make(thing)) throw new Error(this.#exists(thing));
        this.#world.remove(before);
      } else this.#world.put(thing);
      return made;
    });
  }

  /** Deleting what is gone already is no error. */
  async remove(
    subject: Subject,
    id: string,
    olds: Properties,
    inputs: Properties,
    limits: Limits,
  ): Promise<void> {
    const { failure } = await this.#operation("delete", subject, inputs, limits, () => {
      const thing = this.#find(subject, id, olds);
      if (thing === undefined) return;
      if (this.#model.stays(subject.type)) {
        this.#world.put({ ...thing, left: true });
        return;
      }
      for (const other of this.#world.all()) {
        const inside = this.#model.contains(thing.type, thing.place, other);
        if (inside && other.stack === thing.stack) this.#world.remove(other);
      }
      this.#world.remove(thing);
    });
    if (failure !== undefined) throw new Error(failure);
  }

  /** @returns undefined where it is gone; without a state (an import) what the world tells, secrets hidden */
  async read(
    subject: Subject,
    id: string,
    state: Properties,
    inputs: Properties,
  ): Promise<{ outputs: Properties; inputs: Properties } | undefined> {
    const { made, failure } = await this.#operation("read", subject, inputs, noLimits, () => {
      const known = Object.keys(state).length > 0;
      const thing = known ? this.#find(subject, id, state) : this.#byId(subject, id);
      if (thing === undefined || thing.left === true) return undefined;
      return known ? { outputs: state, inputs } : { outputs: thing.outputs, inputs: thing.inputs };
    });
    if (failure !== undefined) throw new Error(failure);
    return made;
  }

  async invoke(token: string, args: Properties): Promise<Properties> {
    const subject = { urn: "", stack: "", type: token, name: "" };
    const act = () => this.#model.invoke(token, args);
    const { made, failure } = await this.#operation("invoke", subject, args, noLimits, act);
    if (failure !== undefined) throw new Error(failure);
    return made;
  }

  async #operation<T>(
    operation: Operation,
    { urn, type, name }: Subject,
    inputs: Properties,
    { preview, seconds }: Limits,
    act: (moment: Moment) => T,
  ): Promise<Result<T>> {
    const begun = this.#journal.begin({
      package: this.#model.package,
      operation,
      preview,
      urn,
      type,
      name,
      inputs: hiddenProperties(inputs),
    });
    try {
      const { milliseconds, fail, die } = strikes(this.#folder, this.#journal.begun(), begun);
      await this.#wait(milliseconds, seconds);
      if (die?.when === "before") end();
      if (fail !== undefined && fail.made !== true) throw new Error(fail.message);
      const made = act(momentOf(begun));
      if (die?.when === "after") end();
      this.#journal.end(begun.id, fail?.message);
      return { made, failure: fail?.message };
    } catch (error) {
      this.#journal.end(begun.id, error instanceof Error ? error.message : String(error));
      throw error;
    }
  }

  async #wait(milliseconds: number, seconds: number): Promise<void> {
    if (milliseconds <= 0) return;
    const limited = seconds > 0 && seconds * 1_000 < milliseconds;
    const signal = this.#canceled;
    try {
      await sleep(limited ? seconds * 1_000 : milliseconds, undefined, { signal });
    } catch {
      throw new Error("canceled");
    }
    if (limited) throw new Error(`timed out after ${seconds} s`);
  }

  #thing({ stack, type, name, urn }: Subject, { id, outputs }: Made, inputs: Properties): Thing {
    return {
      package: this.#model.package,
      stack,
      type,
      name,
      urn,
      id,
      place: this.#model.place(type, inputs) ?? id,
      inputs: hiddenProperties(inputs),
      outputs: hiddenProperties(outputs),
    };
  }

  /** The thing that the state means, not one that has taken its place. */
  #find({ stack, type }: Subject, id: string, state: Properties): Thing | undefined {
    const thing = this.#world.find(stack, type, this.#model.place(type, state) ?? id);
    return thing?.id === id ? thing : undefined;
  }

  #byId({ stack, type }: Subject, id: string): Thing | undefined {
    return this.#world.all().find((thing) => thing.stack === stack && thing.type === type && thing.id === id);
  }

  #exists({ stack, type, place }: Thing): string {
    const other = this.#world.find(stack, type, place);
    return `${type} "${place}" already exists${other === undefined ? "" : `, made as ${other.name}`}`;
  }
}

const noLimits: Limits = { preview: false, seconds: 0 };

function momentOf({ sequence, time }: Placed): Moment {
  return { sequence, time: `${time.slice(0, 19)}Z` };
}

/** As a machine that loses power: nothing is said, nothing is flushed. */
function end(): never {
  process.kill(process.pid, "SIGKILL");
  throw new Error("unreachable");
}
