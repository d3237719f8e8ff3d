import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Checkout, type Ended } from "../../support/checkout.ts";
import type { Trial } from "./program.ts";

/** A checkout whose program is one system on the edge; the trial's file is edited as a person edits pins. */
export class EdgeTrial {
  readonly checkout: Checkout;
  private trial: Trial;

  constructor(trial: Partial<Trial> & Pick<Trial, "door">, environment: NodeJS.ProcessEnv = {}) {
    this.checkout = new Checkout({ environment });
    this.trial = {
      system: "chrono",
      environment: "development",
      edge: "local",
      pins: { kept: [], releases: {} },
      bakeSeconds: 2,
      steps: [],
      settings: { EXAMPLE_GREETING: "hello" },
      secrets: {},
      oldSecretsWork: false,
      filesOnly: false,
      ...trial,
    };
    writeFileSync(
      join(this.checkout.directory, "index.ts"),
      'export * from "./test/engine/edge-trial/program.ts";\n',
    );
    // The program takes no config of the stack's.
    rmSync(join(this.checkout.directory, "Pulumi.development.yaml"), { force: true });
    this.set({});
  }

  /** What the next update is asked for. */
  get asked(): string {
    return JSON.stringify(this.trial);
  }

  get stack(): string {
    return this.trial.environment;
  }

  /** The names of the resources that the state holds, in its order, without fingerprints. */
  async resources(): Promise<string[]> {
    const { stdout } = await this.checkout.pulumi("stack", "export", "--stack", this.stack);
    const { deployment } = JSON.parse(stdout) as {
      deployment: { resources: { urn: string; type: string }[] };
    };
    return deployment.resources
      .filter(({ type }) => /^(command|cloudflare):/.test(type))
      .map(({ urn }) => (urn.split("::").at(-1) ?? "").replace(/-[0-9a-f]{12}/, ""));
  }

  /** The URN of the one resource whose name that is, as a regular expression. */
  async urnOf(name: string): Promise<string> {
    const { stdout } = await this.checkout.pulumi("stack", "--stack", this.stack, "--show-urns");
    const [urn] = new RegExp(`urn:\\S+::${name}(?=\\s)`).exec(stdout) ?? [];
    if (urn === undefined) throw new Error(`the stack has no ${name}: ${stdout}`);
    return urn;
  }

  get front(): string {
    return `http://127.0.0.1:${this.trial.door}`;
  }

  set(change: Partial<Trial>): void {
    this.trial = { ...this.trial, ...change };
    writeFileSync(join(this.checkout.directory, "trial.json"), JSON.stringify(this.trial, null, 2));
  }

  /** Pins as `switchyard release` leaves them; each release's version is its name unless told. */
  pin(live: string, kept: readonly string[], entries: Trial["pins"]["releases"] = {}): void {
    const known = Object.fromEntries([live, ...kept].map((name) => [name, entries[name] ?? {}]));
    this.set({ pins: { live, kept, releases: known } });
  }

  async up(...words: string[]): Promise<Ended> {
    return this.checkout.pulumi("up", "--stack", this.stack, "--yes", "--skip-preview", ...words);
  }

  /** A verb of the edge, as the engine runs it. */
  verb(words: readonly string[], input: object): Promise<Ended> {
    const address = {
      kind: "edge",
      system: this.trial.system,
      accountId: "local",
      worker: `${this.trial.system}-development`,
      api: "local",
    };
    return this.checkout.start(
      ["engine/node.sh", "components/edge/main.ts", ...words],
      JSON.stringify({ address, ...input }),
    ).ended;
  }

  /** What the deployments of the Worker say, read by the program's own client; the latest first. */
  async read(): Promise<Observed> {
    const { stdout, output } = await this.script(
      'const { observeWorker } = await import("./components/edge/observe.ts");',
      "const [deployments, versions] = [await api.deployments(), await api.versions()];",
      "console.log(JSON.stringify({ ...(await observeWorker(api)), deployments, versions }));",
    );
    if (!stdout) throw new Error(output);
    return JSON.parse(stdout) as Observed;
  }

  /** All traffic to a version, as somebody would who knows nothing of this program. */
  async deployByHand(versionId: string): Promise<void> {
    const { code, output } = await this.script(
      `await api.deploy([{ versionId: "${versionId}", percentage: 100 }], "by hand", true);`,
    );
    if (code !== 0) throw new Error(output);
  }

  /** Process of a cutover that runs on this machine now, null where none does. */
  cutoverPid(): number | null {
    const folder = join(this.checkout.directory, ".switchyard/edge/turns");
    try {
      const [name = ""] = readFileNames(folder);
      return (JSON.parse(readFileSync(join(folder, name), "utf8")) as { pid: number }).pid;
    } catch {
      return null;
    }
  }

  private script(...lines: readonly string[]): Promise<Ended> {
    const script = [
      'const { edgePlace } = await import("./stacks/config/edge.ts");',
      'const { WorkerApi } = await import("./components/edge/api.ts");',
      `const api = new WorkerApi(edgePlace("${this.trial.system}", "development", "local", 1).address);`,
      ...lines,
    ].join("\n");
    const words = ["--disable-warning=ExperimentalWarning", "--input-type=module-typescript", "-e", script];
    return this.checkout.start(["engine/node.sh", ...words]).ended;
  }

  edgePid(): number {
    const memory = join(this.checkout.directory, ".switchyard/edge/local/memory.json");
    return (JSON.parse(readFileSync(memory, "utf8")) as { process: { pid: number } }).process.pid;
  }
}

export interface Observed {
  readonly confirmed: string | null;
  readonly pending: { readonly to: string } | null;
  readonly lastFailure: { readonly rule: string; readonly step: string; readonly release: string } | null;
  readonly known: readonly {
    readonly fingerprint: string;
    readonly release: string;
    readonly placed: boolean;
  }[];
  readonly deployments: readonly { readonly shares: readonly { versionId: string; percentage: number }[] }[];
  readonly versions: readonly { readonly id: string; readonly tag: string }[];
}

function readFileNames(folder: string): string[] {
  return readdirSync(folder).filter((name) => name.endsWith(".json"));
}
