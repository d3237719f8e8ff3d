import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Document } from "yaml";
import type { CutoverState } from "../../components/rollout/cutover/state.ts";
import type { Activation } from "../../examples/service/activations.ts";
import { createRepository } from "../../examples/service/repository.ts";
import { activationsOn } from "./activations.ts";
import { type Box, type BoxOptions, startBox } from "./box/box.ts";
import { must } from "./box/must.ts";
import { until } from "./box/processes.ts";
import { Checkout, type Ended } from "./checkout.ts";

/** Chrono on a real box, deployed from a clone of the project by its own command line. */
export interface Chrono {
  readonly box: Box;
  readonly checkout: Checkout;
  readonly apiUrl: string;
  readonly databaseUrl: string;
  edit(edit: (document: Document) => void): void;
  up(): Promise<Ended>;
  release(version: string, ...options: string[]): Promise<Ended>;
  state(): Promise<CutoverState>;
  /** When which oracle was active, from the box's first one on. */
  activations(): Promise<Activation[]>;
  /** Release that answers on a door now, null when 503 or nothing does. */
  answering(port?: number): Promise<string | null>;
  stop(): Promise<void>;
}

export const databasePassword = "pa'ss w$rd`x\"é-Zq81kTrv";

export async function startChrono(
  options: Partial<BoxOptions> = {},
  edit?: (document: Document) => void,
): Promise<Chrono> {
  const box = await startBox({ base: "full", ...options });
  const checkout = new Checkout({ enter: box.enter, environment: { SSH_AUTH_SOCK: box.agentSocket } });
  const databaseUrl = `postgresql://chrono:${encodeURIComponent(databasePassword)}@127.0.0.1:5432/chrono`;
  let repository: Awaited<ReturnType<typeof serveRepository>> | null = null;
  try {
    repository = await serveRepository(box);
    const source = { git: repository.url };
    if ((options.base ?? "full") === "full") await makeDatabase(box);
    checkout.editConfig((document) => {
      document.setIn(["config", "chrono:box"], { host: box.address, hostKey: box.hostKey });
      document.setIn(["config", "chrono:source"], source);
      document.setIn(["config", "chrono:bake"], { seconds: 4, shortSeconds: 1, healthSeconds: 8 });
      document.setIn(["config", "chrono:services", "oracle", "command"], oracleCommand);
      edit?.(document);
    });
    const made = await checkout.pulumi("stack", "init", "--stack", "development");
    if (made.code !== 0) throw new Error(`stack init: ${made.output}`);
  } catch (error) {
    await repository?.stop();
    await box.stop();
    checkout.remove();
    throw error;
  }
  const served = repository;
  return {
    box,
    checkout,
    databaseUrl,
    apiUrl: `http://${box.address}:8080`,
    edit: (change) => checkout.editConfig(change),
    up: () => checkout.switchyard("up"),
    release: (version, ...rest) => checkout.switchyard("release", "chrono", version, ...rest),
    async state() {
      const { stdout } = await box.ssh("cat /var/lib/switchyard/systems/chrono/cutover.json");
      return JSON.parse(stdout) as CutoverState;
    },
    activations: () => activationsOn(box, activationLog),
    async answering(port = 8080) {
      const { stdout } = await box.ssh(`curl -s -m 3 -o /dev/null -D - http://127.0.0.1:${port}/ || true`);
      return /^x-release: (\S+)/im.exec(stdout)?.[1] ?? null;
    },
    async stop() {
      await served.stop();
      await box.stop();
      checkout.remove();
    },
  };
}

const activationLog = "/srv/switchyard/home/switchyard/chrono-oracle.log";
const oracleCommand = [
  "env",
  "MODE=singleton",
  `ACTIVATION_LOG=${activationLog}`,
  "node",
  "dist/service.mjs",
];

/** A git server beside the box, where the box and the command line both fetch from. */
async function serveRepository(box: Box): Promise<{ url: string; stop: () => Promise<void> }> {
  const folder = mkdtempSync(join(tmpdir(), "switchyard-repository-"));
  await createRepository(join(folder, "chrono.git"));
  const [program = "", ...words] = [
    ...box.enter,
    ...["git", "-c", "safe.directory=*", "daemon", "--reuseaddr", "--export-all", `--base-path=${folder}`],
    ...[`--listen=${box.clientAddress}`, "--port=9418"],
  ];
  const daemon = spawn(program, words, { stdio: "ignore", detached: true });
  const url = `git://${box.clientAddress}/chrono.git`;
  await until(() => asks(box, url), 10, "the git server does not answer", 100);
  return {
    url,
    async stop() {
      if (daemon.pid !== undefined && daemon.exitCode === null) process.kill(-daemon.pid, "SIGKILL");
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function asks(box: Box, url: string): Promise<boolean> {
  const [program = "", ...words] = [...box.enter, "git", "ls-remote", url];
  return new Promise((resolve) => {
    spawn(program, words, { stdio: "ignore" }).once("close", (code) => resolve(code === 0));
  });
}

async function makeDatabase(box: Box): Promise<void> {
  const quoted = databasePassword.replaceAll("'", "''");
  await must(
    box,
    "cd / && sudo -u postgres psql -q -v ON_ERROR_STOP=1",
    `CREATE ROLE chrono LOGIN PASSWORD '${quoted}'; CREATE DATABASE chrono OWNER chrono;`,
  );
}
