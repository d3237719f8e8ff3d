/** Provider plugins: the vendor's wherever it is installed, else the stand-in this repository brings. */
import { readFile, realpath, stat } from "node:fs/promises";
import { join, sep } from "node:path";
import { checkout, type Environment, pulumiHome } from "./checkout.ts";
import { isExecutable, onPath } from "./programs.ts";

export const pluginNames = ["command", "kubernetes", "aws", "cloudflare"] as const;
export type PluginName = (typeof pluginNames)[number];

export interface Plugin {
  readonly name: PluginName;
  /** The version its SDK asks for. */
  readonly version: string;
  readonly source: "vendor" | "stand-in" | "missing";
  /** The program, or the folder of an installed plugin. */
  readonly path?: string;
}

/** Folder with the stand-in's program. */
export function standInFolder(name: PluginName): string {
  return join(checkout, "engine", "plugins", name, "bin");
}

export function findPlugins(env: Environment): Promise<readonly Plugin[]> {
  return Promise.all(pluginNames.map((name) => findPlugin(name, env)));
}

/** What the engine would take, with the stand-in counted last: PATH, then Pulumi's own folder. */
async function findPlugin(name: PluginName, env: Environment): Promise<Plugin> {
  const version = await sdkVersion(name);
  const program = `pulumi-resource-${name}`;
  for (const path of await onPath(program, env)) {
    if (!(await isOurs(path, name))) return { name, version, source: "vendor", path };
  }
  const installed = join(pulumiHome(env), "plugins", `resource-${name}-v${version}`);
  // A .partial beside it marks a download that was cut off.
  if ((await exists(installed)) && !(await exists(`${installed}.partial`))) {
    return { name, version, source: "vendor", path: installed };
  }
  const own = join(standInFolder(name), program);
  return (await isExecutable(own))
    ? { name, version, source: "stand-in", path: own }
    : { name, version, source: "missing" };
}

/** A stand-in of this or another checkout may be on PATH already. */
async function isOurs(path: string, name: PluginName): Promise<boolean> {
  const tail = join(sep, "engine", "plugins", name, "bin", `pulumi-resource-${name}`);
  return (await realpath(path)).endsWith(tail);
}

async function sdkVersion(name: PluginName): Promise<string> {
  const manifest = join(checkout, "node_modules", "@pulumi", name, "package.json");
  return (JSON.parse(await readFile(manifest, "utf8")) as { version: string }).version;
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
