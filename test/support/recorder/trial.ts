import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { checkout } from "../../../engine/checkout.ts";
import type { EngineEnvironment } from "../../../engine/environment.ts";
import { RecorderWorld } from "./world.ts";

export interface TrialRun {
  readonly ok: boolean;
  /** What the engine did, in the order it ended: `create Deployment web`; what stayed the same is left out. */
  readonly steps: readonly string[];
  /** Warnings, errors and other lines that stay, joined. */
  readonly messages: string;
  readonly outputs: Readonly<Record<string, unknown>>;
  readonly seconds: number;
}

/** A small program, a stack and a world of its own, on the real engine. */
export class Trial {
  readonly folder: string;
  readonly world: RecorderWorld;
  readonly stack: string;
  readonly #engine: EngineEnvironment;

  private constructor(folder: string, world: RecorderWorld, stack: string, engine: EngineEnvironment) {
    this.folder = folder;
    this.world = world;
    this.stack = stack;
    this.#engine = engine;
  }

  static async create(stack = "production"): Promise<Trial> {
    const folder = mkdtempSync(join(tmpdir(), "switchyard-recorded-"));
    const runtime = "runtime: { name: nodejs, options: { typescript: false } }";
    writeFileSync(join(folder, "Pulumi.yaml"), `name: recorded\n${runtime}\n`);
    writeFileSync(
      join(folder, "package.json"),
      '{ "name": "recorded", "type": "module", "main": "index.ts" }',
    );
    symlinkSync(join(checkout, "node_modules"), join(folder, "node_modules"));
    const world = new RecorderWorld();
    const engine = await world.engine(stack, {
      PULUMI_CONFIG_PASSPHRASE: "open sesame",
      NODE_COMPILE_CACHE: join(checkout, ".switchyard", "compiled"),
    });
    const trial = new Trial(folder, world, stack, engine);
    const { code, text } = await trial.#cli(["stack", "init"]);
    if (code !== 0) throw new Error(text);
    return trial;
  }

  /** @param body the program below its imports: `pulumi`, `k8s`, `aws`, `cf` and `local` are there, and `out()` */
  up(body: string, ...words: string[]): Promise<TrialRun> {
    return this.#run(["up", "--skip-preview", "--yes", ...words], body);
  }

  preview(body: string): Promise<TrialRun> {
    return this.#run(["preview"], body, { PULUMI_ENABLE_STREAMING_JSON_PREVIEW: "true" });
  }

  refresh(): Promise<TrialRun> {
    return this.#run(["refresh", "--skip-preview", "--yes"]);
  }

  destroy(): Promise<TrialRun> {
    return this.#run(["destroy", "--skip-preview", "--yes"]);
  }

  /** What the state holds about a resource, secrets in clear. */
  async state(name: string): Promise<{ id: string; inputs: State; outputs: State }> {
    const { text } = await this.#cli(["stack", "export", "--show-secrets"]);
    const { deployment } = JSON.parse(text) as { deployment: { resources: { urn: string }[] } };
    const found = deployment.resources.find(({ urn }) => urn.endsWith(`::${name}`));
    if (found === undefined) throw new Error(`the state has no ${name}`);
    return found as unknown as { id: string; inputs: State; outputs: State };
  }

  /** Every byte that the backend and the world hold. */
  stored(): string {
    return readdirSync(this.world.folder, { recursive: true, withFileTypes: true })
      .filter((file) => file.isFile())
      .map((file) => readFileSync(join(file.parentPath, file.name), "utf8"))
      .join("\n");
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
    this.world.remove();
  }

  async #run(words: readonly string[], body?: string, env: NodeJS.ProcessEnv = {}): Promise<TrialRun> {
    if (body !== undefined) writeFileSync(join(this.folder, "index.ts"), `${imports(body)}\n${body}\n`);
    const began = performance.now();
    const { code, text } = await this.#cli([...words, "--json"], env);
    return readRun(code === 0, text, (performance.now() - began) / 1_000);
  }

  #cli(
    words: readonly string[],
    env: NodeJS.ProcessEnv = {},
  ): Promise<{ code: number | null; text: string }> {
    const { command, environment } = this.#engine;
    const child = spawn(command, [...words, "--stack", this.stack, "--non-interactive"], {
      cwd: this.folder,
      env: { ...environment, ...env },
      stdio: ["ignore", "pipe", "pipe"],
      timeout: 120_000,
    });
    const chunks: Buffer[] = [];
    child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => chunks.push(chunk));
    return new Promise((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (code) => resolve({ code, text: Buffer.concat(chunks).toString("utf8") }));
    });
  }
}

export type State = Readonly<Record<string, unknown>>;

/** Only what the body names is imported: each package costs its start. */
function imports(body: string): string {
  const available = {
    pulumi: 'import * as pulumi from "@pulumi/pulumi";',
    k8s: 'import * as k8s from "@pulumi/kubernetes";',
    aws: 'import * as aws from "@pulumi/aws";',
    cf: 'import * as cf from "@pulumi/cloudflare";',
    local: 'import { local } from "@pulumi/command";',
  };
  const named = Object.entries(available).filter(([name]) => body.includes(`${name}.`));
  return named.map(([, line]) => line).join("\n");
}

interface Event {
  readonly diagnosticEvent?: { readonly message: string; readonly severity: string };
  readonly resourcePreEvent?: StepEvent;
  readonly resOutputsEvent?: StepEvent;
}
interface StepEvent {
  readonly metadata: {
    readonly op: string;
    readonly urn: string;
    readonly new?: { readonly outputs?: State };
  };
}

function readRun(ok: boolean, text: string, seconds: number): TrialRun {
  const steps: string[] = [];
  const messages: string[] = [];
  let outputs: State = {};
  for (const line of text.split("\n")) {
    const event = line.startsWith("{") ? (JSON.parse(line) as Event) : undefined;
    if (event === undefined) messages.push(line);
    const said = event?.diagnosticEvent;
    if (said !== undefined && said.severity !== "debug") {
      messages.push(said.message.replace(/<\{%.*?%\}>/g, "").trimEnd());
    }
    const done = event?.resOutputsEvent?.metadata;
    if (done === undefined) continue;
    const [, , types = "", name] = done.urn.split("::");
    if (types === "pulumi:pulumi:Stack") outputs = done.new?.outputs ?? outputs;
    const ours = /^(kubernetes|aws|cloudflare|command):/.test(types.split("$").at(-1) ?? "");
    if (ours && done.op !== "same") steps.push(`${done.op} ${types.split(":").at(-1)} ${name}`);
  }
  return { ok, steps, messages: messages.join("\n"), outputs, seconds };
}
