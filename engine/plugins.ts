/**
 * Provider plugins: the vendor's wherever it is installed, else the stand-in this repository brings. In a test that says
 * so (see `recorderFolder`) the recorder answers for the clouds, whatever is installed.
 */
import { readFile, realpath, stat } from "node:fs/promises";
import { join, sep } from "node:path";
import { checkout, type Environment, pulumiHome } from "./checkout.ts";
import { recorderFolder } from "./plugins/recorder/place.ts";
import { isExecutable, onPath } from "./programs.ts";

export const pluginNames = ["command", "kubernetes", "aws", "cloudflare"] as const;
export type PluginName = (typeof pluginNames)[number];

export interface Plugin {
  readonly name: PluginName;
  /** The version its SDK asks for. */
  readonly version: string;
  readonly source: "vendor" | "stand-in" | "recorder" | "missing";
  /** The program, or the folder of an installed plugin. */
  readonly path?: string;
}

/** Folder with the program of the stand-in: `command` has one for use, the others one for tests. */
export function standInFolder(name: PluginName): string {
  return join(checkout, "engine", "plugins", standInOf(name), "bin");
}

function standInOf(name: PluginName): "command" | "recorder" {
  return name === "command" ? "command" : "recorder";
}

/** @throws as `recorderFolder` does */
export function findPlugins(env: Environment): Promise<readonly Plugin[]> {
  const recorded = recorderFolder(env) !== undefined;
  return Promise.all(pluginNames.map((name) => findPlugin(name, env, recorded)));
}

/** What the engine would take, with the stand-in counted last: PATH, then Pulumi's own folder. */
async function findPlugin(name: PluginName, env: Environment, recorded: boolean): Promise<Plugin> {
  const version = await sdkVersion(name);
  const program = `pulumi-resource-${name}`;
  const own = join(standInFolder(name), program);
  if (standInOf(name) === "recorder" && recorded) return { name, version, source: "recorder", path: own };
  for (const path of await onPath(program, env)) {
    if (!(await isOurs(path, name))) return { name, version, source: "vendor", path };
  }
  const installed = join(pulumiHome(env), "plugins", `resource-${name}-v${version}`);
  // A .partial beside it marks a download that was cut off.
  if ((await exists(installed)) && !(await exists(`${installed}.partial`))) {
    return { name, version, source: "vendor", path: installed };
  }
  return standInOf(name) === "command" && (await isExecutable(own))
    ? { name, version, source: "stand-in", path: own }
    : { name, version, source: "missing" };
}

/** A stand-in of this or another checkout may be on PATH already. */
async function isOurs(path: string, name: PluginName): Promise<boolean> {
  const tail = join(sep, "engine", "plugins", standInOf(name), "bin", `pulumi-resource-${name}`);
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
