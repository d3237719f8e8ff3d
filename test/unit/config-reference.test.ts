import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { z } from "zod";
import { chronoSchema, chronoSecrets } from "../../stacks/chrono.config.ts";
import { alerts } from "../../stacks/config/alerts.ts";
import { box } from "../../stacks/config/box.ts";
import { cluster, containerService } from "../../stacks/config/cluster.ts";
import { edge, edgeContent } from "../../stacks/config/edge.ts";
import { bake, pins, releaseEntry, source } from "../../stacks/config/fields.ts";
import { systemNames } from "../../stacks/config/read.ts";
import { vaultSchema, vaultSecrets } from "../../stacks/config/vault.ts";
import { deiaSchema, deiaSecrets } from "../../stacks/deia.config.ts";
import { podSchema, podSecrets } from "../../stacks/pod.config.ts";
import { sanctumSchema, sanctumSecrets } from "../../stacks/sanctum.config.ts";
import { traiderSchema, traiderSecrets } from "../../stacks/traider.config.ts";

/** docs/config.md names every key that there is, and none that there is not. */
const reference = read("docs/config.md");

const namespaces: Readonly<Record<string, { schema: z.ZodType; secrets: readonly string[] }>> = {
  vault: { schema: vaultSchema, secrets: vaultSecrets },
  chrono: { schema: chronoSchema, secrets: chronoSecrets },
  sanctum: { schema: sanctumSchema, secrets: sanctumSecrets },
  pod: { schema: podSchema, secrets: podSecrets },
  traider: { schema: traiderSchema, secrets: traiderSecrets },
  deia: { schema: deiaSchema, secrets: deiaSecrets },
};

/** Fields that are described once, each in a section of its own. */
const shared: Readonly<Record<string, readonly string[]>> = {
  pins: Object.keys(pins),
  "release entry": membersOf(releaseEntry),
  source: membersOf(source),
  box: membersOf(box),
  cluster: [...membersOf(cluster), ...membersOf(containerService)],
  edge: [...membersOf(edge), ...membersOf(edgeContent)],
  bake: membersOf(bake),
  alerts: membersOf(alerts),
};

/** Sections that describe a key's members, where the namespace's own does not. */
const describedIn: Readonly<Record<string, string>> = {
  releases: "release entry",
  source: "source",
  box: "box",
  cluster: "cluster",
  mcp: "cluster",
  resources: "cluster",
  edge: "edge",
  bake: "bake",
  alerts: "alerts",
};

function read(path: string): string {
  return readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");
}

/** Members of an object, of every member of a union, and of what a list or a record holds; none of anything else. */
function membersOf(schema: z.core.$ZodType): string[] {
  const { def } = (schema as z.ZodType)._zod as unknown as {
    def: {
      type: string;
      shape?: object;
      options?: z.ZodType[];
      innerType?: z.ZodType;
      element?: z.ZodType;
      valueType?: z.ZodType;
    };
  };
  if (def.shape) return Object.keys(def.shape);
  if (def.options) return def.options.flatMap(membersOf);
  const inner = def.innerType ?? def.element ?? def.valueType;
  return inner ? membersOf(inner) : [];
}

function memberOf(schema: z.ZodType, name: string): z.ZodType {
  const { def } = schema._zod as unknown as {
    def: { shape?: Record<string, z.ZodType>; innerType?: z.ZodType };
  };
  const found = def.shape?.[name] ?? (def.innerType && memberOf(def.innerType, name));
  if (!found) throw new Error(`the schema has no member ${name}`);
  return found;
}

/** The text below a heading, up to the next one of its level or above. */
function section(title: string): string {
  const [, hashes = ""] = new RegExp(`^(#+) ${title}$`, "m").exec(reference) ?? [];
  expect(hashes, `a section "${title}" of docs/config.md`).not.toBe("");
  const [, text = ""] = reference.split(`${hashes} ${title}\n`);
  return text.split(new RegExp(`^#{1,${hashes.length}} `, "m"))[0] ?? "";
}

/** Words of what the text shows as code: in prose they name nothing. */
const names = (text: string): Set<string> =>
  new Set(
    (text.match(/`[^`]+`|^ {4}.*$/gm) ?? []).flatMap((code) => code.match(/[A-Za-z][A-Za-z0-9]*/g) ?? []),
  );

const keysNamed = (text: string): string[] => {
  const found = text.matchAll(
    new RegExp(`\\b(switchyard|${Object.keys(namespaces).join("|")}):([a-zA-Z]+)`, "g"),
  );
  return [...new Set([...found].map(([key]) => key))];
};

describe("the config reference", () => {
  test("knows every system", () => {
    expect(Object.keys(namespaces)).toEqual(["vault", ...systemNames]);
  });

  test.each(Object.entries(namespaces))("names every key of %s, in its section", (namespace, described) => {
    const wanted = [...membersOf(described.schema), ...described.secrets].map(
      (name) => `${namespace}:${name}`,
    );
    const named = keysNamed(section(namespace));
    expect(wanted.filter((key) => !named.includes(key))).toEqual([]);
  });

  test.each(Object.entries(shared))("names every field of %s", (title, fields) => {
    const named = names(section(title));
    expect(fields.filter((field) => !named.has(field))).toEqual([]);
  });

  test.each(Object.entries(namespaces))("names the members of %s's keys", (namespace, { schema }) => {
    const own = section(namespace);
    const missing = membersOf(schema).flatMap((key) => {
      const named = names(describedIn[key] ? section(describedIn[key]) : own);
      return membersOf(memberOf(schema, key))
        .filter((member) => !named.has(member))
        .map((member) => `${namespace}:${key}.${member}`);
    });
    expect(missing).toEqual([]);
  });

  test.each(["docs/config.md", "README.md"])("%s names no key that there is not", (path) => {
    const known = Object.entries(namespaces).flatMap(([namespace, { schema, secrets }]) =>
      [...membersOf(schema), ...secrets].map((name) => `${namespace}:${name}`),
    );
    const unknown = keysNamed(read(path)).filter(
      (key) => ![...known, "switchyard:fingerprintKey"].includes(key),
    );
    expect(unknown).toEqual([]);
  });
});
