import { spawn } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { checkout } from "../../../engine/checkout.ts";
import { engineEnvironment } from "../../../engine/environment.ts";

/** A folder with another build of the plugin to run the same tests against, put first on PATH. */
export const otherPlugin = process.env.SWITCHYARD_TEST_PLUGIN_DIR;

export interface Resource {
  readonly type: "local.Command" | "remote.Command" | "remote.CopyToRemote" | "local.run";
  readonly args: object;
  readonly options?: object;
}
/** Resources by name. `{ $secret }`, `{ $file }`, `{ $folder }`, `{ $text }` and `{ $output }` become what they say. */
export type Spec = Readonly<Record<string, Resource>>;

export interface Run {
  readonly ok: boolean;
  /** Operations by resource name, in the order they ended. */
  readonly steps: readonly string[];
  /** Errors and other lines that stay, joined. */
  readonly messages: string;
  /** Lines that pass: what commands print while they run. */
  readonly lines: readonly string[];
  /** Everything the CLI printed but debug lines: the SDK's own of those tell secrets in clear. */
  readonly printed: string;
}

const program = `
import { readFileSync } from "node:fs";
import { local, remote } from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";

const made = {};
const kinds = { $secret: (v) => pulumi.secret(v), $file: (v) => new pulumi.asset.FileAsset(v),
  $text: (v) => new pulumi.asset.StringAsset(v), $folder: (v) => new pulumi.asset.FileArchive(v),
  $output: ([name, key]) => made[name][key] };
const real = (value) => {
  if (Array.isArray(value)) return value.map(real);
  if (typeof value !== "object" || value === null) return value;
  const [key] = Object.keys(value);
  if (key in kinds) return kinds[key](value[key]);
  return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, real(v)]));
};
const types = { "local.Command": local.Command, "remote.Command": remote.Command, "remote.CopyToRemote": remote.CopyToRemote };
export const outputs = {};
for (const [name, { type, args, options }] of Object.entries(JSON.parse(readFileSync("spec.json", "utf8")))) {
  if (type === "local.run") outputs[name] = local.runOutput(real(args)).stdout;
  else made[name] = new types[type](name, real(args), options);
}
`;

/** A throw-away Pulumi project with a stack of its own in a file backend. */
export class TestStack {
  readonly folder: string;
  readonly #command: string;
  readonly #env: NodeJS.ProcessEnv;
  readonly #stack: string;

  private constructor(folder: string, command: string, env: NodeJS.ProcessEnv, stack: string) {
    this.folder = folder;
    this.#command = command;
    this.#env = env;
    this.#stack = stack;
  }

  static async create(stack = "development", extra: NodeJS.ProcessEnv = {}): Promise<TestStack> {
    const folder = await mkdtemp(join(tmpdir(), "switchyard-plugin-"));
    await mkdir(join(folder, "state"));
    await mkdir(join(folder, "work"));
    await symlink(join(checkout, "node_modules"), join(folder, "node_modules"));
    await writeFile(
      join(folder, "Pulumi.yaml"),
      "name: plugin\nruntime: { name: nodejs, options: { typescript: false } }\n",
    );
    await writeFile(
      join(folder, "package.json"),
      '{ "name": "plugin", "type": "module", "main": "index.ts" }',
    );
    await writeFile(join(folder, "index.ts"), program);
    // The stand-in is asked for by name of the development stack: what it does in others is tested too.
    const { command, environment } = await engineEnvironment({ stack: "development" });
    const path = [...(otherPlugin === undefined ? [] : [otherPlugin]), environment.PATH].join(delimiter);
    const env = {
      ...environment,
      PATH: path,
      PULUMI_BACKEND_URL: `file://${join(folder, "state")}`,
      PULUMI_CONFIG_PASSPHRASE: "open sesame",
      PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION: "true",
      ...extra,
    };
    const made = new TestStack(folder, command, env, stack);
    const { code, text } = await made.#cli(["stack", "init"]);
    if (code !== 0) throw new Error(text);
    return made;
  }

  up(spec: Spec): Promise<Run> {
    return this.#update(["up", "--skip-preview", "--yes"], spec);
  }
  preview(spec: Spec): Promise<Run> {
    return this.#update(["preview"], spec, { PULUMI_ENABLE_STREAMING_JSON_PREVIEW: "true" });
  }
  destroy(): Promise<Run> {
    return this.#update(["destroy", "--skip-preview", "--yes"], undefined);
  }

  /** Starts an update without waiting for its end. */
  start(spec: Spec): { readonly started: Promise<number>; readonly run: Promise<Run> } {
    return this.#start(["up", "--skip-preview", "--yes"], spec);
  }

  /** What the state holds about a resource, secrets in clear. */
  async resource(name: string): Promise<{ inputs: Values; outputs: Values } | undefined> {
    const { text } = await this.#cli(["stack", "export", "--show-secrets"]);
    const { deployment } = JSON.parse(text) as { deployment: { resources?: { urn: string }[] } };
    const found = deployment.resources?.find(({ urn }) => urn.endsWith(`::${name}`));
    return found as { inputs: Values; outputs: Values } | undefined;
  }

  /** All that the backend keeps, as it is on disk. */
  async stored(): Promise<string> {
    const files = await readdir(this.path("state"), { recursive: true, withFileTypes: true });
    const texts = files
      .filter((file) => file.isFile())
      .map((file) => readFile(join(file.parentPath, file.name), "utf8"));
    return (await Promise.all(texts)).join("\n");
  }

  path(name: string): string {
    return join(this.folder, name);
  }
  /** What a command wrote into a file, or "" where it wrote none. */
  read(name: string): Promise<string> {
    return readFile(this.path(name), "utf8").catch(() => "");
  }

  async remove(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }

  #update(words: readonly string[], spec: Spec | undefined, env: NodeJS.ProcessEnv = {}): Promise<Run> {
    return this.#start(words, spec, env).run;
  }

  #start(words: readonly string[], spec: Spec | undefined, env: NodeJS.ProcessEnv = {}) {
    const { promise: started, resolve } = Promise.withResolvers<number>();
    const run = (async (): Promise<Run> => {
      if (spec !== undefined) await writeFile(join(this.folder, "spec.json"), JSON.stringify(spec));
      const { code, text } = await this.#cli([...words, "--json"], env, resolve);
      return readRun(code === 0, text);
    })();
    return { started, run };
  }

  #cli(
    words: readonly string[],
    env: NodeJS.ProcessEnv = {},
    started: (pid: number) => void = () => undefined,
  ): Promise<{ code: number | null; text: string }> {
    const child = spawn(this.#command, [...words, "--stack", this.#stack, "--non-interactive"], {
      cwd: this.folder,
      env: { ...this.#env, ...env },
      stdio: ["ignore", "pipe", "pipe"],
      timeout: 120_000,
    });
    started(child.pid ?? -1);
    const chunks: Buffer[] = [];
    child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => chunks.push(chunk));
    return new Promise((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (code) => resolve({ code, text: Buffer.concat(chunks).toString("utf8") }));
    });
  }
}

export type Values = Readonly<Record<string, unknown>>;

interface EngineEvent {
  readonly diagnosticEvent?: {
    readonly message: string;
    readonly severity: string;
    readonly ephemeral?: boolean;
  };
  readonly resOutputsEvent?: { readonly metadata: { readonly op: string; readonly urn: string } };
}

function readRun(ok: boolean, text: string): Run {
  const steps: string[] = [];
  const messages: string[] = [];
  const lines: string[] = [];
  const printed: string[] = [];
  for (const line of text.split("\n")) {
    const event = line.startsWith("{") ? (JSON.parse(line) as EngineEvent) : undefined;
    const said = event?.diagnosticEvent;
    if (said?.severity === "debug") continue;
    printed.push(line);
    if (event === undefined) messages.push(line);
    if (said !== undefined) {
      (said.ephemeral ? lines : messages).push(said.message.replace(/<\{%.*?%\}>/g, "").trimEnd());
    }
    const done = event?.resOutputsEvent?.metadata;
    if (done?.urn.includes("::command:")) steps.push(`${done.op} ${done.urn.split("::").at(-1)}`);
  }
  return { ok, steps, messages: messages.join("\n"), lines, printed: printed.join("\n") };
}
