/** The environment in which the Pulumi CLI does this project's work, on any machine. */

import { mkdir, readFile, realpath } from "node:fs/promises";
import { delimiter, dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { environmentOf } from "../components/rollout/environment.ts";
import type { Progress } from "./build.ts";
import { checkout, type Environment } from "./checkout.ts";
import { type Found, locateEngine } from "./locate.ts";
import { findPlugins, type Plugin, pluginNames, standInFolder } from "./plugins.ts";
import { atLeast, isExecutable } from "./programs.ts";
import { progressLine } from "./progress.ts";

/** Oldest Node that strips types by itself. */
export const oldestNode = "22.18";

export interface EngineOptions {
  /** The stack the command is for; without one nothing is assumed about it. */
  readonly stack?: string | undefined;
  /** @default process.env */
  readonly env?: Environment;
  /** Lines about a build that is going on. @default one line on stderr */
  readonly progress?: Progress;
}

export interface EngineEnvironment {
  /** Path of the Pulumi CLI. */
  readonly command: string;
  /** Everything it and what it starts need: pass it whole to `spawn`. */
  readonly environment: NodeJS.ProcessEnv;
  /** Plugins that are bundled stand-ins in this environment; none outside development but in a recorded test. */
  readonly standIns: readonly Plugin[];
}

/**
 * Finds the engine, builds it where it must, and says how to run it. What the caller's environment sets stays as it is.
 * - PATH: this project's Node, the CLI, the language host, what was there, the stand-in last (a vendor's wins); in a
 *   test that asks for the recorder, that one before everything.
 * - no_grpc_proxy, where a proxy is set: the engine and what it starts talk to each other over loopback.
 * - `development`: a backend in the checkout, an empty passphrase, no looking for plugins in the network.
 * @throws with what to do when no engine can be found or built, or the recorder is asked for and may not run
 */
export async function engineEnvironment(options: EngineOptions = {}): Promise<EngineEnvironment> {
  const env = options.env ?? process.env;
  const progress = options.progress ?? progressLine(process.stderr);
  const { cli, host } = await locateEngine(env, progress);
  const { first, last, standIns } = await arrangement(cli, host, await findPlugins(env), options.stack);
  return {
    command: cli.path,
    environment: {
      ...env,
      PATH: arranged(first, env.PATH ?? "", last),
      PULUMI_SKIP_UPDATE_CHECK: "true",
      ...(environmentOf(options.stack) === "development" ? await developmentDefaults(env) : {}),
      ...(looksForPlugins(options.stack, standIns) ? {} : offline),
      ...loopbackWithoutProxy(env),
    },
    standIns,
  };
}

/** What goes before PATH and what after, for a stack. */
export async function arrangement(
  cli: Found,
  host: Found,
  plugins: readonly Plugin[],
  stack: string | undefined,
): Promise<Pick<EngineEnvironment, "standIns"> & { readonly first: string[]; readonly last: string[] }> {
  const folders = (wanted: Plugin["source"]): string[] =>
    standIns.flatMap(({ source, path }) => (source === wanted && path !== undefined ? [dirname(path)] : []));
  const standIns = plugins.filter(
    ({ source }) => source === "recorder" || (source === "stand-in" && !guarded(stack)),
  );
  const own = [await nodeFolder(), dirname(cli.path), dirname(host.path)];
  return {
    standIns,
    first: [...new Set([...folders("recorder"), ...own])],
    last: folders("stand-in"),
  };
}

/** Stacks in which only the vendors' plugins may run; the clouds' may be the recorder in a test. */
export function guarded(stack: string | undefined): boolean {
  return (environmentOf(stack) ?? "development") !== "development";
}

/** The stack a `pulumi` command line names, else the one PULUMI_STACK names. */
export function stackNamed(words: readonly string[], env: Environment = process.env): string | undefined {
  for (const [index, word] of words.entries()) {
    if (word === "--stack" || word === "-s") return words[index + 1];
    const [, named] = /^(?:--stack=|-s=?)(.+)$/.exec(word) ?? [];
    if (named !== undefined) return named;
  }
  return env.PULUMI_STACK || undefined;
}

/** Folder of the development stack's state. */
export const developmentState = join(checkout, ".switchyard", "state");

async function developmentDefaults(env: Environment): Promise<Environment> {
  const own: Record<string, string> = {};
  if (!env.PULUMI_BACKEND_URL) {
    // Secrets in it are sealed with an empty passphrase: the folder is what keeps them.
    await mkdir(developmentState, { recursive: true, mode: 0o700 });
    own.PULUMI_BACKEND_URL = pathToFileURL(developmentState).href;
  }
  if (env.PULUMI_CONFIG_PASSPHRASE === undefined && env.PULUMI_CONFIG_PASSPHRASE_FILE === undefined) {
    own.PULUMI_CONFIG_PASSPHRASE = "";
  }
  return own;
}

/** The gRPC library sends even loopback to a proxy: behind one the program would not reach its own engine. */
export function loopbackWithoutProxy(env: Environment): Environment {
  if (!env.grpc_proxy && !env.https_proxy && !env.http_proxy) return {};
  const others = env.no_grpc_proxy || env.no_proxy;
  return { no_grpc_proxy: [...(others ? [others] : []), "127.0.0.1", "localhost"].join(",") };
}

const offline = { PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION: "true" };

/** The engine looks for a plugin's release before it looks on PATH: 2.5 s for nothing where there is no network. */
function looksForPlugins(stack: string | undefined, standIns: readonly Plugin[]): boolean {
  const recorded = standIns.some(({ source }) => source === "recorder");
  return !recorded && (environmentOf(stack) !== "development" || standIns.length === 0);
}

/** Folder of the Node that runs the program: the project's own, else the one running this. */
export async function nodeFolder(): Promise<string> {
  const link = join(checkout, "node_modules", ".bin", "node");
  if (await isExecutable(link)) {
    // The link's own folder would put every package's program on PATH with it.
    const folder = dirname(await realpath(link));
    const version = await packageVersion(join(folder, ".."));
    if (version !== undefined && atLeast(version, oldestNode)) return folder;
  }
  if (atLeast(process.versions.node, oldestNode)) return dirname(process.execPath);
  throw new Error(
    `Node ${process.versions.node} is running, and ${oldestNode} or newer is needed; \`npm ci\` brings one on Linux, ` +
      "elsewhere install Node 24",
  );
}

async function packageVersion(folder: string): Promise<string | undefined> {
  const text = await readFile(join(folder, "package.json"), "utf8").catch(() => "{}");
  return (JSON.parse(text) as { version?: string }).version;
}

/** Each folder once: `first` before, `last` after everything else; a stand-in that is not wanted is taken out. */
function arranged(first: readonly string[], path: string, last: readonly string[]): string {
  const ends = new Set([...first, ...last, ...pluginNames.map(standInFolder)]);
  const middle = path.split(delimiter).filter((folder) => folder !== "" && !ends.has(folder));
  return [...new Set([...first, ...middle, ...last])].join(delimiter);
}
