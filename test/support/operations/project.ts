import { execFileSync } from "node:child_process";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { engineEnvironment } from "../../../engine/environment.ts";
import type { Engine } from "../../../operations/engine.ts";
import { ask } from "../../../operations/engine.ts";
import { switchyard } from "../../../operations/main.ts";
import type { Observation, Targets, Unreachable } from "../../../operations/targets.ts";

const repository = join(import.meta.dirname, "../../..");

/** What a command said and answered. */
export interface Said {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** A Pulumi project in a folder of its own, with the trial program, a file backend and a git repository with tags. */
export class TrialProject {
  readonly folder: string;
  readonly engine: Engine;
  /** Targets that do not answer. */
  readonly unreachable = new Set<string>();

  private constructor(folder: string, engine: Engine) {
    this.folder = folder;
    this.engine = engine;
  }

  static async create(systems: readonly string[], versions: readonly string[]): Promise<TrialProject> {
    const folder = await mkdtemp(join(tmpdir(), "switchyard-operations-"));
    for (const name of ["program.ts", "world.sh"]) {
      await cp(join(repository, "test/support/operations", name), join(folder, name));
    }
    await symlink(join(repository, "node_modules"), join(folder, "node_modules"));
    await writeFile(join(folder, "package.json"), '{ "type": "module", "main": "program.ts" }\n');
    const runtime = "runtime: { name: nodejs, options: { typescript: false } }";
    const backend = "backend: { url: 'file://./state' }";
    await writeFile(join(folder, "Pulumi.yaml"), `name: trial\nmain: program.ts\n${runtime}\n${backend}\n`);
    for (const name of ["state", "fault", "world"]) await mkdir(join(folder, name));
    const lines = systems.map(
      (system) => `  ${system}:source: { git: ./source }\n  ${system}:settings: { level: 1 }\n`,
    );
    await writeFile(join(folder, "Pulumi.trial.yaml"), `# the trial\nconfig:\n${lines.join("")}`);
    createTags(join(folder, "source"), versions);
    const { PULUMI_BACKEND_URL: _backend, PULUMI_STACK: _stack, ...own } = process.env;
    const passphrase = {
      PULUMI_CONFIG_PASSPHRASE: "trial",
      PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION: "true",
    };
    const engine = await engineEnvironment({ env: { ...own, ...passphrase } });
    const project = new TrialProject(folder, engine);
    await ask(engine, folder, ["stack", "init", "trial", "--secrets-provider", "passphrase"]);
    return project;
  }

  /** Runs a command line in this process, as a terminal-less caller would. */
  run(...words: string[]): Promise<Said> {
    return this.runUntil(new AbortController().signal, ...words);
  }

  /** The same with a Ctrl-C when the signal aborts. */
  async runUntil(signal: AbortSignal, ...words: string[]): Promise<Said> {
    const [stdout, stderr] = [capture(), capture()];
    const surroundings = {
      checkout: this.folder,
      environment: { ...this.engine.environment, SWITCHYARD_USER: "tester" },
      stdout: stdout.stream,
      stderr: stderr.stream,
      engine: async () => this.engine,
      targets: async () => this.targets(),
    };
    const code = await switchyard([...words, "--stack", "trial"], surroundings, signal);
    return { code, out: stdout.text(), err: stderr.text() };
  }

  config(): Promise<string> {
    return readFile(join(this.folder, "Pulumi.trial.yaml"), "utf8");
  }

  async setConfig(edit: (text: string) => string): Promise<void> {
    await writeFile(join(this.folder, "Pulumi.trial.yaml"), edit(await this.config()));
  }

  /** `cutover-alpha-v2`, `cutover-alpha`, `lose-alpha`, `wait-place-alpha`: see world.sh. */
  async fault(name: string): Promise<void> {
    await writeFile(join(this.folder, "fault", name), "");
  }

  async mend(name: string): Promise<void> {
    await rm(join(this.folder, "fault", name));
  }

  /** Waits until a step stands still at a `wait-…` fault, at most twenty seconds. */
  async waits(): Promise<void> {
    const mark = join(this.folder, "world/waiting");
    for (const end = Date.now() + 20_000; Date.now() < end; ) {
      if (
        await rm(mark).then(
          () => true,
          () => false,
        )
      )
        return;
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
    throw new Error("no step came to wait within twenty seconds");
  }

  async breakProgram(broken: boolean): Promise<void> {
    const mark = join(this.folder, "broken-program");
    await (broken ? writeFile(mark, "") : rm(mark));
  }

  /** Steps that ran since the last call, in the order of the world's own journal. */
  async journal(): Promise<string[]> {
    const path = join(this.folder, "world/journal");
    const text = await readFile(path, "utf8").catch(() => "");
    await writeFile(path, "");
    return text.trim().split("\n").filter(Boolean);
  }

  /** Name and settings of the release that the world serves. */
  async serves(system: string): Promise<{ release: string; settings: unknown } | null> {
    const world = join(this.folder, "world", system);
    const confirmed = await readFile(join(world, "confirmed"), "utf8").catch(() => null);
    if (confirmed === null) return null;
    const settings = JSON.parse(await readFile(join(world, `settings-${confirmed}`), "utf8"));
    return { release: await readFile(join(world, "placed", confirmed), "utf8"), settings };
  }

  locks(): Promise<string[]> {
    const folder = join(this.folder, "state/.pulumi/locks/organization/trial/trial");
    return readdir(folder).then(
      (names) => names.filter((name) => name.endsWith(".json")),
      () => [],
    );
  }

  async remove(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }

  private targets(): Targets {
    const world = (system: string) => join(this.folder, "world", system);
    return {
      observe: async () => {
        const systems = await readdir(join(this.folder, "world"), { withFileTypes: true });
        const names = systems.filter((entry) => entry.isDirectory()).map(({ name }) => name);
        const found = names.map(async (name) => [name, await this.observeOne(name)] as const);
        return Object.fromEntries(await Promise.all(found));
      },
      flip: async (system, fingerprint) => {
        await writeFile(join(world(system), "confirmed"), fingerprint);
      },
      stop: async () => {},
      arm: async () => {},
      resolve: async () => {},
    };
  }

  private async observeOne(system: string): Promise<Observation | Unreachable> {
    if (this.unreachable.has(system)) return { unreachable: "no answer within 20 s" };
    const world = join(this.folder, "world", system);
    const read = (name: string) => readFile(join(world, name), "utf8").catch(() => null);
    const fingerprints = await readdir(join(world, "placed"));
    const placed = await Promise.all(
      fingerprints.map(async (fingerprint) => ({
        fingerprint,
        release: (await read(join("placed", fingerprint))) ?? "",
        receipt: "",
      })),
    );
    const confirmed = await read("confirmed");
    const release = placed.find(({ fingerprint }) => fingerprint === confirmed)?.release ?? null;
    const [failed, fingerprint] = ((await read("failed")) ?? "").trim().split(" ");
    const failure = {
      step: "bake",
      rule: "error rate",
      measured: "23.1 %",
      allowed: "5 % over 10 s",
      at: "2026-11-21T10:00:12.000Z",
      verdictAt: "2026-11-21T10:00:12.000Z",
      journal: ["request 812 failed", "request 813 failed"],
      evidence: "/var/lib/switchyard/evidence/1.json",
    };
    return {
      running: false,
      intact: true,
      confirmed,
      pending: null,
      receipt: await read("receipt"),
      placed,
      lastFailure: failed && fingerprint ? { ...failure, release: failed, fingerprint } : null,
      stuck: null,
      flipped: null,
      serving: [{ door: `${system}-api-8080`, release }],
    };
  }
}

function capture() {
  const stream = new PassThrough();
  const chunks: Buffer[] = [];
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  return { stream, text: () => Buffer.concat(chunks).toString("utf8") };
}

function createTags(folder: string, versions: readonly string[]): void {
  const git = (...words: string[]) =>
    execFileSync("git", ["-C", folder, "-c", "user.name=t", "-c", "user.email=t@example.org", ...words], {
      stdio: "pipe",
    });
  execFileSync("git", ["init", "--quiet", folder], { stdio: "pipe" });
  for (const version of versions) {
    git("commit", "--quiet", "--allow-empty", "--message", version);
    git("tag", "--annotate", "--message", version, version);
  }
}
