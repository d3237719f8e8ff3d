import { isDeepStrictEqual } from "node:util";
import {
  type Document,
  isMap,
  isNode,
  isScalar,
  isSeq,
  type Node,
  type Pair,
  parseDocument,
  Scalar,
  visit,
  YAMLMap,
} from "yaml";
import { type Pins, PinsError } from "./pins.ts";

/** Edits the text of a stack's file: only the keys that change are written anew, the rest stays byte for byte. */

/** @throws PinsError when it is not YAML. */
export function parseStack(path: string, text: string): Document {
  const document = parseDocument(text);
  const [problem] = document.errors;
  if (problem) throw new PinsError(`${path} is not YAML: ${problem.message}`);
  return document;
}

/** The text with the pins `after` in the place of `before`. */
export function editPins(path: string, text: string, before: Pins, after: Pins): string {
  const document = parseStack(path, text);
  if (!isMap(document.contents)) document.contents = new YAMLMap() as never;
  if (!isMap(document.get("config"))) document.set("config", new YAMLMap());
  for (const [system, is] of Object.entries(after)) {
    const was = before[system];
    if (isDeepStrictEqual(was, is)) continue;
    set(document, ["config", `${system}:live`], was?.live ?? undefined, is.live ?? undefined);
    set(document, ["config", `${system}:kept`], was?.kept ?? [], is.kept);
    for (const name of Object.keys({ ...was?.releases, ...is.releases })) {
      const at = ["config", `${system}:releases`, name];
      const [old, entry] = [was?.releases[name], is.releases[name]];
      if (old === undefined || entry === undefined) set(document, at, old, entry);
      else
        for (const key of Object.keys({ ...old, ...entry }))
          set(document, [...at, key], old[key], entry[key]);
    }
  }
  const [first] = configPairs(text)?.values() ?? [];
  const rewritten = document.toString({
    lineWidth: 0,
    indent: first?.indent.length ?? 2,
    // As the file has it: Pulumi's own command line writes `{a: 1}`, many an editor `{ a: 1 }`.
    flowCollectionPadding: /\{ /.test(text),
  });
  const result = spliced(text, rewritten);
  const wanted = parseDocument(rewritten).toJS();
  return isDeepStrictEqual(parseDocument(result).toJS(), wanted) ? result : rewritten;
}

function set(document: Document, path: readonly string[], was: unknown, is: unknown): void {
  if (isDeepStrictEqual(was, is)) return;
  if (is === undefined) {
    document.deleteIn(path);
    return;
  }
  const old = document.getIn(path, true);
  if (isScalar(old) && typeof is === "string") {
    old.value = is;
    quoteWhereNeeded(old);
    return;
  }
  const value: Node = document.createNode(is);
  visit(value, { Scalar: (_, scalar) => quoteWhereNeeded(scalar) });
  if (isSeq(value)) value.flow = true;
  const key = path.at(-1)!;
  const parent = mapAt(document, path.slice(0, -1));
  const found = pairOf(parent, key);
  if (found) found.value = value;
  else parent.items.push(document.createPair(keyNode(document, key), value));
}

/** The map at a path, made where nothing (or nothing but a name) stands. */
function mapAt(document: Document, path: readonly string[]): YAMLMap {
  const found = document.getIn(path, true);
  if (isMap(found)) return found;
  const map = new YAMLMap();
  const parent = mapAt(document, path.slice(0, -1));
  const key = path.at(-1)!;
  const pair = pairOf(parent, key);
  if (pair) pair.value = map;
  else parent.items.push(document.createPair(keyNode(document, key), map));
  return map;
}

const pairOf = (map: YAMLMap, key: string): Pair | undefined =>
  map.items.find((pair) => (isScalar(pair.key) ? pair.key.value : pair.key) === key);

function keyNode(document: Document, key: string): Scalar {
  const node = document.createNode(key) as unknown as Scalar;
  quoteWhereNeeded(node);
  return node;
}

/**
 * Pulumi reads the file with another library: `1_000`, `2026-11-21` or `on` would be a number, a date and a switch to
 * one or the other. Text stays plain only where no reader can take it for anything else.
 */
function quoteWhereNeeded(scalar: Scalar): void {
  if (typeof scalar.value !== "string") return;
  const plain = /^[A-Za-z][\w./@-]*(:[A-Za-z]\w*)?$/.test(scalar.value);
  const word = /^(y|n|yes|no|on|off|true|false|null)$/i.test(scalar.value);
  const quoted = scalar.type === Scalar.QUOTE_DOUBLE || scalar.type === Scalar.QUOTE_SINGLE;
  if (!quoted) scalar.type = plain && !word ? Scalar.PLAIN : Scalar.QUOTE_DOUBLE;
}

/**
 * The library writes a whole file in its own style (`[ a ]` for `[a]`): of that text only the keys under `config` whose
 * values differ are taken, each in the place of the old one.
 */
function spliced(old: string, rewritten: string): string {
  const [before, after] = [configPairs(old), configPairs(rewritten)];
  if (before === null || after === null) return rewritten;
  const changed = [...before.entries()].filter(
    ([key, slice]) => !isDeepStrictEqual(slice.value, after.get(key)?.value),
  );
  let text = old;
  const added = [...after.entries()].filter(([key]) => !before.has(key));
  const end = Math.max(0, ...[...before.values()].map((slice) => slice.end));
  if (added.length > 0) {
    const lines = added.map(([, slice]) => `\n${slice.indent}${slice.text}`).join("");
    text = text.slice(0, end) + lines + text.slice(end);
  }
  for (const [key, slice] of changed.reverse()) {
    const replacement = after.get(key);
    // A key that goes takes its line along.
    const start = replacement ? slice.start : old.lastIndexOf("\n", slice.start);
    text = text.slice(0, start) + (replacement?.text ?? "") + text.slice(slice.end);
  }
  return text;
}

interface Slice {
  readonly start: number;
  readonly end: number;
  readonly indent: string;
  readonly text: string;
  readonly value: unknown;
}

/** Each key under `config` with its own text, a comment at the end of it included; null where it is no block. */
function configPairs(text: string): Map<string, Slice> | null {
  const document = parseDocument(text);
  const config = document.get("config");
  if (!isMap(config) || config.flow || config.items.length === 0) return null;
  const slices = config.items.map(({ key, value }): [string, Slice] => {
    const start = (key as Scalar).range![0];
    const valueEnd = isNode(value) && value.range ? value.range[1] : (key as Scalar).range![1];
    const trimmed = start + text.slice(start, valueEnd).trimEnd().length;
    const end = trimmed + (/^[ \t]*#[^\n]*/.exec(text.slice(trimmed))?.[0].length ?? 0);
    const indent = text.slice(text.lastIndexOf("\n", start) + 1, start);
    const own = text.slice(start, end).replace(/^([^\n]*:kept"?: )\[ (.*) \]/, "$1[$2]");
    return [
      String((key as Scalar).value),
      { start, end, indent, text: own, value: config.get((key as Scalar).value) },
    ];
  });
  return new Map(slices.map(([key, slice]) => [key, { ...slice, value: plainOf(document, slice.value) }]));
}

const plainOf = (document: Document, value: unknown): unknown =>
  isNode(value) ? value.toJS(document) : value;
