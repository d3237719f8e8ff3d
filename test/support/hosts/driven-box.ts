import { readFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { environmentFile } from "../../../components/box/toolkit/environment-file.ts";
import type { Backend, Door, Host, Unit, UnitState } from "../../../components/box/toolkit/host.ts";
import type { BaseName } from "../box/base.ts";
import { type Box, startBox } from "../box/box.ts";
import { until } from "../box/processes.ts";

/** A real box whose SystemdHost a test calls as if it were here: the box's own Node runs driver.ts as switchyard-box. */
export class DrivenBox {
  readonly box: Box;
  readonly builds = "/srv/switchyard/builds";
  readonly stopSeconds = 2;

  static async start(base: BaseName): Promise<DrivenBox> {
    const driven = new DrivenBox(await startBox({ base }));
    if (base === "empty") await driven.box.ssh("apt-get install -y --no-install-recommends nodejs");
    const { outputFiles } = await build({
      entryPoints: [join(import.meta.dirname, "driver.ts")],
      bundle: true,
      platform: "node",
      target: "node18",
      format: "cjs",
      write: false,
      logLevel: "silent",
    });
    await driven.put("/usr/local/lib/driver.cjs", outputFiles[0]?.text ?? "", "644");
    await driven.put(
      "/usr/local/bin/switchyard-box",
      '#!/bin/sh\nexec node /usr/local/lib/driver.cjs "$@"\n',
      "755",
    );
    return driven;
  }

  private constructor(box: Box) {
    this.box = box;
  }

  /** Calls a method of the host; throws what it throws. */
  async call(method: keyof Host, ...values: unknown[]): Promise<{ value: unknown; milliseconds: number }> {
    const stdin = `${JSON.stringify(values)}\n`;
    const { stdout, stderr } = await this.box.ssh(`read -r values; switchyard-box ${method} "$values"`, {
      stdin,
      timeoutSeconds: 120,
    });
    if (stdout === "") throw new Error(`${method}: ${stderr}`);
    const answer = JSON.parse(stdout);
    if (answer.error !== undefined) throw new Error(answer.error);
    return answer;
  }

  async stateOf(name: string): Promise<UnitState> {
    return (await this.call("unitState", name)).value as UnitState;
  }

  async serves(door: Door): Promise<Backend | null> {
    return (await this.call("doorServes", door)).value as Backend | null;
  }

  /** What a command prints, without the space around it. */
  async say(command: string): Promise<string> {
    return (await this.box.ssh(command)).stdout.trim();
  }

  /** The body of an answer on the box itself; "" where there is none. */
  ask(port: number, path = "/"): Promise<string> {
    return this.say(`curl --silent --max-time 20 http://127.0.0.1:${port}${path}`);
  }

  async status(port: number, path = "/"): Promise<string> {
    return this.say(
      `curl --silent --output /dev/null --write-out '%{http_code}' http://127.0.0.1:${port}${path}`,
    );
  }

  answers(port: number): Promise<void> {
    return until(async () => (await this.ask(port)) !== "", 15, `nothing answers on ${port}`, 100);
  }

  async put(path: string, text: string | Buffer, mode: string): Promise<void> {
    await this.box.ssh(`mkdir -p "$(dirname ${path})"; cat >${path}; chmod ${mode} ${path}`, { stdin: text });
  }

  /** A unit that runs service.mjs. */
  unit(name: string, more: Partial<Unit> = {}): Unit {
    return {
      name,
      description: `test 100% of ${name}`,
      kind: "serving",
      lock: "shop-api",
      command: ["node", "service.mjs"],
      directory: this.builds,
      environmentFile: `${this.builds}/${name}.env`,
      stopSeconds: this.stopSeconds,
      ...more,
    };
  }

  async putService(): Promise<void> {
    await this.put(
      `${this.builds}/service.mjs`,
      readFileSync(join(import.meta.dirname, "service.mjs")),
      "644",
    );
    await this.box.ssh(`chmod 755 ${this.builds}`);
  }

  async install(unit: Unit, values: Record<string, string>): Promise<void> {
    await this.put(unit.environmentFile, environmentFile(values), "600");
    await this.call("installUnit", unit);
  }

  installService(unit: Unit, port: number, more: Record<string, string> = {}): Promise<void> {
    return this.install(unit, { PORT: `${port}`, RELEASE: unit.name, ...more });
  }

  /** Of the unit's main process, one of /proc's files whose entries end in NUL. */
  async entriesOf(unitName: string, file: "environ" | "cmdline"): Promise<string[]> {
    const raw = await this.say(`base64 -w0 /proc/$(systemctl show ${unitName} -p MainPID --value)/${file}`);
    return Buffer.from(raw, "base64").toString("utf8").split("\0").slice(0, -1);
  }
}
