/** What this machine has of all that Switchyard needs, and the command that mends each thing missing. */
import { execFile } from "node:child_process";
import { readFile, stat } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";
import { shellCommand } from "../components/box/quote.ts";
import { environmentOf } from "../components/rollout/environment.ts";
import { checkout, type Environment } from "./checkout.ts";
import { arrangement, guarded, loopbackWithoutProxy, nodeFolder, oldestNode } from "./environment.ts";
import { findGenerator } from "./generator.ts";
import { type Found, findEngine, type Located } from "./locate.ts";
import { oldestCli, pins } from "./pins.ts";
import { findPlugins, type Plugin, type PluginName } from "./plugins.ts";
import { atLeast, onPath, versionOf } from "./programs.ts";

export interface Finding {
  /** `Pulumi CLI`, `plugin command`, `git` … */
  readonly what: string;
  /** False only where something that is needed for this stack is missing or too old. */
  readonly ok: boolean;
  /** One line for people: version, where, from where. */
  readonly found: string;
  readonly version?: string;
  readonly path?: string;
  /** "PATH", "npm", "built", "beside the CLI"; of a plugin "vendor", "stand-in", "recorder" or "missing". */
  readonly source?: string;
  /** The command or the step that mends it; also given for what is missing and not needed. */
  readonly mend?: string;
}

export interface Diagnosis {
  readonly ok: boolean;
  readonly findings: readonly Finding[];
  /** Lines for a shell, after which plain `pulumi` works in this folder; empty while there is no engine. */
  readonly exports: readonly string[];
}

/**
 * Looks, builds nothing, changes nothing.
 * @param stack the stack it is asked for: outside development it needs the vendors' plugins. @default "development"
 */
export async function diagnose(env: Environment = process.env, stack = "development"): Promise<Diagnosis> {
  const [engine, plugins, packages, node, git, go, generator, agent] = await Promise.all([
    findEngine(env),
    findPlugins(env),
    packagesFinding(),
    nodeFinding(env),
    programFinding("git", ["--version"], env, "apt-get install git, or https://git-scm.com"),
    goFinding(env),
    findGenerator(env),
    agentFinding(env, stack),
  ]);
  const findings = [
    node,
    packages,
    cliFinding(engine),
    hostFinding(engine),
    ...plugins.map((plugin) => pluginFinding(plugin, stack)),
    git,
    engine.cli === undefined ? { ...go, ok: go.version !== undefined } : go,
    generatorFinding(generator, go),
    agent,
  ];
  return {
    ok: findings.every(({ ok }) => ok),
    findings,
    exports: await exportLines(engine, plugins, stack, env),
  };
}

/** The findings as aligned lines, then the lines to export. */
export function diagnosisText(diagnosis: Diagnosis): string {
  const width = Math.max(...diagnosis.findings.map(({ what }) => what.length));
  const lines = diagnosis.findings.flatMap(({ what, ok, found, mend }) => [
    `${ok ? "✓" : "✗"} ${what.padEnd(width)}  ${found}`,
    ...(mend === undefined ? [] : [`  ${" ".repeat(width)}  → ${mend}`]),
  ]);
  if (diagnosis.exports.length > 0)
    lines.push("", "For plain `pulumi` in this folder:", ...diagnosis.exports);
  return `${lines.join("\n")}\n`;
}

function cliFinding({ cli, passedOver }: Located): Finding {
  const what = "Pulumi CLI";
  if (cli !== undefined) return { what, ok: true, ...described(cli) };
  const others = passedOver.length === 0 ? "none" : `none (${passedOver.join("; ")})`;
  return {
    what,
    ok: false,
    found: `${others}; ${oldestCli} or newer is needed`,
    mend: "`npm start` builds it once with Go (about 3 min), or https://www.pulumi.com/docs/install/",
  };
}

function hostFinding({ host }: Located): Finding {
  const what = "Node language host";
  if (host !== undefined) return { what, ok: true, ...described(host) };
  return {
    what,
    ok: false,
    found: "none",
    mend: "it comes with Pulumi (https://www.pulumi.com/docs/install/); else `npm start` builds it with Go (1 min)",
  };
}

function described({ path, version, source }: Found): Pick<Finding, "found" | "version" | "path" | "source"> {
  return { found: `${version} at ${path} (${source})`, version, path, source };
}

/** Development runs everything on this machine, testing is a cluster; staging and production speak to every vendor. */
const needs = (stack: string, name: PluginName) =>
  name === "command" || (environmentOf(stack) === "testing" ? name === "kubernetes" : guarded(stack));

function pluginFinding({ name, version, source, path }: Plugin, stack: string): Finding {
  const what = `plugin ${name}`;
  const mend = `pulumi plugin install resource ${name} ${version}`;
  if (source === "vendor")
    return { what, ok: true, found: `the vendor's, at ${path}`, path: path ?? "", source };
  if (source === "recorder") {
    return { what, ok: true, found: "the recorder, a stand-in for tests", path: path ?? "", source };
  }
  if (source === "stand-in" && !guarded(stack)) {
    return {
      what,
      ok: true,
      found: "the bundled stand-in (development and tests only)",
      path: path ?? "",
      source,
    };
  }
  if (!needs(stack, name)) return { what, ok: true, found: `none (not needed in ${stack})`, source, mend };
  const found = source === "missing" ? "none" : `only the bundled stand-in, which ${stack} refuses`;
  return { what, ok: false, found, source, mend };
}

async function nodeFinding(env: Environment): Promise<Finding> {
  const folder = await nodeFolder().catch(() => undefined);
  if (folder === undefined) {
    return {
      what: "Node",
      ok: false,
      found: `${process.versions.node}, and ${oldestNode} or newer is needed`,
      mend: "npm ci (brings one on Linux), or install Node 24 (https://nodejs.org)",
    };
  }
  const path = join(folder, "node");
  const version = (await versionOf(path, ["--version"], env)) ?? process.versions.node;
  return { what: "Node", ok: true, found: `${version} at ${path}`, version, path };
}

async function packagesFinding(): Promise<Finding> {
  const changed = (path: string): Promise<number> =>
    stat(join(checkout, path)).then(
      ({ mtimeMs }) => mtimeMs,
      () => 0,
    );
  const [asked, installed] = await Promise.all([
    changed("package-lock.json"),
    changed("node_modules/.package-lock.json"),
  ]);
  const ok = installed >= asked;
  return {
    what: "npm packages",
    ok,
    found: ok ? "as package-lock.json asks" : "older than package-lock.json",
    ...(ok ? {} : { mend: "npm ci" }),
  };
}

async function programFinding(
  what: string,
  words: readonly string[],
  env: Environment,
  install: string,
): Promise<Finding> {
  const [path] = await onPath(what, env);
  if (path === undefined) return { what, ok: false, found: "none", mend: install };
  const version = await versionOf(path, words, env);
  return { what, ok: true, found: `${version ?? "?"} at ${path}`, path, ...(version ? { version } : {}) };
}

/** Only builds need it: where an engine is found it may be missing. */
async function goFinding(env: Environment): Promise<Finding> {
  const install = "https://go.dev/doc/install";
  const found = await programFinding("go", ["version"], env, install);
  if (found.path === undefined)
    return { ...found, ok: true, found: "none (needed only to build the engine)" };
  const { module } = pins(env).cli;
  const wanted = await goWanted(module);
  if (found.version === undefined || atLeast(found.version, wanted)) return found;
  return { ...found, found: `${found.found}; builds need ${wanted}`, mend: install };
}

/** The load and soak gates need one; where there is Go it is built when the first of them runs. */
function generatorFinding(generator: Found | undefined, go: Finding): Finding {
  const what = "load generator";
  if (generator !== undefined) return { what, ok: true, ...described(generator) };
  if (go.version !== undefined)
    return { what, ok: true, found: "none yet (the first load gate builds vegeta)" };
  const mend =
    "install vegeta (https://github.com/tsenart/vegeta#install) or Go (https://go.dev/doc/install)";
  return { what, ok: false, found: "none, and no Go to build it", mend };
}

async function goWanted(module: string): Promise<string> {
  return /^go ([\d.]+)$/m.exec(await readFile(join(module, "go.mod"), "utf8"))?.[1] ?? "0";
}

async function agentFinding(env: Environment, stack: string): Promise<Finding> {
  const what = "ssh-agent";
  const mend = 'eval "$(ssh-agent)" && ssh-add';
  const needed = guarded(stack) && environmentOf(stack) !== "testing";
  const why = needed ? "" : ` (not needed in ${stack})`;
  if (!env.SSH_AUTH_SOCK) return { what, ok: !needed, found: `none${why}`, ...(needed ? { mend } : {}) };
  // ssh-add -l: 0 = keys, 1 = an agent without keys, 2 = no agent behind the socket.
  const { code, keys } = await promisify(execFile)("ssh-add", ["-l"], {
    env: { ...env },
    timeout: 5_000,
  }).then(
    ({ stdout }) => ({ code: 0, keys: stdout.trim().split("\n").length }),
    (error: { code?: unknown }) => ({ code: error.code, keys: 0 }),
  );
  const path = env.SSH_AUTH_SOCK;
  if (code === 0)
    return { what, ok: true, found: `${keys} ${keys === 1 ? "key" : "keys"}, at ${path}`, path };
  const found = `${code === 1 ? "no keys in it" : "it does not answer"}, at ${path}${why}`;
  return { what, ok: !needed, found, path, mend: code === 1 ? "ssh-add" : mend };
}

async function exportLines(
  { cli, host }: Located,
  plugins: readonly Plugin[],
  stack: string,
  env: Environment,
): Promise<readonly string[]> {
  if (cli === undefined || host === undefined) return [];
  const { first, last } = await arrangement(cli, host, plugins, stack);
  const path = [
    ...first.map((one) => shellCommand(one)),
    '"$PATH"',
    ...last.map((one) => shellCommand(one)),
  ].join(delimiter);
  const passphrase = env.PULUMI_CONFIG_PASSPHRASE ?? env.PULUMI_CONFIG_PASSPHRASE_FILE;
  const development =
    environmentOf(stack) === "development" && passphrase === undefined
      ? ["export PULUMI_CONFIG_PASSPHRASE="]
      : [];
  const offline = last.length > 0 ? ["export PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION=true"] : [];
  const proxied = Object.entries(loopbackWithoutProxy(env)).map(
    ([name, value]) => `export ${name}=${shellCommand(value ?? "")}`,
  );
  return [`export PATH=${path}`, ...development, ...offline, ...proxied];
}
