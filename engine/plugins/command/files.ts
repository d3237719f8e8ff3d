/** Files that a local command left behind, found by glob and handed over as assets. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { archiveValue, asset, assetValue, type Properties, type Value } from "../protocol/values.ts";

/**
 * Files under `folder` whose path from there matches the rules, in order; a rule that begins with `!` takes out
 * what earlier ones put in. `*` stops at a slash, `**` does not.
 * @returns asset values by path from the folder
 */
export async function filesMatching(folder: string, rules: readonly string[]): Promise<Properties> {
  const compiled = rules.map((rule) => ({
    leaves: rule.startsWith("!"),
    pattern: globPattern(rule.replace(/^!/, "")),
  }));
  const found: Record<string, Value> = {};
  for (const path of await filesUnder(folder)) {
    let wanted = false;
    for (const { leaves, pattern } of compiled) if (pattern.test(path)) wanted = !leaves;
    if (!wanted) continue;
    const full = join(folder, path);
    found[path] = assetValue({ hash: await hashOf(full), path: full });
  }
  return found;
}

/**
 * An archive of the given assets.
 * Its hash is over their names and hashes: it changes exactly when they do, though it is not the engine's own.
 */
export async function archiveOf(assets: Properties): Promise<Properties> {
  const hash = createHash("sha256");
  for (const [path, value] of Object.entries(assets)) hash.update(`${path}\0${asset(value)?.hash}\n`);
  return archiveValue({ hash: hash.digest("hex"), assets });
}

async function filesUnder(folder: string, prefix = ""): Promise<string[]> {
  const entries = await readdir(join(folder, prefix), { withFileTypes: true });
  entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  const found: string[] = [];
  for (const entry of entries) {
    const path = prefix === "" ? entry.name : `${prefix}/${entry.name}`;
    if (entry.isDirectory()) found.push(...(await filesUnder(folder, path)));
    else found.push(path);
  }
  return found;
}

async function hashOf(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest("hex");
}

/**
 * A glob as a regular expression: `*`, `**`, `?`, `[a-z]`, `[!a-z]`, `{this,that}` and `\` before a plain character.
 * @throws on a bracket or brace that is never closed
 */
export function globPattern(glob: string): RegExp {
  let source = "";
  let depth = 0;
  for (let index = 0; index < glob.length; index++) {
    const character = glob[index] ?? "";
    if (character === "*") {
      const deep = glob[index + 1] === "*";
      source += deep ? ".*" : "[^/]*";
      if (deep) index++;
    } else if (character === "?") {
      source += "[^/]";
    } else if (character === "[") {
      const end = glob.indexOf("]", index + 2);
      if (end < 0) throw new Error(`the glob ${glob} opens a bracket and never closes it`);
      const body = glob.slice(index + 1, end).replace(/\\/g, "\\\\");
      source += body.startsWith("!") ? `[^/${body.slice(1)}]` : `[${body.replace(/^\^/, "\\^")}]`;
      index = end;
    } else if (character === "{") {
      depth++;
      source += "(?:";
    } else if (character === "}" && depth > 0) {
      depth--;
      source += ")";
    } else if (character === "," && depth > 0) {
      source += "|";
    } else {
      const literal = character === "\\" ? (glob[++index] ?? "\\") : character;
      source += literal.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&");
    }
  }
  if (depth > 0) throw new Error(`the glob ${glob} opens a brace and never closes it`);
  return new RegExp(`^${source}$`, "s");
}
