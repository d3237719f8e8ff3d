import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { built } from "../../engine/build.ts";
import { checkout } from "../../engine/checkout.ts";
import { locateEngine } from "../../engine/locate.ts";
import { pins } from "../../engine/pins.ts";
import { progressLine } from "../../engine/progress.ts";

let home: string;
let env: Record<string, string>;
const lines: string[] = [];
const progress = (line: string): void => void lines.push(line);
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "switchyard-build-"));
  env = { HOME: home, PATH: `${join(home, "bin")}:/usr/bin:/bin` };
  lines.length = 0;
  await mkdir(join(home, "bin"));
});
afterEach(() => rm(home, { recursive: true, force: true }));

/** A `go` that notes its words and then does what the script says; $out is the file to build. */
async function go(script: string): Promise<void> {
  const body = `#!/bin/sh
echo "$PWD $*" >>${home}/calls
while [ $# -gt 0 ]; do [ "$1" = -o ] && out=$2; shift; done
${script}
`;
  await writeFile(join(home, "bin", "go"), body);
  await chmod(join(home, "bin", "go"), 0o755);
}
const works = 'sleep 0.3; echo example.com/package >&2; echo built >"$out"; chmod +x "$out"';
const calls = async () => (await readFile(join(home, "calls"), "utf8")).trim().split("\n");
const cache = () => readdir(join(home, ".cache", "switchyard", "engine"));

describe("building the engine", () => {
  it("builds from the pinned module, once for two who want it, and puts the host beside", async () => {
    await go(works);
    const { cli, host } = pins(env);
    const beside = await built(host, env, progress);
    const [one, two] = await Promise.all([
      built(cli, env, progress, [beside]),
      built(cli, env, progress, [beside]),
    ]);
    expect([one, two]).toEqual([join(cli.folder, "pulumi"), join(cli.folder, "pulumi")]);
    expect(await readFile(one, "utf8")).toBe("built\n");
    expect((await readdir(cli.folder)).sort()).toEqual(["pulumi", "pulumi-language-nodejs"]);
    const words = await calls();
    expect(words).toHaveLength(2);
    expect(words[1]).toMatch(
      new RegExp(
        `^${join(checkout, "engine/go/cli")} build -mod=readonly .* ${cli.package.replaceAll(".", "\\.")}$`,
      ),
    );
    expect((await cache()).sort()).toEqual([cli.folder, host.folder].map((path) => basename(dirname(path))));
    expect(lines.join("\n")).toMatch(/building the Pulumi CLI v3\.250\.0 .*\(once, about 3 min.*\): 0 s/);
    expect(lines.join("\n")).toMatch(/built the Pulumi CLI v3\.250\.0: \d+ s/);
    expect(await built(cli, { ...env, PATH: "" }, progress)).toBe(one);
  });

  it("builds only the host for an installed CLI that has none beside it", async () => {
    await go(works);
    const cli = join(home, "bin", "pulumi");
    await writeFile(cli, "#!/bin/sh\necho v3.999.0\n");
    await chmod(cli, 0o755);
    const { host } = pins(env);
    expect(await locateEngine(env, progress)).toEqual({
      cli: { path: cli, version: "3.999.0", source: "PATH" },
      host: { path: join(host.folder, host.program), version: "3.68.0", source: "built" },
    });
    expect(await calls()).toHaveLength(1);
  });

  it("takes over from a builder that was killed", async () => {
    await go(works);
    const { host } = pins(env);
    const dead = spawn("true");
    await once(dead, "exit");
    const lock = `${dirname(host.folder)}.lock`;
    await mkdir(dirname(lock), { recursive: true });
    await writeFile(lock, JSON.stringify({ pid: dead.pid, host: hostname() }));
    await mkdir(`${dirname(host.folder)}.building-${dead.pid}/bin`, { recursive: true });
    expect(await built(host, env, progress)).toBe(join(host.folder, "pulumi-language-nodejs"));
    expect(await cache()).toEqual([basename(dirname(host.folder))]);
  });

  it("waits for one that lives, and says so", async () => {
    await go(works);
    const { host } = pins(env);
    const lock = `${dirname(host.folder)}.lock`;
    await mkdir(dirname(lock), { recursive: true });
    await writeFile(lock, JSON.stringify({ pid: process.pid, host: hostname() }));
    const waiting = built(host, env, progress);
    await expect.poll(() => lines.join("\n")).toContain(`which process ${process.pid} is building`);
    await rm(lock);
    expect(await waiting).toBe(join(host.folder, "pulumi-language-nodejs"));
  });

  it.each([
    ["go: go.mod requires go >= 1.25.11 (running go 1.19)", "this Go is too old; install Go 1.25.11"],
    ["write /x: no space left on device", "the disk is full; make room"],
    ["dial tcp: lookup example.com: no such host", "a Go module could not be fetched"],
    ["verifying x@v1: checksum mismatch", "is not what engine/go/*/go.sum says"],
    ["./x.go:1: undefined: y", "install Pulumi yourself"],
  ])("fails on %j with what to do, and leaves nothing behind", async (said, advice) => {
    await go(`echo '${said}' >&2; exit 1`);
    const failure = await built(pins(env).cli, env, progress).catch((error: Error) => error.message);
    expect(failure).toContain(`building the Pulumi CLI v3.250.0 failed: `);
    expect(failure).toContain(advice);
    expect(failure).toContain(said);
    expect(await cache()).toEqual([]);
  });

  it("says what to install where there is no Go", async () => {
    await expect(built(pins(env).cli, { ...env, PATH: join(home, "bin") }, progress)).rejects.toThrow(
      /there is no Go to build it.*install Pulumi .* or Go 1\.25\.11/,
    );
  });
});

it("progress is rewritten in place on a terminal, and told now and then elsewhere", () => {
  const written: string[] = [];
  const write = (text: string): void => void written.push(text);
  const onTerminal = progressLine({ isTTY: true, columns: 20, write });
  onTerminal("building a: 1 s");
  onTerminal("building a: 2 s, and much more");
  onTerminal("built a: 3 s", true);
  expect(written.splice(0)).toEqual([
    "\r\u001b[2Kbuilding a: 1 s",
    "\r\u001b[2Kbuilding a: 2 s, a…",
    "\r\u001b[2Kbuilt a: 3 s\n",
  ]);
  const inLog = progressLine({ write });
  for (const second of [1, 2, 3]) inLog(`building a: ${second} s`);
  inLog("built a: 3 s", true);
  expect(written).toEqual(["building a: 1 s\n", "built a: 3 s\n"]);
});
