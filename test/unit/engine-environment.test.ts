import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { checkout } from "../../engine/checkout.ts";
import { diagnose, diagnosisText } from "../../engine/doctor.ts";
import { developmentState, engineEnvironment, stackNamed } from "../../engine/environment.ts";
import { pins } from "../../engine/pins.ts";
import { atLeast } from "../../engine/programs.ts";

let home: string;
let env: Record<string, string>;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "switchyard-home-"));
  env = { HOME: home, PATH: ["/usr/bin", "/bin"].join(delimiter) };
});
afterEach(() => rm(home, { recursive: true, force: true }));

/** An executable below the home folder that says what a CLI would, and counts how often it was asked. */
async function program(path: string, says = ""): Promise<string> {
  const full = join(home, path);
  await mkdir(dirname(full), { recursive: true });
  await writeFile(full, `#!/bin/sh\necho asked >>${join(home, "asked")}\necho '${says}'\n`);
  await chmod(full, 0o755);
  return full;
}
const asked = () => readFile(join(home, "asked"), "utf8").catch(() => "");

async function installed(version = "v3.999.0"): Promise<string> {
  const cli = await program("pulumi/pulumi", version);
  await program("pulumi/pulumi-language-nodejs");
  env.PATH = [join(home, "pulumi"), env.PATH].join(delimiter);
  return cli;
}
const standIns = join(checkout, "engine", "plugins", "command", "bin");
const neverBuild = (line: string): void => {
  throw new Error(`built: ${line}`);
};

describe("the environment of the engine", () => {
  it("takes an installed CLI, this project's Node first, the stand-in last; and asks nothing twice", async () => {
    const cli = await installed();
    const options = { stack: "development", env, progress: neverBuild };
    const first = await engineEnvironment(options);
    expect(first.command).toBe(cli);
    const path = first.environment.PATH?.split(delimiter) ?? [];
    expect(path.slice(1)).toEqual([dirname(cli), "/usr/bin", "/bin", standIns]);
    expect(path[0]).toMatch(/node/);
    expect(first.standIns.map(({ name }) => name)).toEqual(["command"]);
    const again = await engineEnvironment({ ...options, env: first.environment });
    expect(again.environment).toEqual(first.environment);
    expect(await asked()).toBe("asked\n");
  });

  it("asks again when the program has changed", async () => {
    await installed();
    await engineEnvironment({ env, progress: neverBuild });
    await installed("v3.998.0");
    await engineEnvironment({ env, progress: neverBuild });
    expect(await asked()).toBe("asked\nasked\n");
  });

  it("gives development a backend and an empty passphrase, unless it has its own", async () => {
    await installed();
    const own = { PULUMI_BACKEND_URL: "s3://ours", PULUMI_CONFIG_PASSPHRASE_FILE: "/pass" };
    const pick = async (stack: string | undefined, extra: Record<string, string> = {}) => {
      const { environment } = await engineEnvironment({
        stack,
        env: { ...env, ...extra },
        progress: neverBuild,
      });
      return Object.fromEntries(
        Object.entries(environment).filter(([name]) => /BACKEND|PASSPHRASE|ACQUISITION/.test(name)),
      );
    };
    const offline = { PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION: "true" };
    expect(await pick("development")).toEqual({
      PULUMI_BACKEND_URL: `file://${developmentState}`,
      PULUMI_CONFIG_PASSPHRASE: "",
      ...offline,
    });
    expect(await pick("development", own)).toEqual({ ...own, ...offline });
    expect(await pick("production")).toEqual({});
    expect(await pick(undefined)).toEqual({});
  });

  it("sends nothing on loopback to a proxy, and keeps what the user lets past it", async () => {
    await installed();
    const past = async (extra: Record<string, string>) => {
      const { environment } = await engineEnvironment({ env: { ...env, ...extra }, progress: neverBuild });
      return environment.no_grpc_proxy;
    };
    expect(await past({})).toBeUndefined();
    expect(await past({ http_proxy: "http://proxy:3128" })).toBe("127.0.0.1,localhost");
    const inside = { https_proxy: "http://proxy:3128", no_proxy: "git.inside" };
    expect(await past(inside)).toBe("git.inside,127.0.0.1,localhost");
    expect(await past({ ...inside, no_grpc_proxy: "10.0.0.0/8" })).toBe("10.0.0.0/8,127.0.0.1,localhost");
    const { exports } = await diagnose({ ...env, http_proxy: "http://proxy:3128" }, "development");
    expect(exports).toContain("export no_grpc_proxy=127.0.0.1,localhost");
  });

  it.each([
    ...["testing", "staging", "production", "organization/switchyard/production"],
  ])("has no stand-in in %s, even one that PATH names", async (stack) => {
    await installed();
    env.PATH = [env.PATH, standIns].join(delimiter);
    const found = await engineEnvironment({ stack, env, progress: neverBuild });
    expect(found.standIns).toEqual([]);
    expect(found.environment.PATH?.split(delimiter)).not.toContain(standIns);
  });

  it("leaves the stand-in away where the vendor's plugin is, on PATH or installed", async () => {
    await installed();
    const options = { stack: "development", env, progress: neverBuild };
    const vendor = await program("pulumi/pulumi-resource-command");
    expect((await engineEnvironment(options)).standIns).toEqual([]);
    await rm(vendor);
    const plugin = join(home, ".pulumi", "plugins", "resource-command-v1.2.1");
    await mkdir(plugin, { recursive: true });
    expect((await engineEnvironment(options)).standIns).toEqual([]);
    await writeFile(`${plugin}.partial`, "");
    expect((await engineEnvironment(options)).standIns).toHaveLength(1);
  });

  it("takes what was built before; npm's wrapper and an old CLI are passed over", async () => {
    const old = await installed("v3.100.0");
    const wrapper = await program("project/node_modules/.bin/pulumi", "v3.999.0");
    env.PATH = [dirname(wrapper), env.PATH].join(delimiter);
    const { cli } = pins(env);
    const built = await program(join(cli.folder.slice(home.length), "pulumi"), cli.version);
    await program(join(cli.folder.slice(home.length), "pulumi-language-nodejs"));
    const found = await engineEnvironment({ env, progress: neverBuild });
    expect(found.command).toBe(built);
    await rm(dirname(cli.folder), { recursive: true });
    const { findings } = await diagnose(env);
    const finding = findings.find(({ what }) => what === "Pulumi CLI");
    expect(finding?.found).toBe(`none (${old}: 3.100.0 is older than 3.250.0); 3.250.0 or newer is needed`);
  });
});

describe("doctor", () => {
  const found = (diagnosis: Awaited<ReturnType<typeof diagnose>>) =>
    Object.fromEntries(
      diagnosis.findings.map(({ what, ok, found: text }) => [what, `${ok ? "ok" : "missing"} ${text}`]),
    );

  it("lists what is there, and how plain pulumi gets it", async () => {
    const cli = await installed();
    const diagnosis = await diagnose(env);
    expect(found(diagnosis)).toMatchObject({
      "Pulumi CLI": `ok 3.999.0 at ${cli} (PATH)`,
      "Node language host": expect.stringContaining("beside the CLI"),
      "plugin command": "ok the bundled stand-in (development and tests only)",
      "plugin aws": "ok none (not needed in development)",
      "ssh-agent": "ok none (not needed in development)",
    });
    expect(diagnosis.exports).toEqual([
      expect.stringMatching(/^export PATH=.*\/bin:.*\/pulumi:"\$PATH":.*\/engine\/plugins\/command\/bin$/),
      "export PULUMI_CONFIG_PASSPHRASE=",
      "export PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION=true",
    ]);
    expect(diagnosisText(diagnosis)).toContain("For plain `pulumi` in this folder:\nexport PATH=");
  });

  it("asks for the cluster's plugin alone in testing, which has neither box nor cloud", async () => {
    expect(found(await diagnose(env, "testing"))).toMatchObject({
      "plugin command": "missing only the bundled stand-in, which testing refuses",
      "plugin kubernetes": "missing none",
      "plugin aws": "ok none (not needed in testing)",
      "plugin cloudflare": "ok none (not needed in testing)",
      "ssh-agent": "ok none (not needed in testing)",
    });
  });

  it("names the command that mends each thing missing", async () => {
    const diagnosis = await diagnose(env, "production");
    expect(diagnosis).toMatchObject({ ok: false, exports: [] });
    expect(diagnosisText(diagnosis)).toMatch(
      /✗ plugin command +only the bundled stand-in, which production refuses\n +→ pulumi plugin install resource command 1\.2\.1\n/,
    );
    expect(diagnosisText(diagnosis)).toMatch(
      /✗ plugin kubernetes +none\n +→ pulumi plugin install resource kubernetes 4\.34\.2\n/,
    );
    const mends = Object.fromEntries(diagnosis.findings.map(({ what, mend }) => [what, mend]));
    expect(mends["Pulumi CLI"]).toContain("npm start");
    expect(mends["ssh-agent"]).toBe('eval "$(ssh-agent)" && ssh-add');
  });
});

it.each([
  [["up", "--stack", "production"], "production"],
  [["up", "--stack=staging"], "staging"],
  [["-s", "development", "up"], "development"],
  [["preview", "-sstaging"], "staging"],
  [["up"], "from-environment"],
])("the stack of %j is %s", (words, stack) => {
  expect(stackNamed(words, { PULUMI_STACK: "from-environment" })).toBe(stack);
});

it("versions compare by number", () => {
  expect(atLeast("3.250.0", "3.250.0")).toBe(true);
  expect(atLeast("v3.1000.0-alpha", "3.250.0")).toBe(true);
  expect(atLeast("22.9.0", "22.18")).toBe(false);
  expect(atLeast("24.0", "22.18")).toBe(true);
});
