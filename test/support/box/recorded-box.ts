import { mkdtemp, rm } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import ssh2 from "ssh2";
import type { BoxObservation } from "../../../components/box/toolkit/verbs/observe.ts";
import { makeKey, startAgent } from "../../engine/command-plugin/sshd.ts";
import { freshHostKey } from "../host-key.ts";

export interface Asked {
  /** Words of the verb, `vault-prepare chrono`; "toolkit" where a script was to be run. */
  readonly verb: string;
  readonly stdin: string;
  readonly at: Date;
}

/** What a verb prints; an error's message goes to standard error, with exit code 1. */
export type Answers = (verb: string, stdin: string) => object | Error | undefined;

/**
 * A host that answers SSH and runs nothing: it writes down what it was asked for, and says what a box would. For tests
 * of what a whole stack asks of its boxes, and in which order.
 */
export class RecordedBox {
  readonly asked: Asked[] = [];
  readonly host = "127.0.0.1";
  readonly user = "deploy";
  readonly port: number;
  /** `ssh-ed25519 AAAA…` */
  readonly hostKey: string;
  /** SSH_AUTH_SOCK of an agent that may log in. */
  readonly agent: string;
  /** What it answers instead of `{}`. */
  answers: Answers = () => undefined;
  private ground: string | null = null;
  private readonly close: () => Promise<void>;

  private constructor(port: number, hostKey: string, agent: string, close: () => Promise<void>) {
    this.port = port;
    this.hostKey = hostKey;
    this.agent = agent;
    this.close = close;
  }

  static async start(): Promise<RecordedBox> {
    const folder = await mkdtemp(join(tmpdir(), "switchyard-recorded-box-"));
    const client = join(folder, "client");
    await makeKey(client);
    const agent = await startAgent(folder, client);
    const key = freshHostKey();
    let box: RecordedBox | null = null;
    const server = new ssh2.Server({ hostKeys: [key.private] }, (guest) => {
      guest.on("error", () => {});
      guest.on("authentication", (login) =>
        login.method === "publickey" ? login.accept() : login.reject(["publickey"]),
      );
      guest.on("session", (accept) => {
        accept().on("exec", (take, _reject, { command }) => void box?.run(command, take()));
      });
    });
    await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
    box = new RecordedBox((server.address() as AddressInfo).port, key.public, agent.path, async () => {
      server.close();
      await agent.stop();
      await rm(folder, { recursive: true, force: true });
    });
    return box;
  }

  /** As a system's config has it. */
  get config(): { host: string; port: number; user: string; hostKey: string } {
    const { host, port, user, hostKey } = this;
    return { host, port, user, hostKey };
  }

  /** The verbs it was asked for, without fingerprints; those that only look are left out. */
  verbs(): string[] {
    const names = this.asked.map(({ verb }) => verb.replace(/ [0-9a-f]{12}$/, ""));
    return names.filter((name) => name !== "observe");
  }

  stop(): Promise<void> {
    return this.close();
  }

  private async run(command: string, channel: ssh2.ServerChannel): Promise<void> {
    const [, words] = /^'?switchyard-box'? ?(.*)$/.exec(command) ?? [];
    const verb = words === undefined ? "toolkit" : words.replaceAll("'", "");
    const stdin = await text(channel);
    this.asked.push({ verb, stdin, at: new Date() });
    if (verb === "ground") this.ground = (JSON.parse(stdin) as { receipt: string }).receipt;
    const observed: BoxObservation = { ground: this.ground, systems: {} };
    const answer = this.answers(verb, stdin) ?? (verb === "observe" ? observed : {});
    if (answer instanceof Error) channel.stderr.write(`${answer.message}\n`);
    else channel.write(`${JSON.stringify(answer)}\n`);
    channel.exit(answer instanceof Error ? 1 : 0);
    channel.end();
  }
}
