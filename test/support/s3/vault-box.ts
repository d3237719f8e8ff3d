import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { VaultSettings } from "../../../components/box/toolkit/vault-settings.ts";
import { bundleToolkit } from "../../../components/box/toolkit-bundle.ts";
import { type Box, startBox } from "../box/box.ts";
import { until } from "../box/processes.ts";
import { type Key, S3Server } from "./server.ts";

/** A real box with the toolkit on it, a database in it, and an S3 server and a git server on its network. */

export const bucket = "switchyard-backups";
export const vaultPassword = "v'lt pa$$ Qx73hjUw";
export const databasePassword = "pa'ss w$rd`x\"é-Hk52ldBn";

export class VaultBox {
  readonly box: Box;
  readonly s3: S3Server;
  readonly writer: Key;
  readonly git: string;
  /** The git server's own folder of the configuration's repository. */
  readonly repository: string;
  private readonly stopGit: () => void;

  private constructor(box: Box, s3: S3Server, writer: Key, git: Awaited<ReturnType<typeof serveGit>>) {
    this.box = box;
    this.s3 = s3;
    this.writer = writer;
    this.git = git.url;
    this.repository = git.folder;
    this.stopGit = git.stop;
  }

  static async start(): Promise<VaultBox> {
    const box = await startBox({ base: "full" });
    let s3: S3Server | null = null;
    try {
      s3 = await S3Server.start(`${box.clientAddress}:7070`, box.enter);
      await s3.makeBucket(bucket, 1);
      const writer = await s3.makeWriter(bucket, "chrono");
      const on = new VaultBox(box, s3, writer, await serveGit(box));
      await on.run("sh -s", (await bundleToolkit()).installer);
      await on.run("switchyard-box ground", JSON.stringify({ packages: [], users: [], receipt: "r1" }));
      await on.psql(`CREATE ROLE app LOGIN PASSWORD '${databasePassword.replaceAll("'", "''")}'`, "postgres");
      await on.psql("CREATE DATABASE chrono OWNER app", "postgres");
      return on;
    } catch (error) {
      await s3?.stop();
      await box.stop();
      throw error;
    }
  }

  async stop(): Promise<void> {
    this.stopGit();
    await this.s3.stop();
    await this.box.stop();
  }

  settings(changes: Partial<VaultSettings> = {}): VaultSettings {
    const url = `postgresql://app:${encodeURIComponent(databasePassword)}@127.0.0.1:5432/chrono`;
    return {
      system: "chrono",
      target: { kind: "s3", bucket, region: this.s3.region, endpoint: this.s3.endpoint, ...this.writer },
      password: vaultPassword,
      database: { url, key: "chrono:databaseUrl", adminUrl: null },
      configuration: { git: this.git, branch: "box", knownHosts: null, key: null },
      logDays: 30,
      ...changes,
    };
  }

  /** Runs a verb of the toolkit; rejects with what it said unless it exits 0. */
  async verb<T>(words: string, input: unknown = {}): Promise<T> {
    return JSON.parse(await this.run(`switchyard-box ${words}`, JSON.stringify(input))) as T;
  }

  async run(command: string, stdin = "", timeoutSeconds = 120): Promise<string> {
    const { code, stdout, stderr } = await this.box.ssh(command, { stdin, timeoutSeconds });
    if (code !== 0) throw new Error(stderr.trim() || `${command} exited ${code}: ${stdout}`);
    return stdout;
  }

  async psql(query: string, database = "chrono"): Promise<string> {
    const printed = await this.run(
      `cd / && sudo -u postgres psql -v ON_ERROR_STOP=1 -Atqd ${database}`,
      query,
    );
    return printed.trim();
  }

  async databases(): Promise<string[]> {
    const names = await this.psql(
      "SELECT datname FROM pg_database WHERE NOT datistemplate ORDER BY 1",
      "postgres",
    );
    return names.split("\n");
  }

  /** Rows and a checksum of the contents of each table of a database. */
  async contents(database: string): Promise<Record<string, string>> {
    const names = await this.psql(
      "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1",
      database,
    );
    const contents: Record<string, string> = {};
    for (const name of names.split("\n")) {
      contents[name] = await this.psql(
        `SELECT count(*) || ' ' || coalesce(md5(string_agg(t::text, E'\\n' ORDER BY t::text)), '') FROM ${name} t`,
        database,
      );
    }
    return contents;
  }

  /** Keys of the bucket's objects below a prefix, as the server keeps them. */
  keys(prefix: string): string[] {
    const folder = join(this.s3.objects, bucket);
    const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((one) => one.isFile());
    const keys = files.map((one) => join(one.parentPath, one.name).slice(folder.length + 1));
    return keys.filter((key) => key.startsWith(prefix)).sort();
  }

  object(key: string): Buffer {
    return readFileSync(join(this.s3.objects, bucket, key));
  }

  /**
   * Runs a verb and kills it with all that it has started, so many times, each time a little later in its work. One that
   * was done before it was killed shows how long the work takes now.
   */
  async killAgainAndAgain(words: string, input: unknown, times: number): Promise<void> {
    const timed = async (work: () => Promise<unknown>) => {
      const began = performance.now();
      await work();
      return (performance.now() - began) / 1000;
    };
    let whole = await timed(() => this.verb(words, input));
    for (let killed = 0, tries = 0; killed < times; tries += 1) {
      if (tries === 5 * times) throw new Error(`${words} was killed only ${killed} times in ${tries}`);
      const seconds = (whole * (killed + 1)) / (times + 1);
      // `timeout` kills itself and its group: nothing is left that could finish the work.
      const command = `setsid timeout --signal=KILL ${seconds.toFixed(2)} switchyard-box ${words} 2>&1; echo $?`;
      let printed = "";
      const took = await timed(async () => {
        printed = (await this.run(command, JSON.stringify(input))).trim();
      });
      const code = printed.split("\n").at(-1);
      if (code === "137") killed += 1;
      else if (code === "0") whole = Math.min(took, whole * 0.9);
      else throw new Error(`${words} failed before it was killed: ${printed}`);
    }
  }
}

/** A git server that takes pushes, beside the box. */
async function serveGit(box: Box): Promise<{ url: string; folder: string; stop: () => void }> {
  const base = mkdtempSync(join(tmpdir(), "switchyard-git-"));
  const folder = join(base, "configuration.git");
  execFileSync("git", ["init", "--quiet", "--bare", folder]);
  const [program = "", ...words] = [
    ...box.enter,
    ...["git", "-c", "safe.directory=*", "daemon", "--reuseaddr", "--export-all", "--enable=receive-pack"],
    ...[`--base-path=${base}`, `--listen=${box.clientAddress}`, "--port=9418"],
  ];
  const daemon = spawn(program, words, { stdio: "ignore", detached: true });
  const url = `git://${box.clientAddress}/configuration.git`;
  await until(
    async () => (await box.ssh(`git ls-remote ${url}`)).code === 0,
    10,
    "the git server does not answer",
    100,
  );
  return {
    url,
    folder,
    stop: () => {
      if (daemon.pid !== undefined && daemon.exitCode === null) process.kill(-daemon.pid, "SIGKILL");
      rmSync(base, { recursive: true, force: true });
    },
  };
}
