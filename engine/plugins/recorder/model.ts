/** What the recorder must know of a package to answer as its plugin would. */
import { createHash } from "node:crypto";
import type { Path } from "../protocol/diff.ts";
import { isSecret, type Properties, secret, type Value } from "../protocol/values.ts";
import type { Thing } from "./world.ts";

export interface Subject {
  readonly urn: string;
  readonly stack: string;
  readonly type: string;
  readonly name: string;
}

export interface Made {
  readonly id: string;
  readonly outputs: Properties;
}

/** The moment of an operation. */
export interface Moment {
  /** Its number in the journal. */
  readonly sequence: number;
  /** ISO 8601, whole seconds. */
  readonly time: string;
}

/**
 * A package. Inputs come and go with their secret envelopes; each method opens what it must look into.
 * @throws each: for a type or function that the package does not have here, naming it
 */
export interface Model {
  readonly package: "kubernetes" | "aws" | "cloudflare";
  /** Provider settings that make a new provider, and so new resources. */
  readonly replacingConfig: ReadonlySet<string>;
  /** Settings of the provider, as far as they matter to what it answers. */
  configure(settings: Properties): void;
  /**
   * Inputs with what the plugin adds: names and defaults.
   * @param olds inputs of the state, where there are some
   * @param taken whether something of that type has that place already
   */
  check(subject: Subject, olds: Properties | undefined, news: Properties, taken: Taken): Properties;
  /** Whether a change at a path makes a new resource. */
  replaces(type: string, news: Properties): (path: Path) => boolean;
  /** Whether the old one must go before its replacement can have its name. */
  keepsName(type: string, olds: Properties, news: Properties): boolean;
  /** What no second thing of its type may have; undefined where there may be any number. */
  place(type: string, inputs: Properties): string | undefined;
  /** A second creation takes over the first one's thing, as with what is really a setting of another thing. */
  takesOver(type: string): boolean;
  /** What must exist before, with the words of the real one where it does not. */
  needs(type: string, inputs: Properties): { type: string; place: string; missing: string } | undefined;
  make(subject: Subject, inputs: Properties, moment: Moment): Made;
  /** Outputs before creation: inputs, and `unknown` for what only the real one can tell. */
  foresee(subject: Subject, inputs: Properties): Properties;
  /** @param olds outputs of the state */
  change(subject: Subject, id: string, olds: Properties, news: Properties, moment: Moment): Properties;
  /** Deleting it does nothing: it stays where it is. */
  stays(type: string): boolean;
  /** Things that go with it. */
  contains(type: string, place: string, other: Thing): boolean;
  invoke(token: string, args: Properties): Properties;
}

export type Taken = (type: string, place: string) => boolean;

/** Digits that are the same wherever the same words are given. */
export function digits(length: number, ...words: readonly (string | number)[]): string {
  return createHash("sha256").update(JSON.stringify(words)).digest("hex").slice(0, length);
}

export function uuid(...words: readonly (string | number)[]): string {
  const hex = digits(32, "uuid", ...words);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20)}`;
}

/** The first name with a suffix that nothing has: the same in a preview and its update, another for a replacement. */
export function autoName(
  prefix: string,
  urn: string,
  length: number,
  free: (name: string) => boolean,
): string {
  for (let attempt = 0; ; attempt++) {
    const name = `${prefix}-${digits(length, urn, attempt)}`;
    if (free(name)) return name;
  }
}

/** Changes what is inside a secret's envelope, or the value where it has none. */
export function within(value: Value | undefined, change: (inner: Value) => Value): Value {
  return isSecret(value) ? secret(change(value.value ?? null)) : change(value ?? null);
}
