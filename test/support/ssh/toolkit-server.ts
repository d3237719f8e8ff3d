import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import ssh2 from "ssh2";
import { freshHostKey } from "../host-key.ts";

const checkout = join(import.meta.dirname, "../../..");

/**
 * An SSH server of the test's own that knows one command: `switchyard-box`, the toolkit itself on a local box. It is for
 * machines without OpenSSH, and takes whoever comes.
 */
export class ToolkitServer {
  /** Every command that was asked for, in its order. */
  readonly asked: string[] = [];
  private readonly server: ssh2.Server;

  /** @param hostKeys private keys, in the order in which the server offers their kinds */
  static async start(root: string, hostKeys = [freshHostKey().private]): Promise<ToolkitServer> {
    const server = new ToolkitServer(root, hostKeys);
    server.server.listen(0, "127.0.0.1");
    await once(server.server, "listening");
    return server;
  }

  private constructor(root: string, hostKeys: readonly string[]) {
    this.server = new ssh2.Server({ hostKeys: [...hostKeys] }, (client) => {
      client.on("error", () => {});
      client.on("authentication", (context) => context.accept());
      client.on("session", (acceptSession) => {
        acceptSession().on("exec", (acceptCommand, _refuse, { command }) => {
          this.asked.push(command);
          const channel = acceptCommand();
          channel.on("error", () => {});
          const child = spawn("sh", ["-c", command.replace(/^switchyard-box/, toolkit)], {
            env: { ...process.env, SWITCHYARD_BOX_ROOT: root },
          });
          child.stdin.on("error", () => {});
          channel.pipe(child.stdin);
          child.stdout.pipe(channel, { end: false });
          child.stderr.pipe(channel.stderr, { end: false });
          // As with sshd, a command whose client is gone goes on.
          child.once("close", (code) => {
            if (!channel.writable) return;
            channel.exit(code ?? 137);
            channel.end();
          });
        });
      });
    });
  }

  get port(): number {
    return (this.server.address() as { port: number }).port;
  }

  async stop(): Promise<void> {
    this.server.close();
  }
}

const toolkit = join(checkout, "components/box/switchyard-box.sh");
