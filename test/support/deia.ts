import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Policy } from "../../components/box/toolkit/records.ts";
import type { BoxObservation } from "../../components/box/toolkit/verbs/observe.ts";
import { bundleToolkit } from "../../components/box/toolkit-bundle.ts";
import { fingerprint } from "../../components/rollout/fingerprint.ts";
import type { ReleaseManifest } from "../../components/rollout/manifest.ts";
import { createRepository } from "../../examples/service/repository.ts";
import { type DeiaConfig, deiaSchema } from "../../stacks/deia.config.ts";
import { deiaManifest, deiaPolicy } from "../../stacks/deia.ts";
import { type Box, startBox } from "./box/box.ts";
import { must } from "./box/must.ts";
import type { Finished } from "./box/run.ts";

/** A box with what DEIA needs beside it: PostgreSQL, Redis, a stand-in for Ollama, a certificate, the releases. */

export const flag = "/var/lib/deia/MAINTENANCE_MODE";
export const activationLog = "/srv/switchyard/home/switchyard/deia-controller.log";
export const repository = "/srv/deia.git";
export const certificate = "/etc/ssl/certs/port8000.crt";
export const databasePassword = "dEiA-s3cret-9Zq";
export const secrets = {
  databaseUrl: `postgresql://deia:${databasePassword}@127.0.0.1:5432/deia`,
  jwtSecret: "jwt-7f3aT1kQz",
  redisUrl: "redis://127.0.0.1:6379",
};

/** What the controller's command is, in the example's words. */
export const command = [
  "env",
  "MODE=controller",
  `ACTIVATION_LOG=${activationLog}`,
  "node",
  "dist/service.mjs",
];

/** Answers to the five questions, given today. */
export function answersOf(at = new Date().toISOString()) {
  const answer = (reference: string) => ({ by: "Ada", at, reference });
  return {
    dashboards: answer("http://localhost:3000, 4 of 4"),
    tests: answer("https://ci.example/runs/812"),
    notified: answer("#deia-deployment, acknowledged"),
    ticket: answer("CHG-4711"),
    approval: answer("mail of today"),
  };
}

/** A config of namespace `deia` that passes every item on the test box. */
export function configOf(box: Pick<Box, "address" | "hostKey">, releases: readonly string[]) {
  return {
    box: { host: box.address, hostKey: box.hostKey },
    source: { git: repository },
    build: ["node build.mjs"],
    controller: { command, port: 8000 },
    ollama: "http://127.0.0.1:11434",
    maintenance: { journalSeconds: 1, drainSeconds: 15 },
    checklist: {
      units: { postgres: "postgresql", ollama: "ollama", redis: "redis-server" },
      certificate,
      freeGigabytes: 2.5,
    },
    answers: Object.fromEntries(releases.map((name) => [name, answersOf()])),
    bake: { seconds: 2, shortSeconds: 1, healthSeconds: 6 },
  };
}

export async function startDeiaBox(): Promise<Box> {
  const box = await startBox({ base: "full" });
  try {
    await must(
      box,
      "cd / && sudo -u postgres psql -q -v ON_ERROR_STOP=1",
      `CREATE ROLE deia LOGIN PASSWORD '${databasePassword}'; CREATE DATABASE deia OWNER deia;`,
    );
    await must(box, `cat >/etc/systemd/system/ollama.service && systemctl start ollama`, ollamaUnit);
    await makeCertificate(box, 90);
    await giveRepository(box);
    return box;
  } catch (error) {
    await box.stop();
    throw error;
  }
}

/** A certificate that ends in so many days. */
export async function makeCertificate(box: Box, days: number): Promise<void> {
  const subject = "-subj /CN=deia.test -nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1";
  await must(
    box,
    `openssl req -x509 ${subject} -days ${days} -keyout /root/key.pem -out ${certificate} 2>&1`,
  );
}

export const ollamaUnit = `[Unit]
Description=stand-in for Ollama
[Service]
ExecStart=/usr/bin/node -e 'require("http").createServer((q, a) => a.end(q.url === "/api/tags" ? "{\\\\"models\\\\":[{\\\\"name\\\\":\\\\"llama3:8b\\\\"}]}" : "")).listen(11434)'
`;

async function giveRepository(box: Box): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "switchyard-deia-"));
  try {
    await createRepository(join(folder, "deia.git"));
    const archive = execFileSync("tar", ["-C", folder, "-cf", "-", "deia.git"], { maxBuffer: 1 << 28 });
    await must(box, "tar -C /srv -xf - --no-same-owner", archive);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** DEIA on a box, driven by the toolkit's verbs over SSH as an update drives them, without the engine. */
export class DeiaVerbs {
  readonly box: Box;
  readonly config: DeiaConfig;

  static async start(box: Box, releases: readonly string[]): Promise<DeiaVerbs> {
    const { installer } = await bundleToolkit();
    await must(box, "sh -s", installer);
    const verbs = new DeiaVerbs(box, { ...deiaSchema.parse(configOf(box, releases)), secrets });
    await verbs.must(["ground"], { packages: [], users: ["switchyard"], receipt: "r1" });
    await verbs.setPolicy();
    return verbs;
  }

  private constructor(box: Box, config: DeiaConfig) {
    this.box = box;
    this.config = config;
  }

  /** The policy that the runbook makes of the config, changed by `edit`. */
  async setPolicy(edit: (policy: Policy) => Policy = (policy) => policy): Promise<void> {
    await this.must(["policy", "deia"], edit(deiaPolicy(this.stack("development"))));
  }

  manifest(release: string, environment: ReleaseManifest["environment"] = "development"): ReleaseManifest {
    return deiaManifest(this.stack(environment), release, {});
  }

  async preflight(manifest: ReleaseManifest, edit: Partial<Record<string, string>> = {}): Promise<Finished> {
    const identity = fingerprint(manifest);
    const values = {
      DATABASE_URL: secrets.databaseUrl,
      JWT_SECRET: secrets.jwtSecret,
      REDIS_URL: secrets.redisUrl,
      ...edit,
    };
    const delivery = { fingerprint: identity, colour: "blue", manifest, receipt: "r1", secrets: values };
    return this.verb(["preflight", "deia", manifest.release, identity], delivery);
  }

  /** Everything up to the gates; returns the fingerprint. */
  async place(manifest: ReleaseManifest): Promise<string> {
    const identity = fingerprint(manifest);
    const { code, stderr } = await this.preflight(manifest);
    if (code !== 0) throw new Error(stderr);
    for (const verb of ["place", "gates"]) await this.must([verb, "deia", manifest.release, identity], {});
    return identity;
  }

  cutover(release: string, identity: string): Promise<Finished> {
    const receipt = `r${Date.now().toString(36)}`;
    return this.verb(["cutover", "deia", release, identity], { receipt });
  }

  async observe(): Promise<BoxObservation["systems"][string]> {
    const { systems } = JSON.parse(await this.must(["observe"], {})) as BoxObservation;
    const found = systems.deia;
    if (!found) throw new Error("the box knows no deia");
    return found;
  }

  verb(words: readonly string[], input: unknown): Promise<Finished> {
    return this.box.ssh(`switchyard-box ${words.join(" ")}`, {
      stdin: JSON.stringify(input),
      timeoutSeconds: 120,
    });
  }

  async must(words: readonly string[], input: unknown): Promise<string> {
    const { code, stdout, stderr } = await this.verb(words, input);
    if (code !== 0) throw new Error(`${words.join(" ")}: ${stderr}`);
    return stdout;
  }

  private stack(environment: ReleaseManifest["environment"]) {
    return { environment, fingerprintKey: "key", deia: this.config };
  }
}
