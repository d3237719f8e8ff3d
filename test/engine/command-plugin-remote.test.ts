import { existsSync } from "node:fs";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { userInfo } from "node:os";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { freePort } from "../support/free-port.ts";
import { Cable, makeKey, Sshd, startAgent } from "./command-plugin/sshd.ts";
import { otherPlugin, type Resource, type Spec, TestStack } from "./command-plugin/stack.ts";

/** Commands on another host, through the real engine and OpenSSH's own server. */
const reason = existsSync("/usr/sbin/sshd")
  ? ""
  : " (skipped: no /usr/sbin/sshd; apt-get install openssh-server)";

describe.skipIf(reason !== "")(`remote commands${reason}`, () => {
  let sshd: Sshd;
  let agent: Awaited<ReturnType<typeof startAgent>>;
  let stack: TestStack;
  beforeAll(async () => {
    sshd = await Sshd.start();
    agent = await startAgent(sshd.folder, `${sshd.folder}/client`);
  });
  afterAll(async () => {
    await agent.stop();
    await sshd.stop();
  });
  beforeEach(async () => {
    // No agent but the one a test names.
    stack = await TestStack.create("development", { SSH_AUTH_SOCK: "" });
  });
  afterEach(() => stack.remove());

  const remote = (args: object, options?: object): Resource => ({
    type: "remote.Command",
    args: { connection: { ...sshd.address, agentSocketPath: agent.path, dialErrorLimit: 1 }, ...args },
    ...(options === undefined ? {} : { options }),
  });
  const command = (args: object, options?: object): Spec => ({ c: remote(args, options) });
  const outputs = async () => (await stack.resource("c"))?.outputs;
  /** A script that notes a text in the test's folder, which is the remote's too. */
  const note = (text: string): string => `echo ${text} >>${stack.path("journal")}`;

  it("runs create, update and the old state's delete; hands over stdin; tells outputs", async () => {
    const text = "first ' \" $HOME `id` \\ ünï ☃\nsecond line\n";
    const first = {
      create: `${note("create")}; cat >${stack.path("in")}; echo out; echo err >&2`,
      delete: note("delete-1"),
      stdin: text,
    };
    const created = await stack.up(command(first));
    expect(created.steps, created.messages).toEqual(["create c"]);
    expect(created.lines).toEqual(expect.arrayContaining(["out", "err"]));
    expect(await outputs()).toMatchObject({ stdout: "out", stderr: "err" });
    expect(await stack.read("in")).toBe(text);
    expect((await stack.up(command(first))).steps).toEqual(["same c"]);

    const second = {
      ...first,
      update: `${note("update")}; echo later`,
      delete: note("delete-2"),
      logging: "none",
    };
    const updated = await stack.up(command(second));
    expect(updated.steps).toEqual(["update c"]);
    expect(updated.lines).not.toContain("later");
    expect(await outputs()).toMatchObject({ stdout: "later", stderr: "" });

    expect((await stack.up(command({ ...second, triggers: [1] }))).steps).toEqual([
      "create-replacement c",
      "replace c",
      "delete-replaced c",
    ]);
    expect((await stack.up({})).steps).toEqual(["delete c"]);
    expect(await stack.read("journal")).toBe("create\nupdate\ncreate\ndelete-2\ndelete-2\n");
  });

  it("keeps the connection secret, with its defaults filled in", async () => {
    const run = await stack.up(
      command({ create: "true", connection: { ...connectionWithKey(), perDialTimeout: 7 } }),
    );
    expect(run.ok, run.messages).toBe(true);
    const state = await stack.resource("c");
    const plain = (value: unknown): unknown => JSON.parse((value as { plaintext: string }).plaintext);
    for (const values of [state?.inputs, state?.outputs]) {
      expect(plain(values?.connection)).toMatchObject({
        host: "127.0.0.1",
        port: sshd.port,
        user: userInfo().username,
        dialErrorLimit: 10,
        perDialTimeout: 7,
      });
    }
    expect(await stack.stored()).not.toContain("PRIVATE KEY");
    expect(run.printed).not.toContain("PRIVATE KEY");
  });

  it("fails with the exit status, the command and all it printed", async () => {
    const run = await stack.up(command({ create: "echo seen; echo worse >&2; exit 3" }));
    expect(run.messages).toContain(
      'Process exited with status 3: running "echo seen; echo worse >&2; exit 3":\n',
    );
    expect(run.messages).toMatch(/seen\nworse|worse\nseen/);
    expect(await stack.resource("c")).toBeUndefined();
    const killed = await stack.up(command({ create: "kill -TERM $$" }));
    expect(killed.messages).toMatch(/Process exited with status 143 from signal TERM/);
  });

  it("sets the variables the host accepts, and does not run where it refuses one", async () => {
    const accepted = await stack.up(
      command({
        create: `printf %s "$GREETING" >${stack.path("env")}`,
        environment: { GREETING: "a 'b' \"c\"\n☃" },
      }),
    );
    expect(accepted.ok, accepted.messages).toBe(true);
    expect(await stack.read("env")).toBe("a 'b' \"c\"\n☃");
    const refused = await stack.up(
      command({ create: note("ran"), environment: { GREETING: "x", REFUSED: { $secret: "5ecret" } } }),
    );
    expect(refused.ok).toBe(false);
    expect(refused.messages).toMatch(/could not set environment variable "REFUSED": ssh: setenv failed/);
    expect(refused.messages).toMatch(/Unable to set 'REFUSED'[\s\S]*AcceptEnv/);
    expect(refused.printed).not.toContain("5ecret");
    expect(await stack.read("journal")).toBe("");
  });

  it("hands over the earlier output where the host takes it, and warns where not", async () => {
    const create = "echo first; echo warn >&2";
    await stack.up(command({ create }));
    const update = `echo "[$PULUMI_COMMAND_STDOUT|$PULUMI_COMMAND_STDERR]"`;
    const run = await stack.up(command({ create, update }));
    expect(run.ok, run.messages).toBe(true);
    expect(run.messages).toContain("Unable to set 'PULUMI_COMMAND_STDERR'");
    expect(await outputs()).toMatchObject({ stdout: "[first|]" });
    const quiet = await stack.up(command({ create, update, addPreviousOutputInEnv: false }));
    expect(quiet.messages).not.toContain("Unable to set");
    expect(await outputs()).toMatchObject({ stdout: "[|]" });
  });

  const connectionWithKey = () => ({ ...sshd.address, privateKey: sshd.privateKey });

  it("logs in by a key, a sealed key, a named agent and SSH_AUTH_SOCK's", async () => {
    const sealed = `${sshd.folder}/sealed-${process.hrtime.bigint()}`;
    await makeKey(sealed, "open sesame");
    const { readFile, appendFile } = await import("node:fs/promises");
    await appendFile(`${sshd.folder}/authorized`, await readFile(`${sealed}.pub`));
    const create = "echo $PPID";
    const one = (connection: object): Resource => remote({ create, connection });
    const spec: Spec = {
      key: one(connectionWithKey()),
      sealed: one({
        ...sshd.address,
        privateKey: await readFile(sealed, "utf8"),
        privateKeyPassword: "open sesame",
      }),
      agent: one({ ...sshd.address, agentSocketPath: agent.path }),
      anyHost: one({ ...connectionWithKey(), hostKey: undefined }),
    };
    const run = await stack.up(spec);
    expect(run.ok, run.messages).toBe(true);
    await stack.remove();
    stack = await TestStack.create("development", { SSH_AUTH_SOCK: agent.path });
    const byDefault = await stack.up({ c: one(sshd.address) });
    expect(byDefault.ok, byDefault.messages).toBe(true);
  });

  it("tells a wrong host key, a key that may not log in, a closed port and a missing agent apart", async () => {
    const strange = await makeKey(stack.path("strange"));
    const { readFile } = await import("node:fs/promises");
    const few = { dialErrorLimit: 1 };
    const port = await freePort();
    const failing = {
      hostKey: { ...connectionWithKey(), ...few, hostKey: await readFile(stack.path("strange.pub"), "utf8") },
      login: { ...sshd.address, ...few, privateKey: strange },
      closed: { ...connectionWithKey(), ...few, port },
      agent: { ...sshd.address, ...few, agentSocketPath: stack.path("nobody") },
      unreadable: { ...sshd.address, ...few, privateKey: "no key" },
      wrongPin: { ...connectionWithKey(), ...few, hostKey: "no key" },
    };
    const said: Record<string, string> = {};
    for (const [name, connection] of Object.entries(failing)) {
      said[name] = (await stack.up({ c: remote({ create: note("ran"), connection }) })).messages;
    }
    expect(said).toEqual({
      hostKey: expect.stringContaining(
        "after 1 failed attempts: ssh: handshake failed: ssh: host key mismatch",
      ),
      login: expect.stringContaining(
        "after 1 failed attempts: ssh: handshake failed: ssh: unable to authenticate",
      ),
      closed: expect.stringContaining(
        `after 1 failed attempts: dial tcp 127.0.0.1:${port}: connect: connection refused`,
      ),
      agent: expect.stringContaining(`dial unix ${stack.path("nobody")}: connect: no such file or directory`),
      unreadable: expect.stringMatching(/ssh: no key found|cannot be read/),
      wrongPin: expect.stringContaining("failed to parse host key"),
    });
    expect(await stack.read("journal")).toBe("");
    expect(Object.values(said).join("\n")).not.toContain("PRIVATE KEY");
  });

  it("goes through a proxy, and says where on the way it failed", async () => {
    const proxy = connectionWithKey();
    const through = await stack.up(
      command({ create: "echo there", connection: { ...connectionWithKey(), proxy } }),
    );
    expect(through.ok, through.messages).toBe(true);
    expect(await outputs()).toMatchObject({ stdout: "there" });
    const broken = { ...connectionWithKey(), port: await freePort(), dialErrorLimit: 1, proxy };
    const failed = await stack.up(command({ create: "echo again", connection: broken }));
    expect(failed.messages).toContain(
      "proxy: after 1 failed attempts: ssh: rejected: connect failed (Connection refused)",
    );
  });

  it("copies a file, a text and a folder, again when they change, and takes nothing away", async () => {
    await mkdir(stack.path("work/tree/deep"), { recursive: true });
    await writeFile(stack.path("work/tree/deep/a.txt"), "a");
    await writeFile(stack.path("work/one.txt"), "one");
    const copy = (source: object, remotePath: string): Resource => ({
      type: "remote.CopyToRemote",
      args: { connection: connectionWithKey(), source, remotePath: stack.path(remotePath) },
    });
    const spec: Spec = {
      file: copy({ $file: stack.path("work/one.txt") }, "work/new/parents/two.txt"),
      into: copy({ $file: stack.path("work/one.txt") }, "work/tree/deep"),
      text: copy({ $text: "some text ☃" }, "work/new-2/text.txt"),
      folder: copy({ $folder: stack.path("work/tree") }, "work/target"),
      inside: copy({ $folder: `${stack.path("work/tree")}/` }, "work/target-2"),
    };
    const run = await stack.up(spec);
    expect(run.ok, run.messages).toBe(true);
    const files = async () =>
      (await readdir(stack.path("work"), { recursive: true, withFileTypes: true }))
        .filter((entry) => entry.isFile())
        .map((entry) => `${entry.parentPath.slice(stack.path("work").length)}/${entry.name}`)
        .sort();
    expect((await files()).filter((name) => !name.includes("deep/one.txt"))).toEqual([
      "/new-2/text.txt",
      "/new/parents/two.txt",
      "/one.txt",
      "/target-2/deep/a.txt",
      "/target/tree/deep/a.txt",
      "/tree/deep/a.txt",
    ]);
    expect(await stack.read("work/new-2/text.txt")).toBe("some text ☃");

    await writeFile(stack.path("work/one.txt"), "changed");
    await writeFile(stack.path("work/new-2/text.txt"), "changed by hand");
    const { file, text } = spec as { file: Resource; text: Resource };
    const again = await stack.up({ file, text });
    expect(again.steps.toSorted()).toEqual([
      "delete folder",
      "delete inside",
      "delete into",
      "same text",
      "update file",
    ]);
    expect(await stack.read("work/new/parents/two.txt")).toBe("changed");
    expect(await stack.read("work/new-2/text.txt")).toBe("changed by hand");
    expect(await files()).toContain("/target/tree/deep/a.txt");

    const wrong = await stack.up({ c: copy({ $folder: stack.path("work/tree") }, "work/one.txt") });
    expect(wrong.ok).toBe(false);
    const folder = await stack.up({ c: copy({ $text: "x" }, "work/tree") });
    expect(folder.messages).toMatch(/work\/tree is a (directory|folder)/);
  });

  it("needs a connection with a host", async () => {
    const run = await stack.up(command({ create: note("ran"), connection: { user: "root" } }));
    expect(run.ok).toBe(false);
    expect(run.messages).toMatch(/host/);
    expect(await stack.read("journal")).toBe("");
  });

  it("leaves a running command alone when the CLI is killed", async () => {
    const { started, run } = stack.start(command({ create: `${note("began")}; sleep 3; ${note("ended")}` }));
    const cli = await started;
    await expect.poll(() => stack.read("journal"), { timeout: 20_000 }).toBe("began\n");
    process.kill(cli, "SIGKILL");
    await run;
    await expect.poll(() => stack.read("journal"), { timeout: 10_000 }).toBe("began\nended\n");
  });

  it.skipIf(otherPlugin !== undefined)("notices within 30 s that the network is cut", async () => {
    const cable = await Cable.to(sshd.port);
    try {
      const connection = { ...connectionWithKey(), port: cable.port };
      const { run } = stack.start(command({ create: `${note("began")}; sleep 40`, connection }));
      await expect.poll(() => stack.read("journal"), { timeout: 20_000 }).toBe("began\n");
      cable.cut();
      const since = Date.now();
      expect((await run).messages).toContain(
        `the connection to 127.0.0.1:${cable.port} was lost: no answer for 24 s`,
      );
      expect(Date.now() - since).toBeLessThan(30_000);
    } finally {
      await cable.remove();
    }
  });
});
