import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildExampleWorkers } from "../../../examples/worker/build.ts";
import type { Box } from "../box/box.ts";
import { must } from "../box/must.ts";
import { makeReplica } from "../box/replica.ts";
import { Checkout, type Ended } from "../checkout.ts";
import { Cloudflare } from "../cloudflare/cloudflare.ts";
import { installEngine, putImage } from "../compose/images.ts";
import { makeCertificate, ollamaUnit } from "../deia.ts";
import { Kubernetes } from "../kubernetes/kubernetes.ts";
import { RecorderWorld } from "../recorder/world.ts";
import { type SshAgent, startAgent } from "./agent.ts";
import { Authority } from "./authority.ts";
import { type Config, committed, configOf, type Release, releases, type StackName, tagOf } from "./config.ts";
import { Front } from "./front.ts";
import { type EnvironmentMachine, startMachine } from "./machine.ts";
import { namesAre } from "./names.ts";
import { openRelay } from "./relay.ts";

export const systems = ["chrono", "sanctum", "pod", "traider", "deia"] as const;
const onBoxes = ["chrono", "pod", "deia"] as const;
type OnBox = (typeof onBoxes)[number];

/** Before anything was measured: no answer takes so long that is not a failure by itself. */
const unbounded = 60;
/** The strictest latency that a document has, in seconds: TRAIDER's p95 and Chrono's p99. */
const strictestLatency = 1;
const doorPorts: Readonly<Record<OnBox, number>> = { chrono: 8080, pod: 8110, deia: 8000 };

/** Contexts of the clusters, each with its stack. */
const contexts = Object.fromEntries(
  (["staging", "production"] as const).flatMap((stack) =>
    ["sanctum", "pod", "traider"].map((system) => [`${system}-${stack}`, stack] as const),
  ),
);

/** A stack of five systems: its boxes are real ones, its clusters, its edge and its AWS are recorded and played. */
export interface EnvironmentStack {
  readonly name: StackName;
  readonly boxes: Readonly<Record<OnBox, Box>>;
}

/** What stands before the trial does. */
interface Ground {
  readonly world: RecorderWorld;
  readonly kubernetes: Kubernetes;
  readonly cloudflare: Cloudflare;
  readonly folder: string;
  readonly agent: SshAgent;
}

/**
 * Staging and production whole, by their committed files: every name of theirs leads to something of the test's own,
 * under the same name. Real are the program, the engine, the boxes (over SSH, as a user without rights of his own), their
 * databases, the S3 server; recorded are the vendors' kubernetes, aws and cloudflare; played are pods and Workers.
 */
export class EnvironmentTrial {
  readonly world: RecorderWorld;
  readonly checkout: Checkout;
  readonly kubernetes: Kubernetes;
  readonly cloudflare: Cloudflare;
  private readonly folder: string;
  private readonly authority: Authority;
  private readonly agent: SshAgent;
  private readonly addresses = new Map<string, string>();
  private readonly ends: (() => unknown)[] = [];
  /** See `shortened`; null until it was measured. */
  private slowness: number | null = null;

  static async start(): Promise<EnvironmentTrial> {
    const world = new RecorderWorld();
    const kubernetes = await Kubernetes.start(world, { contexts });
    const cloudflare = await Cloudflare.start(world);
    const folder = mkdtempSync(join(tmpdir(), "switchyard-environment-"));
    return new EnvironmentTrial({ world, kubernetes, cloudflare, folder, agent: await startAgent(folder) });
  }

  private constructor({ world, kubernetes, cloudflare, folder, agent }: Ground) {
    this.world = world;
    this.kubernetes = kubernetes;
    this.cloudflare = cloudflare;
    this.folder = folder;
    this.agent = agent;
    this.authority = new Authority(this.folder);
    const enter = namesAre(this.hostsFile, this.addresses);
    const environment = {
      ...world.environment,
      ...kubernetes.environment,
      CLOUDFLARE_API_TOKEN: "token-of-the-test",
      SSH_AUTH_SOCK: this.agent.socket,
      NODE_EXTRA_CA_CERTS: this.authority.file,
      SSL_CERT_FILE: this.authority.file,
    };
    this.checkout = new Checkout({ enter, environment });
    this.hasten();
    // Stands for trivy and the like: refuses what refused.txt names.
    const scan = [
      "#!/bin/sh",
      'case "$1" in *"$(cat refused.txt)"*) echo "CVE-1 in $1" >&2; exit 1 ;; esac',
      "",
    ];
    writeFileSync(join(this.checkout.directory, "scan.sh"), scan.join("\n"), { mode: 0o755 });
    this.refuse("none");
  }

  /** Three boxes, the names of the stack's file, the stack itself with its config and secrets; nothing is deployed. */
  async make(name: StackName): Promise<EnvironmentStack> {
    const bucket = String(committed(name)["vault:bucket"]);
    const { authority, agent } = this;
    const start = (system: OnBox) =>
      startMachine({ system, bucket, authority, publicKey: agent.publicKey, diskMiB: 12_288 });
    const started = await Promise.all(onBoxes.map(async (system) => [system, await start(system)] as const));
    const machines = Object.fromEntries(started) as Record<OnBox, EnvironmentMachine>;
    for (const { stop } of Object.values(machines)) this.ends.push(stop);
    const [podApi] = await Promise.all([this.preparePod(machines.pod.box), prepareDeia(machines.deia.box)]);
    if (name === "production") await prepareChrono(machines.chrono.box);
    await buildExampleWorkers(join(this.checkout.directory, ".switchyard/workers"));
    const hostKeys = Object.fromEntries(onBoxes.map((system) => [system, machines[system].box.hostKey]));
    const slowness = this.slowness ?? unbounded;
    if (name === "production") this.loosenTables(slowness);
    const owned = { hostKeys: hostKeys as Record<OnBox, string>, podApi, cloudflareApi: this.cloudflare.api };
    const config = configOf(name, { ...owned, slowness });
    await this.lead(name, config, machines);
    this.checkout.editConfig((document) => document.set("config", config), name);
    await this.must(["stack", "init", "--stack", name]);
    for (const [key, value] of Object.entries(secretsOf(machines, config)))
      await this.setSecret(name, key, value);
    return {
      name,
      boxes: Object.fromEntries(started.map(([system, { box }]) => [system, box])) as Record<OnBox, Box>,
    };
  }

  /** Pins as `switchyard release` leaves them. */
  pin(stack: StackName, pins: Readonly<Record<string, { live: string; kept?: readonly string[] }>>): void {
    this.checkout.editConfig((document) => {
      for (const [system, { live, kept = [] }] of Object.entries(pins)) {
        document.setIn(["config", `${system}:live`], live);
        document.setIn(["config", `${system}:kept`], kept);
      }
    }, stack);
  }

  /** `pulumi up`; `switchyard`'s own `up` also takes pins back. */
  up(stack: StackName, ...words: readonly string[]): Promise<Ended> {
    return this.checkout.pulumi("up", "--stack", stack, "--yes", "--skip-preview", ...words);
  }

  /** When somebody has answered an item of DEIA's checklist. */
  answer(stack: StackName, release: Release, item: string, at: string): void {
    this.checkout.editConfig(
      (document) => document.setIn(["config", "deia:answers", release, item, "at"], at),
      stack,
    );
  }

  /** The release behind each front door of a stack; null where none answers. */
  async serving({ name, boxes }: EnvironmentStack): Promise<Record<string, string | null>> {
    const onBox = async (box: Box, port: number) => {
      const { stdout } = await box.ssh(`curl -s -m 5 -i http://127.0.0.1:${port}/health || true`);
      return /^x-release: (\S+)/im.exec(stdout)?.[1] ?? null;
    };
    const [api, dashboard, podApi, controller] = await Promise.all([
      onBox(boxes.chrono, 8080),
      onBox(boxes.chrono, 8081),
      onBox(boxes.pod, 8110),
      onBox(boxes.deia, 8000),
    ]);
    const cluster = (system: string, namespace: string, service: string) =>
      this.kubernetes.serving(`${system}-${name}`, namespace, `${system}-${service}`);
    const edge = (system: string) => this.cloudflare.serving(`${system}-${name}`).join(" + ") || null;
    const own = name === "staging" ? "-staging" : "";
    const traider = name === "staging" ? "traider-staging" : "traider-prod";
    return {
      ...{ "chrono api": api, "chrono dashboard": dashboard, "chrono workers": edge("chrono") },
      ...Object.fromEntries(
        ["auth", "directory", "messaging"].map((service) => [
          `sanctum ${service}`,
          cluster("sanctum", `sanctum-${name}`, service),
        ]),
      ),
      ...{ "pod api": podApi, "pod mcp": cluster("pod", `pod${own}`, "mcp"), "pod frontend": edge("pod") },
      "traider backend": cluster("traider", traider, "backend"),
      "traider frontend": cluster("traider", traider, "frontend"),
      "deia controller": controller,
    };
  }

  /**
   * Measures how long the front doors on a stack's boxes take to answer while `work` goes on. A stack that is made from
   * then on is allowed three times the slowest answer, and what the documents allow at least.
   */
  async measureWhile<T>({ boxes }: EnvironmentStack, work: () => Promise<T>): Promise<T> {
    const asking = onBoxes.map((system) => {
      const ask = `curl -s -o /dev/null -m 20 -w '%{time_total}\\n' http://127.0.0.1:${doorPorts[system]}/health`;
      const loop = `rm -f /run/measured; while [ ! -e /run/measured ]; do ${ask} || true; sleep 0.2; done`;
      return boxes[system].ssh(loop, { timeoutSeconds: 1200 });
    });
    const stop = async () => {
      for (const system of onBoxes) await must(boxes[system], "touch /run/measured");
      return (await Promise.all(asking)).flatMap(({ stdout }) => stdout.trim().split("\n").map(Number));
    };
    const done = await work().catch(async (error) => {
      await stop();
      throw error;
    });
    const answers = await stop();
    const slowest = Math.max(...answers);
    if (!(slowest > 0)) throw new Error("no front door was measured");
    this.slowness = Math.max(1, Math.ceil((3 * slowest) / strictestLatency));
    process.stderr.write(`the slowest of ${answers.length} answers took ${slowest} s\n`);
    return done;
  }

  /** Everything that a test has made ill is well again. */
  heal(): void {
    this.kubernetes.heal();
    this.cloudflare.heal();
    this.refuse("none");
  }

  /** Images whose name holds that are refused by the scan. */
  refuse(text: string): void {
    writeFileSync(join(this.checkout.directory, "refused.txt"), text);
  }

  async stop(): Promise<void> {
    for (const end of this.ends.toReversed()) await end();
    this.checkout.remove();
    await this.cloudflare.stop();
    await this.kubernetes.stop();
    this.agent.stop();
    this.world.remove();
    rmSync(this.folder, { recursive: true, force: true });
  }

  private get hostsFile(): string {
    return join(this.folder, "hosts");
  }

  /**
   * A scrape and a check every half second. On a machine that does all of this, a database may take its time to be reached, and
   * Sanctum's load its own to be answered: eighteen requests, whose p95 is the slowest of them.
   */
  private hasten(): void {
    this.editSource("components/gates/limits.ts", (text) =>
      text.replace("p95: 1.5, p99: 3 }", `p95: ${1.5 * unbounded}, p99: ${3 * unbounded} }`),
    );
    this.editSource("components/gates/database-access.ts", (text) =>
      text.replace("args.below ?? 1,", "args.below ?? 30,"),
    );
    this.editSource("stacks/config/bake.ts", (text) =>
      text.replace("development ? [0.5, 0.5] : [1, 5]", "[0.5, 0.5]"),
    );
  }

  /** The documented tables as `shortened` has production's alerts, which may not be weaker. */
  private loosenTables(slowness: number): void {
    this.editSource("components/gates/tables.ts", (text) =>
      text
        .replaceAll(/metric: "(p95|p99)", above: ([\d.]+)/g, (_, metric, above) => {
          return `metric: "${metric}", above: ${Number(above) * slowness}`;
        })
        .replace("above: 100 * megabyte", "above: 10_000 * megabyte"),
    );
  }

  private editSource(file: string, change: (text: string) => string): void {
    const path = join(this.checkout.directory, file);
    const before = readFileSync(path, "utf8");
    const after = change(before);
    if (before === after) throw new Error(`${file} has nothing to change`);
    writeFileSync(path, after);
  }

  /** Each box's host to its SSH (and POD's API), every other name to the front. */
  private async lead(
    stack: StackName,
    config: Config,
    machines: Readonly<Record<OnBox, EnvironmentMachine>>,
  ): Promise<void> {
    const taken = this.addresses.size;
    const hosts = new Map<string, string>();
    for (const [index, system] of onBoxes.entries()) {
      const { host } = config[`${system}:box`] as { host: string };
      const address = `127.64.${stack === "staging" ? 1 : 2}.${index + 1}`;
      hosts.set(host, address);
      const { box } = machines[system];
      for (const port of system === "pod" ? [22, 8110] : [22]) {
        this.ends.push(await openRelay(box.enter, { address: box.address, port }, { address, port }));
      }
    }
    const api = new URL((config["pod:api"] as { origin: string }).origin).hostname;
    const edges = ["chrono", "pod"].map(
      (system) => (config[`${system}:edge`] as { hostname: string }).hostname,
    );
    const sanctum = config["sanctum:services"] as Record<string, { hosts: Record<string, string> }>;
    const behind = new Map(
      Object.entries(sanctum).flatMap(([service, { hosts: named }]) =>
        (["live", "blue", "green"] as const).map((what) => [named[what] ?? "", [service, what]] as const),
      ),
    );
    const podAddress = hosts.get((config["pod:box"] as { host: string }).host) ?? "";
    const front = `127.64.${stack === "staging" ? 1 : 2}.100`;
    for (const name of [api, ...edges, ...behind.keys()]) if (!hosts.has(name)) hosts.set(name, front);
    const route = async (host: string) => {
      if (host === api) return { origin: `http://${podAddress}:8110`, prefix: "" };
      const { origin, pathname } = new URL(this.cloudflare.front(host));
      if (edges.includes(host)) return { origin, prefix: pathname };
      const [service = "", what] = behind.get(host) ?? [];
      const name = what === "live" ? `sanctum-${service}` : `sanctum-${service}-${what}`;
      const to = await this.kubernetes.origin(`sanctum-${stack}`, `sanctum-${stack}`, name);
      return { origin: to, prefix: "" };
    };
    const names = [api, ...edges, ...behind.keys()];
    for (const address of new Set(names.map((name) => hosts.get(name) ?? ""))) {
      const server = await Front.start(address, this.authority, names, route);
      this.ends.push(() => server.stop());
    }
    for (const [name, address] of hosts) this.addresses.set(name, address);
    if (this.addresses.size !== taken + hosts.size) throw new Error("two things have one name");
    namesAre(this.hostsFile, this.addresses);
  }

  /** The stand-in's engine, and the images of the API's releases. */
  private async preparePod(box: Box): Promise<Record<string, string>> {
    await installEngine(box);
    const images = releases.map(
      async (release) => [release, await putImage(box, { version: tagOf(release) })] as const,
    );
    return Object.fromEntries(await Promise.all(images));
  }

  private async setSecret(stack: StackName, key: string, value: string): Promise<void> {
    const words = ["operations/switchyard.sh", "pulumi", "config", "set", "--stack", stack, "--secret", key];
    const { code, output } = await this.checkout.start(words, value).ended;
    if (code !== 0) throw new Error(output);
  }

  private async must(words: readonly string[]): Promise<void> {
    const { code, output } = await this.checkout.pulumi(...words);
    if (code !== 0) throw new Error(output);
  }
}

/** A replica of the database, and a Redis that keeps its data, as production declares them. */
async function prepareChrono(box: Box): Promise<void> {
  await makeReplica(box);
  await must(box, "redis-cli CONFIG SET appendonly yes");
}

async function prepareDeia(box: Box): Promise<void> {
  await must(box, "cat >/etc/systemd/system/ollama.service && systemctl start ollama", ollamaUnit);
  await makeCertificate(box, 90);
}

export const passwords = {
  fingerprintKey: "k".repeat(64),
  vault: "v4ult-Kp20",
  jwt: "jwt-7f3aT1kQz",
  traider: "tr4ider-Kp20",
  traiderBackup: "b4ckup-Kp20",
};

function secretsOf(
  machines: Readonly<Record<OnBox, EnvironmentMachine>>,
  config: Config,
): Record<string, string> {
  const { host, name } = config["traider:database"] as { host: string; name: string };
  return {
    "switchyard:fingerprintKey": passwords.fingerprintKey,
    "vault:password": passwords.vault,
    "chrono:databaseUrl": machines.chrono.databaseUrl,
    "chrono:redisUrl": "redis://127.0.0.1:6379",
    "pod:databaseUrl": machines.pod.databaseUrl,
    "pod:jwtSecret": passwords.jwt,
    "traider:jwtSecret": passwords.jwt,
    "traider:dbPassword": passwords.traider,
    "traider:databaseUrl": `postgresql://backup:${passwords.traiderBackup}@${host}/${name}`,
    "deia:databaseUrl": machines.deia.databaseUrl,
    "deia:jwtSecret": passwords.jwt,
  };
}
