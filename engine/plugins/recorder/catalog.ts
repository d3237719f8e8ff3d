/** A package told as a table of its types: how each is named, what replaces it, and what it answers beyond its inputs. */
import type { Path } from "../protocol/diff.ts";
import {
  isUnknown,
  type Properties,
  plainProperties,
  secret,
  unknown,
  type Value,
} from "../protocol/values.ts";
import { autoName, type Made, type Model, type Moment, type Subject } from "./model.ts";

/** What a type's functions are told. Inputs are plain; in a preview some may be unknown. */
export interface Known {
  readonly stack: string;
  readonly inputs: Properties;
  readonly id: string;
  /** Outputs so far; empty at creation. */
  readonly was: Properties;
  readonly time: string;
  readonly settings: Properties;
}

export interface Kind {
  /** The input that gets a name of its own where the program gives none. */
  readonly named?: string;
  /** Inputs that make a new one when they change; "all": nothing can be changed in place. */
  readonly replaces: readonly string[] | "all";
  /** Its id, where that follows from the inputs. @default 32 hex digits */
  readonly id?: (inputs: Properties, seed: readonly (string | number)[]) => string;
  /** Outputs that are no inputs. Its keys must not depend on values: a preview answers `unknown` for each. */
  readonly outputs?: (known: Known) => Properties;
  /** Outputs that are secret. */
  readonly secrets?: readonly string[];
  /** Unique among its type, see `Model.place`. @default the input `named` */
  readonly place?: (inputs: Properties) => string | undefined;
  readonly takesOver?: true;
  readonly stays?: true;
  /** `[type, place]` of what must exist, and what the real one says where it does not. */
  readonly needs?: (inputs: Properties) => { type: string; place: string; missing: string } | undefined;
}

export interface Catalog {
  readonly package: "aws" | "cloudflare";
  readonly kinds: Readonly<Record<string, Kind>>;
  readonly functions: Readonly<Record<string, (args: Properties, settings: Properties) => Properties>>;
  /** Id where a kind tells none. */
  readonly id: (seed: readonly (string | number)[]) => string;
}

/** Marks the inputs that the plugin added, so that it keeps them. */
const defaults = "__defaults";

export function modelOf(catalog: Catalog): Model {
  let settings: Properties = {};

  const kindOf = (type: string): Kind => {
    const kind = catalog.kinds[type];
    if (kind !== undefined) return kind;
    const own = `engine/plugins/recorder/${catalog.package}.ts`;
    throw new Error(`the recorder has no ${type}; what it has is listed in ${own}`);
  };
  const place = (type: string, inputs: Properties): string | undefined => {
    const { place: told, named } = kindOf(type);
    const plain = plainProperties(inputs);
    const found = told === undefined ? named && plain[named] : told(plain);
    return typeof found === "string" && !isUnknown(found) ? found : undefined;
  };
  const added = (type: string, known: Known): Properties => {
    const kind = kindOf(type);
    const found = kind.outputs?.(known) ?? {};
    const seal = (key: string, value: Value): Value => (kind.secrets?.includes(key) ? secret(value) : value);
    return Object.fromEntries(Object.entries(found).map(([key, value]) => [key, seal(key, value)]));
  };

  return {
    package: catalog.package,
    replacingConfig: new Set(),
    configure(given) {
      settings = plainProperties(given);
    },

    check({ type, name, urn }, olds, news, taken) {
      const { named } = kindOf(type);
      if (named === undefined || news[named] !== undefined || news[`${named}Prefix`] !== undefined)
        return news;
      const own = olds?.[defaults];
      const kept = Array.isArray(own) && own.includes(named) ? olds?.[named] : undefined;
      const free = (candidate: string): boolean => {
        const at = place(type, { ...news, [named]: candidate });
        return at === undefined || !taken(type, at);
      };
      return { ...news, [named]: kept ?? autoName(name, urn, 7, free), [defaults]: [named] };
    },

    replaces(type) {
      const { replaces } = kindOf(type);
      return (path: Path) => replaces === "all" || replaces.includes(String(path[0]));
    },
    keepsName(type, olds, news) {
      const { named } = kindOf(type);
      if (named === undefined) return false;
      const own = news[defaults];
      if (Array.isArray(own) && own.includes(named)) return false;
      return place(type, olds) !== undefined && place(type, olds) === place(type, news);
    },
    place,
    takesOver: (type) => kindOf(type).takesOver === true,
    needs: (type, inputs) => kindOf(type).needs?.(plainProperties(inputs)),

    make({ stack, type, urn }: Subject, inputs: Properties, { sequence, time }: Moment): Made {
      const kind = kindOf(type);
      const plain = plainProperties(inputs);
      const seed = [stack, urn, sequence];
      const id = kind.id?.(plain, seed) ?? catalog.id(seed);
      return {
        id,
        outputs: { ...added(type, { stack, inputs: plain, id, was: {}, time, settings }), ...inputs },
      };
    },
    foresee({ stack, type }, inputs) {
      const known = { stack, inputs: plainProperties(inputs), id: unknown, was: {}, time: unknown, settings };
      const keys = Object.keys(kindOf(type).outputs?.(known) ?? {});
      return { ...Object.fromEntries(keys.map((key) => [key, unknown])), ...inputs };
    },
    change({ stack, type }, id, olds, news, { time }) {
      const was = plainProperties(olds);
      return { ...added(type, { stack, inputs: plainProperties(news), id, was, time, settings }), ...news };
    },
    stays: (type) => kindOf(type).stays === true,
    contains: () => false,
    invoke(token, args) {
      const called = catalog.functions[token];
      if (called === undefined) {
        const names = Object.keys(catalog.functions).join(", ");
        throw new Error(`the recorder has no function ${token}; it has ${names === "" ? "none" : names}`);
      }
      return called(plainProperties(args), settings);
    },
  };
}

/** An id or a place that is one input, or several with a slash between. */
export function joined(...names: readonly string[]): (inputs: Properties) => string {
  return (inputs) => names.map((name) => text(inputs[name])).join("/");
}

/** The value as text, "" where it is none. */
export function text(value: Value | undefined): string {
  return typeof value === "string" ? value : "";
}
