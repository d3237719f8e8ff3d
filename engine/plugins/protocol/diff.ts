/** What changed between two sets of inputs, in the paths the engine's replaceOnChanges understands. */
import { equal, isPlainObject, type Properties, type Value } from "./values.ts";

export type Path = readonly (string | number)[];
export type ChangeKind = "add" | "delete" | "update";

export interface Change {
  /** `environment.HOME`, `triggers[0]`, `environment["a.b"]`. */
  readonly path: string;
  /** The input the path begins with. */
  readonly property: string;
  readonly kind: ChangeKind;
  readonly replaces: boolean;
}

/**
 * Compares old with new inputs, down to elements and keys; a secret and an asset count as one value.
 * @param replaces whether a change at that path makes a new resource: `["spec", "ports", 0, "port"]`
 */
export function changes(
  olds: Properties,
  news: Properties,
  replaces: (path: Path) => boolean,
): readonly Change[] {
  const found: Change[] = [];
  const note = (path: Path, kind: ChangeKind): void => {
    found.push({ path: pathText(path), property: String(path[0]), kind, replaces: replaces(path) });
  };
  const compare = (path: Path, a: Value | undefined, b: Value | undefined): void => {
    if (Array.isArray(a) && Array.isArray(b)) {
      for (let index = 0; index < Math.max(a.length, b.length); index++) {
        compare([...path, index], a[index], b[index]);
      }
    } else if (isPlainObject(a) && isPlainObject(b)) {
      for (const key of new Set([...Object.keys(a), ...Object.keys(b)])) {
        compare([...path, key], a[key], b[key]);
      }
    } else if (!equal(a, b)) {
      note(path, a === undefined ? "add" : b === undefined ? "delete" : "update");
    }
  };
  const relevant = (key: string): boolean => key !== "version" && !key.startsWith("__");
  for (const key of new Set([...Object.keys(olds), ...Object.keys(news)].filter(relevant))) {
    compare([key], olds[key], news[key]);
  }
  return found;
}

function pathText(path: Path): string {
  return path
    .map((part, index) => {
      if (typeof part === "number") return `[${part}]`;
      if (/[."[\]]/.test(part)) return `["${part.replaceAll('"', '\\"')}"]`;
      return index === 0 ? part : `.${part}`;
    })
    .join("");
}
