import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { otherPlugin, type Spec, TestStack } from "./command-plugin/stack.ts";

/** Commands on this machine, through the real engine. The same tests run against another build of the plugin. */
describe("local commands", () => {
  let stack: TestStack;
  beforeEach(async () => {
    stack = await TestStack.create();
  });
  afterEach(() => stack.remove());

  const command = (args: object, options?: object): Spec => ({
    c: { type: "local.Command", args, ...(options === undefined ? {} : { options }) },
  });
  /** A command that notes its name where the tests read it. */
  const note = (text: string): string => `echo ${text} >>journal`;
  const outputs = async () => (await stack.resource("c"))?.outputs;

  it("runs create once, update on a changed input, and the old state's delete", async () => {
    const first = {
      create: `${note("create")}; echo out; echo err >&2`,
      delete: `${note("delete-1")}; echo "$WHO" >>journal`,
      environment: { WHO: "one" },
    };
    expect((await stack.up(command(first))).steps).toEqual(["create c"]);
    expect(await outputs()).toEqual({ ...first, stdout: "out", stderr: "err" });
    expect((await stack.up(command(first))).steps).toEqual(["same c"]);
    expect(await stack.read("journal")).toBe("create\n");

    const second = { ...first, update: note("update"), delete: `${note("delete-2")}; echo "$WHO" >>journal` };
    expect((await stack.up(command(second))).steps).toEqual(["update c"]);
    expect(await outputs()).toEqual({ ...second, stdout: "", stderr: "" });
    const third = { create: first.create, delete: second.delete, environment: { WHO: "two" } };
    expect((await stack.up(command(third))).steps).toEqual(["update c"]);
    expect((await stack.up({})).steps).toEqual(["delete c"]);
    expect(await stack.read("journal")).toBe("create\nupdate\ncreate\ndelete-2\ntwo\n");
  });

  it("replaces on a changed, added or removed trigger: the new create, then the old delete", async () => {
    const at = (version: number, triggers?: readonly unknown[]) =>
      command({
        create: note(`create-${version}`),
        update: note("update"),
        delete: note(`delete-${version}`),
        ...(triggers === undefined ? {} : { triggers }),
      });
    await stack.up(at(1, ["a", { b: 1 }]));
    const replaced = ["create-replacement c", "replace c", "delete-replaced c"];
    expect((await stack.up(at(2, ["a", { b: 2 }]))).steps).toEqual(replaced);
    expect((await stack.up(at(3, ["a", { b: 2 }, "c"]))).steps).toEqual(replaced);
    expect((await stack.up(at(4))).steps).toEqual(replaced);
    expect((await stack.up(at(5, []))).steps).toEqual(replaced);
    expect((await stack.up(at(5, []))).steps).toEqual(["same c"]);
    const journal = await stack.read("journal");
    expect(journal.trim().split("\n")).toEqual([
      "create-1",
      ...[1, 2, 3, 4].flatMap((old) => [`create-${old + 1}`, `delete-${old}`]),
    ]);
  });

  it("gives the command its stdin, environment, folder and interpreter, byte for byte", async () => {
    const text = "quotes ' \" ` $HOME \\ line\nend ünï ☃ \t";
    const run = await stack.up(
      command({
        create:
          'printf %s "$TEXT" >out-env; cat /dev/stdin >out-stdin; pwd; echo told >/dev/stderr; echo "$0"',
        stdin: text,
        environment: { TEXT: text },
        dir: stack.path("work"),
        interpreter: ["/bin/bash", "-c"],
      }),
    );
    expect(run.ok, run.messages).toBe(true);
    expect([await stack.read("work/out-env"), await stack.read("work/out-stdin")]).toEqual([text, text]);
    expect(await outputs()).toMatchObject({ stdout: `${stack.path("work")}\n/bin/bash`, stderr: "told" });
  });

  it("hands the earlier output to the next run, unless told not to", async () => {
    const show = 'echo "[$PULUMI_COMMAND_STDOUT|$PULUMI_COMMAND_STDERR]" >>journal';
    const create = `${show}; echo first; echo warn >&2`;
    await stack.up(command({ create, update: `${show}; echo second`, delete: show }));
    await stack.up(command({ create, update: `${show}; echo second`, delete: show, stdin: "x" }));
    await stack.up(
      command({ create, update: `${show}; echo third`, delete: show, addPreviousOutputInEnv: false }),
    );
    await stack.up({});
    expect(await stack.read("journal")).toBe("[|]\n[first|warn]\n[|]\n[|]\n");
  });

  it("streams what it is told to log, and keeps both outputs", async () => {
    const kinds = ["default", "stdoutAndStderr", "stdout", "stderr", "none"];
    const speaking = (kind: string): Spec[string] => ({
      type: "local.Command",
      args: {
        create: `echo ${kind} out-1; sleep 0.1; echo ${kind} err >&2; sleep 0.1; printf '${kind} out-2'`,
        ...(kind === "default" ? {} : { logging: kind }),
      },
    });
    const run = await stack.up(Object.fromEntries(kinds.map((kind) => [kind, speaking(kind)])));
    const logged = (kind: string) =>
      run.lines.filter((line) => line.startsWith(`${kind} `)).map((line) => line.split(" ")[1]);
    expect(kinds.map((kind) => [kind, ...logged(kind)])).toEqual([
      ["default", "out-1", "err", "out-2"],
      ["stdoutAndStderr", "out-1", "err", "out-2"],
      ["stdout", "out-1", "out-2"],
      ["stderr", "err"],
      ["none"],
    ]);
    for (const kind of kinds) {
      expect((await stack.resource(kind))?.outputs).toMatchObject({
        stdout: `${kind} out-1\n${kind} out-2`,
        stderr: `${kind} err`,
      });
    }
  });

  it("fails with the exit status, the command and all it printed; the next update tries again", async () => {
    const failing = 'echo "seen so far"; echo worse >&2; exit 3';
    const created = await stack.up(command({ create: failing, delete: note("delete") }));
    expect(created.ok).toBe(false);
    expect(created.messages).toContain(
      `exit status 3: running "echo \\"seen so far\\"; echo worse >&2; exit 3":\nseen so far\nworse\n`,
    );
    expect(await stack.resource("c")).toBeUndefined();

    await stack.up(command({ create: "echo good" }));
    for (const _ of [1, 2]) {
      const updated = await stack.up(command({ create: "echo good", update: "kill -9 $$" }));
      expect(updated.messages).toContain('signal: killed: running "kill -9 $$":');
      expect(await outputs()).toEqual({ create: "echo good", stdout: "good", stderr: "" });
    }
    expect((await stack.up(command({ create: "echo good" }))).steps).toEqual(["same c"]);
    expect(await stack.read("journal")).toBe("");
  });

  it("names a missing folder and a missing interpreter", async () => {
    const folder = await stack.up(command({ create: "true", dir: "/no/such/folder" }));
    expect(folder.messages).toContain("chdir /no/such/folder: no such");
    const program = await stack.up(command({ create: "true", interpreter: ["no-such-program"] }));
    expect(program.messages).toContain('exec: "no-such-program": executable file not found in $PATH');
  });

  it("keeps secret inputs secret, and outputs where they are asked to be", async () => {
    const [stdin, variable] = ["stdin-5ecret", "variable-5ecret"];
    const args = {
      create: 'echo "$V" | tr a-z A-Z; cat | tr a-z A-Z',
      stdin: { $secret: stdin },
      environment: { V: { $secret: variable } },
    };
    const sealed = { additionalSecretOutputs: ["stdout", "stderr"] };
    const run = await stack.up(command({ ...args, logging: "none" }, sealed));
    expect(run.ok, run.messages).toBe(true);
    expect(await stack.resource("c")).toMatchObject({
      inputs: { stdin: { plaintext: `"${stdin}"` }, environment: { V: { plaintext: `"${variable}"` } } },
      outputs: { stdout: { plaintext: JSON.stringify("VARIABLE-5ECRET\nSTDIN-5ECRET") } },
    });
    const all = (await stack.stored()) + run.printed;
    expect(/(stdin|variable)-5ecret/i.exec(all)).toBeNull();
    expect((await stack.up(command({ ...args, logging: "none" }, sealed))).steps).toEqual(["same c"]);

    await stack.up(command(args));
    expect((await outputs())?.stdout).toBe("VARIABLE-5ECRET\nSTDIN-5ECRET");
  });

  it("runs nothing in a preview, and lets dependents wait for what it cannot know", async () => {
    const chain = (text: string): Spec => ({
      ...command({ create: `${note("ran")}; echo ${text}` }),
      d: { type: "local.Command", args: { create: note("dependent"), stdin: { $output: ["c", "stdout"] } } },
    });
    expect((await stack.preview(chain("one"))).steps).toEqual(["create c", "create d"]);
    expect(await stack.read("journal")).toBe("");
    await stack.up(chain("one"));
    expect((await stack.preview(chain("one"))).steps).toEqual(["same c", "same d"]);
    expect((await stack.preview(chain("two"))).steps).toEqual(["update c", "update d"]);
    expect(await stack.read("journal")).toBe("ran\ndependent\n");
  });

  it("returns the files that match, as assets and as an archive", async () => {
    const run = await stack.up(
      command({
        create: "mkdir -p a/deep && echo one >a/one.txt && echo two >a/deep/two.txt && echo no >a/secret.txt",
        dir: stack.path("work"),
        assetPaths: ["a/**", "!**secret.*"],
        archivePaths: ["a/*.txt"],
      }),
    );
    expect(run.ok, run.messages).toBe(true);
    const found = (await outputs()) as { assets: Record<string, object>; archive: { assets: object } };
    expect(Object.keys(found.assets).sort()).toEqual(["a/deep/two.txt", "a/one.txt"]);
    expect(found.assets["a/one.txt"]).toMatchObject({
      path: stack.path("work/a/one.txt"),
      hash: "2c8b08da5ce60398e1f19af0e5dccc744df274b826abe585eaba68c525434806",
    });
    expect(Object.keys(found.archive.assets).sort()).toEqual(["a/one.txt", "a/secret.txt"]);
  });

  it("local.run runs in every preview and update", async () => {
    const spec: Spec = { r: { type: "local.run", args: { command: `${note("ran")}; cat`, stdin: "given" } } };
    await stack.preview(spec);
    await stack.up(spec);
    expect((await stack.up(spec)).ok).toBe(true);
    expect(await stack.read("journal")).toBe("ran\nran\nran\n");
    const failing = await stack.up({ r: { type: "local.run", args: { command: "echo why; exit 4" } } });
    expect(failing.messages).toContain('exit status 4: running "echo why; exit 4":\nwhy');
  });

  it("a custom timeout kills the command", async () => {
    const run = await stack.up(
      command({ create: `${note("began")}; exec sleep 60` }, { customTimeouts: { create: "1s" } }),
    );
    expect(run.messages).toContain("signal: killed: running");
    expect(await stack.read("journal")).toBe("began\n");
  });

  it.each([
    "SIGINT",
    "SIGKILL",
  ] as const)("%s to the CLI kills the command, whose trap does not run", async (name) => {
    const create = `trap 'echo trapped >>journal' EXIT INT TERM; echo $$ >>journal; while :; do sleep 0.1; done`;
    const { started, run } = stack.start(command({ create }));
    const cli = await started;
    await expect.poll(() => stack.read("journal"), { timeout: 20_000 }).toMatch(/^\d+\n/);
    const script = Number.parseInt(await stack.read("journal"), 10);
    process.kill(cli, name);
    expect((await run).ok).toBe(false);
    await expect.poll(() => alive(script), { timeout: 5_000 }).toBe(false);
    expect(await stack.read("journal")).toBe(`${script}\n`);
  });

  it("refuses wrong inputs before anything runs", async () => {
    const run = await stack.up(
      command({ create: note("ran"), environment: ["not", "an", "object"], dir: 7 }),
    );
    expect(run.ok).toBe(false);
    expect(run.messages).toMatch(/environment/);
    expect(run.messages).toMatch(/dir/);
    expect(await stack.read("journal")).toBe("");
  });

  describe.skipIf(otherPlugin !== undefined)("the bundled plugin", () => {
    it.each(["staging", "production"])("refuses the stack %s, and says what to install", async (name) => {
      const guarded = await TestStack.create(name);
      try {
        const run = await guarded.up(command({ create: "echo ran >>journal" }));
        expect(run.ok).toBe(false);
        expect(run.messages).toContain("pulumi plugin install resource command 1.2.1");
        expect(await guarded.read("journal")).toBe("");
      } finally {
        await guarded.remove();
      }
    });

    it("hides secret inputs in its log and its errors", async () => {
      const run = await stack.up(
        command({
          create: 'cat; echo "again $V"; exit 1',
          stdin: { $secret: "first-5ecret-line\nsecond-5ecret-line\n" },
          environment: { V: { $secret: "third-5ecret" } },
        }),
      );
      expect(run.ok).toBe(false);
      expect(run.lines).toContain("again [secret]");
      expect(run.printed).not.toContain("5ecret");
    });

    it("tells a very long failure by its beginning and its end", async () => {
      const run = await stack.up(
        command({ create: "echo begin; seq 100000; echo ünï end; exit 1", logging: "none" }),
      );
      expect(run.messages).toMatch(/begin\n1\n2\n[\s\S]*characters left out[\s\S]*\n100000\nünï end/);
    });
  });
});

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
