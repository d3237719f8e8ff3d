import { execFile } from "node:child_process";
import { chmod, copyFile, mkdir, mkdtemp, readFile, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { checkout } from "../../engine/checkout.ts";

/** operations/switchyard.sh in a checkout of its own, with an `npm` that notes what it is told. */
describe("the start script", () => {
  let root: string;
  let env: NodeJS.ProcessEnv;
  const script = () => join(root, "operations", "switchyard.sh");
  const calls = () => readFile(join(root, "calls"), "utf8").catch(() => "");
  const run = (path: string, words: string[] = [], cwd = "/") =>
    promisify(execFile)(path, words, { cwd, env });

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), "switchyard start-"));
    await mkdir(join(root, "operations"));
    await mkdir(join(root, "bin"));
    await copyFile(join(checkout, "operations", "switchyard.sh"), script());
    await writeFile(
      join(root, "operations", "main.ts"),
      "const words: string[] = process.argv; console.log(process.version, ...words.slice(2));",
    );
    await writeFile(join(root, "package-lock.json"), "{}");
    await executable(
      "npm",
      'echo "$PWD: $*" >>calls; mkdir -p node_modules; [ ! -e fail ] && touch node_modules/.package-lock.json',
    );
    env = {
      ...process.env,
      PATH: `${join(root, "bin")}:${join(checkout, "node_modules", ".bin")}:/usr/bin:/bin`,
    };
  });
  afterEach(() => rm(root, { recursive: true, force: true }));

  async function executable(name: string, body: string): Promise<void> {
    await writeFile(join(root, "bin", name), `#!/bin/sh\n${body}\n`);
    await chmod(join(root, "bin", name), 0o755);
  }
  const install = "ci --prefer-offline --no-audit --no-fund --loglevel=error\n";

  it("installs first where nothing is installed, says so, and passes its words on", async () => {
    const { stdout, stderr } = await run(script(), ["release", "chrono", "v2 with space"]);
    expect(stdout).toBe(`${process.version} release chrono v2 with space\n`);
    expect(stderr).toBe("switchyard: no packages are installed yet: npm ci\n");
    expect(await calls()).toBe(`${root}: ${install}`);
    expect((await run(script())).stderr).toBe("");
    expect(await calls()).toBe(`${root}: ${install}`);
  });

  it("installs again when package-lock.json is newer", async () => {
    await run(script());
    const past = new Date(Date.now() - 60_000);
    await utimes(join(root, "node_modules", ".package-lock.json"), past, past);
    expect((await run(script())).stderr).toContain("package-lock.json is newer than the installed packages");
    expect((await run(script())).stderr).toBe("");
    expect((await calls()).split("\n")).toHaveLength(3);
  });

  it("works through links, from any folder, and takes the project's own Node", async () => {
    await run(script());
    await mkdir(join(root, "node_modules", ".bin"), { recursive: true });
    await writeFile(join(root, "node_modules", ".bin", "node"), '#!/bin/sh\necho own "$@"\n');
    await chmod(join(root, "node_modules", ".bin", "node"), 0o755);
    await symlink("../operations/switchyard.sh", join(root, "bin", "relative"));
    await symlink(join(root, "bin", "relative"), join(root, "bin", "switchyard"));
    const { stdout } = await run(join(root, "bin", "switchyard"), ["status"], tmpdir());
    expect(stdout).toBe(`own ${join(root, "operations", "main.ts")} status\n`);
  });

  it("two at once install once", async () => {
    await executable(
      "npm",
      "echo npm >>calls; sleep 0.5; mkdir -p node_modules; touch node_modules/.package-lock.json",
    );
    await Promise.all([run(script()), run(script()), run(script())]);
    expect(await calls()).toBe("npm\n");
  });

  it("stops where npm fails, where Node is too old, and before it empties a linked folder", async () => {
    await writeFile(join(root, "fail"), "");
    await expect(run(script())).rejects.toMatchObject({ stderr: expect.stringContaining("npm ci failed") });
    await rm(join(root, "fail"));
    await run(script());

    await executable("node", '[ "$1" = --version ] && echo v20.1.0; exit 1');
    await expect(run(script())).rejects.toMatchObject({
      stderr: expect.stringMatching(/Node 22\.18 or newer is needed, and .*\/bin\/node is v20\.1\.0/),
    });

    await rm(join(root, "node_modules"), { recursive: true });
    await mkdir(join(root, "elsewhere"));
    await symlink("elsewhere", join(root, "node_modules"));
    const before = await calls();
    await expect(run(script())).rejects.toMatchObject({
      stderr: expect.stringContaining("node_modules is a link"),
    });
    expect(await calls()).toBe(before);
  });
});
