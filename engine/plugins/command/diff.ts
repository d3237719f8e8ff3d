/** What changed between two sets of inputs, in the paths the engine's replaceOnChanges understands. */
import { equal, isPlainObject, type Properties, type Value } from "./values.ts";

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
 * Only an added, removed or wholly changed property of `replacing` replaces by itself: a changed element of it
 * (`triggers[0]`) is an update here, and the SDK's own replaceOnChanges makes it a replacement, as with the vendor's.
 * @param replacing names of inputs that replace; "all" for a resource that cannot be updated
 */
export function changes(
  olds: Properties,
  news: Properties,
  replacing: ReadonlySet<string> | "all",
): readonly Change[] {
  const found: Change[] = [];
  const note = (path: readonly (string | number)[], kind: ChangeKind): void => {
    const text = pathText(path);
    const property = String(path[0]);
    found.push({ path: text, property, kind, replaces: replacing === "all" || replacing.has(text) });
  };
  const compare = (path: readonly (string | number)[], a: Value | undefined, b: Value | undefined): void => {
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

function pathText(path: readonly (string | number)[]): string {
  return path
    .map((part, index) => {
      if (typeof part === "number") return `[${part}]`;
      if (/[."[\]]/.test(part)) return `["${part.replaceAll('"', '\\"')}"]`;
      return index === 0 ? part : `.${part}`;
    })
    .join("");
}
