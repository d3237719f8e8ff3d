import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { freePort } from "../../support/free-port.ts";

const run = promisify(execFile);

/** Debian's OpenSSH server on a port of 127.0.0.1, with keys of its own, for one test file. */
export class Sshd {
  readonly folder: string;
  readonly port: number;
  /** `ssh-ed25519 AAAA…` */
  readonly hostKey: string;
  /** Text of the key that may log in. */
  readonly privateKey: string;
  readonly #stop: () => Promise<void>;

  private constructor(
    folder: string,
    port: number,
    keys: readonly [string, string],
    stop: () => Promise<void>,
  ) {
    this.folder = folder;
    this.port = port;
    [this.hostKey, this.privateKey] = keys;
    this.#stop = stop;
  }

  /** Takes GREETING and PULUMI_COMMAND_STDOUT from clients, and no other variable. */
  static async start(): Promise<Sshd> {
    const folder = await mkdtemp(join(tmpdir(), "switchyard-sshd-"));
    const path = (name: string): string => join(folder, name);
    await makeKey(path("host"));
    await makeKey(path("client"));
    await writeFile(path("authorized"), await readFile(path("client.pub")));
    const port = await freePort();
    const config = [
      `Port ${port}`,
      "ListenAddress 127.0.0.1",
      `HostKey ${path("host")}`,
      `AuthorizedKeysFile ${path("authorized")}`,
      `PidFile ${path("pid")}`,
      "StrictModes no",
      "UsePAM no",
      "PermitRootLogin prohibit-password",
      "PasswordAuthentication no",
      "AcceptEnv GREETING PULUMI_COMMAND_STDOUT",
      "Subsystem sftp internal-sftp",
    ];
    await writeFile(path("config"), `${config.join("\n")}\n`);
    // Debian's sshd wants its empty folder, which its service file would make.
    if (userInfo().uid === 0) await mkdir("/run/sshd", { recursive: true });
    const child = spawn("/usr/sbin/sshd", ["-D", "-e", "-f", path("config")], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    const said: Buffer[] = [];
    child.stderr.on("data", (chunk: Buffer) => said.push(chunk));
    const ended = once(child, "exit");
    const stop = async (): Promise<void> => {
      child.kill("SIGTERM");
      await ended;
      await rm(folder, { recursive: true, force: true });
    };
    for (let tries = 0; !(await answers(port)); tries++) {
      if (tries === 100 || child.exitCode !== null) {
        await stop();
        throw new Error(`sshd did not start: ${Buffer.concat(said).toString()}`);
      }
      await delay(50);
    }
    const hostKey = (await readFile(path("host.pub"), "utf8")).trim();
    return new Sshd(folder, port, [hostKey, await readFile(path("client"), "utf8")], stop);
  }

  /** Connection arguments of a remote command, without a way to log in. */
  get address(): { host: string; port: number; user: string; hostKey: string } {
    return { host: "127.0.0.1", port: this.port, user: userInfo().username, hostKey: this.hostKey };
  }

  stop(): Promise<void> {
    return this.#stop();
  }
}

/** @param password seals the key */
export async function makeKey(path: string, password = ""): Promise<string> {
  await run("ssh-keygen", ["-q", "-t", "ed25519", "-N", password, "-C", "test", "-f", path]);
  return readFile(path, "utf8");
}

/** An SSH agent that holds a key; `stop` ends it. */
export async function startAgent(
  folder: string,
  key: string,
): Promise<{ path: string; stop(): Promise<void> }> {
  const path = join(folder, "agent");
  const child = spawn("ssh-agent", ["-D", "-a", path], { stdio: "ignore" });
  const ended = once(child, "exit");
  for (let tries = 0; tries < 100; tries++) {
    const added = await run("ssh-add", ["-q", key], { env: { ...process.env, SSH_AUTH_SOCK: path } }).catch(
      () => null,
    );
    if (added !== null) break;
    await delay(50);
  }
  return {
    path,
    stop: async () => {
      child.kill("SIGTERM");
      await ended;
    },
  };
}

/** Stands between client and server, and can stop passing bytes on without closing anything: a cut cable. */
export class Cable {
  readonly #server: Server;
  readonly #ends: Socket[] = [];

  private constructor(server: Server) {
    this.#server = server;
  }

  static async to(port: number): Promise<Cable> {
    const cable = new Cable(
      createServer((inner) => {
        const outer = connect({ host: "127.0.0.1", port });
        cable.#ends.push(inner, outer);
        for (const end of [inner, outer]) end.on("error", () => undefined);
        inner.pipe(outer).pipe(inner);
      }),
    );
    cable.#server.listen(0, "127.0.0.1");
    await once(cable.#server, "listening");
    return cable;
  }

  get port(): number {
    return (this.#server.address() as { port: number }).port;
  }

  cut(): void {
    for (const end of this.#ends) end.unpipe().pause();
  }

  async remove(): Promise<void> {
    for (const end of this.#ends) end.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port });
    socket.once("error", () => resolve(false));
    socket.once("data", () => {
      socket.destroy();
      resolve(true);
    });
  });
}
