import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type Document, parseDocument } from "yaml";

const source = join(import.meta.dirname, "../..");

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Standard output and error, as they came. */
  readonly output: string;
  readonly stdout: string;
  readonly milliseconds: number;
}

export interface Running {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
}

/** A clone of the project as it stands, with a backend and a config of its own: what a user has, and no more. */
export class Checkout {
  readonly directory: string;
  private readonly place: string;
  readonly environment: NodeJS.ProcessEnv;
  private readonly enter: readonly string[];

  /**
   * `systems`: whose config the development stack keeps; the others are not deployed in it. `without`: keys of theirs
   * that it does not keep, by default those of Chrono's second leg. `folder`: name of a folder that it is in.
   */
  constructor({
    enter = [],
    environment = {},
    systems = ["chrono"],
    without = ["chrono:edge", "chrono:workers"],
    folder = "",
  }: {
    enter?: readonly string[];
    environment?: NodeJS.ProcessEnv;
    systems?: readonly string[];
    without?: readonly string[];
    folder?: string;
  } = {}) {
    this.place = mkdtempSync(join(tmpdir(), "switchyard-checkout-"));
    this.directory = join(this.place, folder);
    this.enter = enter;
    const files = execFileSync("git", ["ls-files", "-co", "--exclude-standard"], {
      cwd: source,
      encoding: "utf8",
    });
    for (const file of files
      .trim()
      .split("\n")
      .filter((name) => existsSync(join(source, name)))) {
      mkdirSync(dirname(join(this.directory, file)), { recursive: true });
      cpSync(join(source, file), join(this.directory, file), { force: true, preserveTimestamps: true });
    }
    symlinkSync(join(source, "node_modules"), join(this.directory, "node_modules"));
    const {
      PULUMI_BACKEND_URL: _,
      PULUMI_CONFIG_PASSPHRASE: __,
      SWITCHYARD_BOX_ROOT: ___,
      ...inherited
    } = process.env;
    this.keepConfig(systems, without);
    this.environment = { ...inherited, CI: "true", PULUMI_CONFIG_PASSPHRASE: "trial", ...environment };
  }

  switchyard(...words: string[]): Promise<Ended> {
    return this.start(["operations/switchyard.sh", ...words]).ended;
  }

  /** The engine's own command line, as `switchyard doctor` says to run it. */
  pulumi(...words: string[]): Promise<Ended> {
    return this.start(["operations/switchyard.sh", "pulumi", ...words]).ended;
  }

  /** Sets a secret of the config; its value travels on standard input. */
  setSecret(key: string, value: string, stack = "development"): Promise<Ended> {
    const words = ["operations/switchyard.sh", "pulumi", "config", "set", "--stack", stack, "--secret", key];
    return this.start(words, value).ended;
  }

  start(words: readonly string[], stdin?: string): Running {
    const [program = "", ...rest] = [...this.enter, ...words];
    const began = performance.now();
    const child = spawn(program, rest, {
      cwd: this.directory,
      env: this.environment,
      stdio: ["pipe", "pipe", "pipe"],
    });
    child.stdin.on("error", () => {});
    child.stdin.end(stdin ?? "");
    let output = "";
    let stdout = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      output += text;
      stdout += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
    const ended = new Promise<Ended>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (code, signal) =>
        resolve({ code, signal, output, stdout, milliseconds: Math.round(performance.now() - began) }),
      );
    });
    return { child, ended };
  }

  /** Changes the stack's config file as a person with an editor would. */
  editConfig(edit: (document: Document) => void, stack = "development"): void {
    const path = join(this.directory, `Pulumi.${stack}.yaml`);
    const document = parseDocument(readFileSync(path, "utf8"));
    edit(document);
    writeFileSync(path, document.toString());
  }

  private keepConfig(systems: readonly string[], without: readonly string[]): void {
    this.editConfig((document) => {
      for (const key of Object.keys((document.toJS() as { config: object }).config)) {
        const kept = systems.includes(key.split(":")[0] ?? "") && !without.includes(key);
        if (!kept) document.deleteIn(["config", key]);
      }
    });
  }

  readConfig(stack = "development"): Record<string, unknown> {
    const path = join(this.directory, `Pulumi.${stack}.yaml`);
    return (parseDocument(readFileSync(path, "utf8")).toJS() as { config: Record<string, unknown> }).config;
  }

  remove(): void {
    rmSync(this.place, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }
}
