import { spawn } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { PackageSpec } from "../../components/packages/package.ts";
import { engineCache } from "../../engine/checkout.ts";
import { until } from "../support/box/processes.ts";
import { Checkout, type Ended } from "../support/checkout.ts";
import { type CratesRegistry, startCratesRegistry } from "../support/registry/crates.ts";
import { PackagesRepository } from "../support/registry/source.ts";
import { type NpmRegistry, startNpmRegistry } from "../support/registry/verdaccio.ts";

/**
 * POD-6: packages are published once a version, last, and never twice. npm is the real client against a real registry
 * (Verdaccio); cargo is the real client against a stand-in registry that speaks its protocol.
 */

const hasCargo = await new Promise<boolean>((resolve) => {
  const child = spawn("cargo", ["--version"], { stdio: "ignore" });
  child.once("error", () => resolve(false)).once("close", (code) => resolve(code === 0));
});

let scratch: string;
let npm: NpmRegistry;
let repository: PackagesRepository;
let environment: NodeJS.ProcessEnv;

beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), "switchyard-packages-"));
  npm = await startNpmRegistry();
  repository = new PackagesRepository(join(scratch, "repository"));
  // A cache of its own for what is published; the engine's is every suite's: making it takes minutes.
  mkdirSync(join(scratch, "cache", "switchyard"), { recursive: true });
  mkdirSync(engineCache(process.env), { recursive: true });
  symlinkSync(engineCache(process.env), join(scratch, "cache", "switchyard", "engine"));
  environment = {
    XDG_CACHE_HOME: join(scratch, "cache"),
    NPM_TOKEN: npm.token,
    NPM_CONFIG_CACHE: join(scratch, "npm"),
  };
});
afterAll(async () => {
  await npm?.stop();
  rmSync(scratch, { recursive: true, force: true });
});

function npmPackage(name: "cli" | "sdk", tag: string, more: Partial<PackageSpec> = {}): PackageSpec {
  const folder = name === "cli" ? "packages/cli" : "packages/sdk-typescript/sdk";
  return {
    kind: "npm",
    name: `@pod-trial/${name}`,
    folder,
    source: { kind: "git", url: repository.folder, tag },
    build: [`cd ${folder} && node build.mjs`],
    buildSeconds: 60,
    registry: npm.url,
    ...more,
  };
}

/** Runs a verb as the engine's Command does. */
function verb(name: string, spec: PackageSpec, env: NodeJS.ProcessEnv = environment): Promise<Ended> {
  const child = spawn("engine/node.sh", ["components/packages/main.ts", name], {
    cwd: join(import.meta.dirname, "../.."),
    env: { ...process.env, ...env },
    stdio: ["pipe", "pipe", "pipe"],
  });
  child.stdin.end(JSON.stringify(spec));
  let [stdout, output] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
    output += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    output += text;
  });
  return new Promise((resolve) =>
    child.once("close", (code, signal) => resolve({ code, signal, output, stdout, milliseconds: 0 })),
  );
}

describe("a package of npm", () => {
  beforeAll(() => {
    repository.release("v1", { version: "1.0.0", text: "one" });
  });

  it("is checked without publishing anything", async () => {
    const { code, output, stdout } = await verb("check", npmPackage("sdk", "v1"));
    expect(code, output).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      name: "@pod-trial/sdk",
      version: "1.0.0",
      published: "not yet",
    });
    expect(await npm.versions("@pod-trial/sdk")).toEqual([]);
  });

  it("published twice is published once", async () => {
    const first = await verb("publish-npm", npmPackage("sdk", "v1"));
    expect(first.code, first.output).toBe(0);
    expect(JSON.parse(first.stdout)).toMatchObject({
      version: "1.0.0",
      digest: expect.stringMatching(/^sha512-/),
      published: "now",
      irreversible: true,
    });
    const second = await verb("publish-npm", npmPackage("sdk", "v1"));
    expect(second.code, second.output).toBe(0);
    expect(JSON.parse(second.stdout)).toMatchObject({ version: "1.0.0", published: "before" });
    expect(await npm.versions("@pod-trial/sdk")).toEqual(["1.0.0"]);
  });

  it("two runs at once: one of them publishes, both end well", async () => {
    repository.release("v1.0.1", { version: "1.0.1", text: "one and a bit" });
    const both = await Promise.all([
      verb("publish-npm", npmPackage("sdk", "v1.0.1")),
      verb("publish-npm", npmPackage("sdk", "v1.0.1")),
    ]);
    expect(both.map(({ code, output }) => (code === 0 ? 0 : output))).toEqual([0, 0]);
    expect(await npm.versions("@pod-trial/sdk")).toEqual(["1.0.0", "1.0.1"]);
  });

  it("a published version with another content is an error with both digests, in the check already", async () => {
    repository.release("v1-again", { version: "1.0.0", text: "one, but other" });
    for (const name of ["check", "publish-npm"]) {
      const { code, output } = await verb(name, npmPackage("sdk", "v1-again"));
      expect(code).toBe(1);
      expect(output).toMatch(
        /@pod-trial\/sdk 1\.0\.0 is published with another content: the registry has sha512-\S+ this release gives sha512-\S+ they differ in 1 files \(dist\/index\.js\)/,
      );
    }
    expect(await npm.versions("@pod-trial/sdk")).toEqual(["1.0.0", "1.0.1"]);
  });

  it("a build sees no credentials of the runner", async () => {
    const spec = npmPackage("sdk", "v1", {
      build: ["cd packages/sdk-typescript/sdk && node build.mjs && cat dist/environment.json >&2 && false"],
    });
    const { output } = await verb("check", spec, { ...environment, PULUMI_CONFIG_PASSPHRASE: "a secret" });
    expect(output).toContain('"PATH"');
    expect(output).not.toMatch(/NPM_TOKEN|PASSPHRASE/);
  });

  it("without the right to publish nothing is published, and the token is in no output", async () => {
    const wrong = { ...environment, NPM_TOKEN: "npm_not-the-right-one" };
    const { code, output } = await verb("publish-npm", npmPackage("cli", "v1"), wrong);
    expect(code).toBe(1);
    expect(output).toMatch(/`npm publish` of @pod-trial\/cli exited 1/);
    expect(output).not.toContain("npm_not-the-right-one");
    expect(await npm.versions("@pod-trial/cli")).toEqual([]);
  });

  it("another name in the tree than in the config is refused", async () => {
    const { code, output } = await verb("check", npmPackage("cli", "v1", { name: "@pod-trial/other" }));
    expect(code).toBe(1);
    expect(output).toContain("packages/cli is the package @pod-trial/cli, expected @pod-trial/other");
  });

  it("a moved tag is refused", async () => {
    const source = { kind: "git", url: repository.folder, tag: "v1", commit: "0".repeat(40) } as const;
    const { code, output } = await verb("publish-npm", npmPackage("cli", "v1", { source }));
    expect(code).toBe(1);
    expect(output).toContain("the tag has moved");
  });
});

describe.skipIf(!hasCargo)("a crate (skipped where cargo is not installed)", () => {
  let crates: CratesRegistry;
  let env: NodeJS.ProcessEnv;
  const crate = (tag: string): PackageSpec => ({
    kind: "cargo",
    name: "pod-trial-sdk",
    folder: "packages/sdk-rust/sdk-rust",
    source: { kind: "git", url: repository.folder, tag },
    build: [],
    buildSeconds: 120,
    registry: crates.index,
  });
  beforeAll(async () => {
    crates = await startCratesRegistry();
    env = { ...environment, CARGO_REGISTRY_TOKEN: crates.token };
    repository.release("c1", { version: "0.1.0", text: "crate one" });
    repository.release("c1-again", { version: "0.1.0", text: "another crate one" });
  });
  afterAll(() => crates?.stop());

  it("published twice is published once; with another content it is an error with both digests", async () => {
    const checked = await verb("check", crate("c1"), env);
    expect(checked.code, checked.output).toBe(0);
    expect(JSON.parse(checked.stdout)).toMatchObject({ version: "0.1.0", published: "not yet" });
    expect(crates.uploads).toEqual([]);
    const first = await verb("publish-cargo", crate("c1"), env);
    expect(first.code, first.output).toBe(0);
    expect(JSON.parse(first.stdout)).toMatchObject({ published: "now", irreversible: true });
    const second = await verb("publish-cargo", crate("c1"), env);
    expect(second.code, second.output).toBe(0);
    expect(JSON.parse(second.stdout)).toMatchObject({ published: "before" });
    const other = await verb("publish-cargo", crate("c1-again"), env);
    expect(other.code).toBe(1);
    expect(other.output).toMatch(
      /pod-trial-sdk 0\.1\.0 is published with another content: the registry has [0-9a-f]{64}, this release gives [0-9a-f]{64}/,
    );
    expect(crates.uploads).toEqual(["pod-trial-sdk 0.1.0"]);
  });

  it("without a token: a clear error, and nothing is uploaded", async () => {
    repository.release("c2", { version: "0.2.0", text: "crate two" });
    const { CARGO_REGISTRY_TOKEN: _, ...without } = env;
    const { code, output } = await verb("publish-cargo", crate("c2"), without);
    expect(code).toBe(1);
    expect(output).toContain("CARGO_REGISTRY_TOKEN is not set");
    expect(crates.uploads).toEqual(["pod-trial-sdk 0.1.0"]);
  });
});

/** A program with one cutover, on the real engine: checks before it, publications after it. */
const program = `import { existsSync, readFileSync } from "node:fs";
import { local } from "@pulumi/command";
import { PackageChecks, Packages } from "./components/packages/packages.ts";

const releases = JSON.parse(readFileSync("releases.json", "utf8"));
const [live] = releases;
const checks = releases.map((release) => new PackageChecks("pod", release));
const create = existsSync("fail-cutover") ? "echo the bake found a bad release >&2; false" : "echo serves";
const cutover = new local.Command("pod-cutover", { create, stdin: live.fingerprint }, { dependsOn: checks });
for (const release of releases) new Packages("pod", release, { dependsOn: [cutover] });
`;

describe("in an update", () => {
  let checkout: Checkout;
  const up = () => checkout.pulumi("up", "--stack", "development", "--yes", "--skip-preview");
  const release = (name: string, commit: string, frozen = false) => {
    const source = { kind: "git", url: repository.folder, tag: name, commit } as const;
    const packages = [npmPackage("sdk", name, { source }), npmPackage("cli", name, { source })];
    return { name, fingerprint: commit.slice(0, 12), frozen, packages };
  };
  const write = (...releases: object[]) =>
    writeFileSync(join(checkout.directory, "releases.json"), JSON.stringify(releases));
  const published = async () => [await npm.versions("@pod-trial/sdk"), await npm.versions("@pod-trial/cli")];
  let second: string;
  let third: string;

  beforeAll(async () => {
    second = repository.release("v2", { version: "2.0.0", text: "two" });
    third = repository.release("v3", { version: "3.0.0", text: "three" });
    checkout = new Checkout({ environment });
    writeFileSync(join(checkout.directory, "index.ts"), program);
    const made = await checkout.pulumi("stack", "init", "--stack", "development");
    expect(made.code, made.output).toBe(0);
  });
  afterAll(() => checkout?.remove());

  it("a failure before them publishes nothing", async () => {
    write(release("v2", second));
    const before = await published();
    writeFileSync(join(checkout.directory, "fail-cutover"), "");
    const { code, output } = await up();
    expect(code).not.toBe(0);
    expect(output).toContain("the bake found a bad release");
    expect(await published()).toEqual(before);
    rmSync(join(checkout.directory, "fail-cutover"));
  });

  it("they come last, one after the other, and a second update runs none of them", async () => {
    const { code, output } = await up();
    expect(code, output).toBe(0);
    const created = [...output.matchAll(/(pod-\S+) created/g)].map(([, name]) => name ?? "");
    const id = `pod-v2-${second.slice(0, 12)}`;
    expect(created.slice(-2)).toEqual([
      `${id}-irreversible-publish-npm-pod-trial-sdk`,
      `${id}-irreversible-publish-npm-pod-trial-cli`,
    ]);
    expect(await published()).toEqual([["1.0.0", "1.0.1", "2.0.0"], ["2.0.0"]]);
    const again = await up();
    expect(again.code, again.output).toBe(0);
    expect(again.output).toMatch(/\d+ unchanged/);
    expect(again.output).not.toMatch(/created|updated/);
  });

  it("killed after the upload and before it was recorded: the next update finds it published", async () => {
    const tools = join(scratch, "tools");
    mkdirSync(tools);
    // The real client, which then takes its time to come back.
    writeFileSync(
      join(tools, "npm"),
      `#!/bin/sh\nPATH=$(echo "$PATH" | sed 's|${tools}:||g')\nnpm "$@" || exit\ncase $1 in publish) touch ${scratch}/uploaded ;; *) exit 0 ;; esac\nn=0; while [ ! -e ${scratch}/go ] && [ $n -lt 600 ]; do sleep 0.1; n=$((n+1)); done\n`,
    );
    chmodSync(join(tools, "npm"), 0o755);
    write(release("v3", third), release("v2", second, true));
    const path = checkout.environment.PATH;
    checkout.environment.PATH = `${tools}${delimiter}${path}`;
    const running = checkout.start([
      "setsid",
      "operations/switchyard.sh",
      "pulumi",
      "up",
      "--stack",
      "development",
      "--yes",
      "--skip-preview",
    ]);
    await until(() => existsSync(join(scratch, "uploaded")), 120, "nothing was uploaded", 50);
    process.kill(-(running.child.pid ?? 0), "SIGKILL");
    await running.ended;
    checkout.environment.PATH = path;
    writeFileSync(join(scratch, "go"), "");
    expect(await published()).toEqual([["1.0.0", "1.0.1", "2.0.0", "3.0.0"], ["2.0.0"]]);
    await checkout.pulumi("cancel", "--yes", "--stack", "development");
    const { code, output } = await up();
    expect(code, output).toBe(0);
    expect(await published()).toEqual([
      ["1.0.0", "1.0.1", "2.0.0", "3.0.0"],
      ["2.0.0", "3.0.0"],
    ]);
  });

  it("going back runs and deletes none of them", async () => {
    const before = await published();
    write(release("v2", second, true), release("v3", third, true));
    const { code, output } = await up();
    expect(code, output).toBe(0);
    expect([...output.matchAll(/(pod-\S+) (created|updated|deleted)/g)].map(([words]) => words)).toEqual([
      "pod-cutover updated",
    ]);
    expect(await published()).toEqual(before);
    expect(readFileSync(join(checkout.directory, "releases.json"), "utf8")).not.toContain(npm.token);
  });
});
