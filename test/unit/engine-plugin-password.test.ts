import { once } from "node:events";
import type { AddressInfo } from "node:net";
import ssh2, { type AuthContext, type Connection as ServerConnection } from "ssh2";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { runRemotely } from "../../engine/plugins/command/remote.ts";
import type { Log } from "../../engine/plugins/protocol/log.ts";
import { freshHostKey } from "../support/host-key.ts";

/** What OpenSSH's server in the engine tests does not do: passwords, and a host that stays silent. */
describe("a server that asks for a password", () => {
  const keys = freshHostKey();
  const log: Log = { line: () => undefined, flush: async () => undefined };
  let server: InstanceType<typeof ssh2.Server>;
  let admit: (context: AuthContext) => void;
  beforeEach(async () => {
    vi.stubEnv("SSH_AUTH_SOCK", "");
    server = new ssh2.Server({ hostKeys: [keys.private] }, (client: ServerConnection) => {
      client.on("error", () => undefined);
      client.on("authentication", (context) => admit(context));
      client.on("session", (accept) => {
        accept().on("exec", (acceptExec, _reject, { command }) => {
          const channel = acceptExec();
          channel.write(`ran ${command}\n`);
          channel.exit(0);
          channel.end();
        });
      });
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
  });
  afterEach(async () => {
    vi.unstubAllEnvs();
    server.close();
    await once(server, "close");
  });

  const run = (settings: { password?: string; perDialTimeout?: number }) =>
    runRemotely(
      "a command",
      {
        connection: {
          host: "127.0.0.1",
          port: (server.address() as AddressInfo).port,
          user: "someone",
          hostKey: keys.public,
          dialErrorLimit: 0,
          perDialTimeout: 5,
          ...settings,
        },
      },
      {},
      log,
      new AbortController().signal,
    );
  const output = { stdout: "ran a command", stderr: "" };

  it("is answered", async () => {
    admit = (context) => {
      if (context.method === "password" && context.password === "right") context.accept();
      else context.reject(["password"]);
    };
    expect(await run({ password: "right" })).toEqual(output);
    const wrong = await run({ password: "wrong-5ecret" }).catch((error: Error) => error.message);
    expect(wrong).toContain(
      "after 0 failed attempts: ssh: handshake failed: ssh: unable to authenticate as someone",
    );
    expect(wrong).not.toContain("5ecret");
  });

  it("is answered one question at a time, too", async () => {
    admit = (context) => {
      if (context.method !== "keyboard-interactive") return context.reject(["keyboard-interactive"]);
      context.prompt([{ prompt: "Password: ", echo: false }], (answers) => {
        if (answers[0] === "right") context.accept();
        else context.reject();
      });
    };
    expect(await run({ password: "right" })).toEqual(output);
  });

  it("is left after perDialTimeout where it never answers", async () => {
    admit = () => undefined;
    await expect(run({ password: "right", perDialTimeout: 1 })).rejects.toThrow(/Timed out|i\/o timeout/);
  });
});
