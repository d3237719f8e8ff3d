import { execFile, spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { build } from "esbuild";
import type { Fault } from "./release.ts";

/** The example as a real git repository: every tag is a release that can be built and run as it is. */

export interface Repository {
  /** The bare repository, as it was asked for. */
  readonly path: string;
  /** Commit of each tag, 40 hex digits; the same content gives the same ids on every machine. */
  readonly commits: Readonly<Record<string, string>>;
}

/** Tags in the order of their commits. v1 to v10 are good; the others are named for what is wrong with them. */
export const tags: readonly { readonly tag: string; readonly fault: Fault | null }[] = [
  ...Array.from({ length: 10 }, (_, index) => ({ tag: `v${index + 1}`, fault: null })),
  { tag: "broken", fault: "errors" },
  { tag: "never-healthy", fault: "never-healthy" },
  { tag: "slow", fault: "slow" },
  { tag: "leak", fault: "leak" },
  { tag: "crash", fault: "crash" },
  { tag: "stubborn", fault: "refuses-to-stop" },
  { tag: "slow-drain", fault: "slow-drain" },
  { tag: "no-launch", fault: "no-launch" },
  { tag: "noisy", fault: "noisy" },
  { tag: "unbuildable", fault: "unbuildable" },
];

const folder = import.meta.dirname;
const author = "Switchyard example <example@switchyard.invalid>";
/** 2026-01-01T00:00:00Z; each commit is an hour later than the one before. */
const firstCommit = 1_767_225_600;

/**
 * Makes the bare repository, or brings one that was made before to today's content; either way under a second. An
 * interrupted making leaves nothing at `path`.
 */
export async function createRepository(path: string): Promise<Repository> {
  if (existsSync(join(path, "HEAD"))) {
    await fill(path);
  } else {
    const partial = `${path}.${process.pid}.partial`;
    mkdirSync(dirname(path), { recursive: true });
    rmSync(partial, { recursive: true, force: true });
    await git(["init", "--quiet", "--bare", "--initial-branch=main", partial]);
    await fill(partial);
    renameSync(partial, path);
  }
  return { path, commits: await readCommits(path) };
}

async function readCommits(path: string): Promise<Record<string, string>> {
  const listed = await git([
    "--git-dir",
    path,
    "for-each-ref",
    "--format=%(refname:short) %(objectname)",
    "refs/tags",
  ]);
  return Object.fromEntries(
    listed
      .trim()
      .split("\n")
      .map((line) => line.split(" ") as [string, string]),
  );
}

async function fill(path: string): Promise<void> {
  const child = spawn("git", ["--git-dir", path, "fast-import", "--quiet", "--force", "--done"], {
    env: gitEnvironment(),
    stdio: ["pipe", "ignore", "pipe"],
  });
  let errors = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    errors += text;
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  child.stdin.on("error", () => {});
  child.stdin.end(history(await commonFiles()));
  const code = await ended;
  if (code !== 0) throw new Error(`git fast-import into ${path} failed (exit ${code}): ${errors.trim()}`);
}

/** The whole history as git fast-import reads it: v1 … v10 in a row on main, each fault a branch off v10. */
function history(files: ReadonlyMap<string, string>): Buffer {
  const parts: (string | Buffer)[] = [];
  const data = (text: string) => {
    const bytes = Buffer.from(text);
    parts.push(`data ${bytes.length}\n`, bytes, "\n");
  };
  const marks = new Map<string, number>();
  for (const [name, text] of files) {
    marks.set(name, marks.size + 1);
    parts.push(`blob\nmark :${marks.size}\n`);
    data(text);
  }
  tags.forEach(({ tag, fault }, index) => {
    const at = `${author} ${firstCommit + index * 3600} +0000`;
    const good = fault === null;
    parts.push(`commit ${good ? "refs/heads/main" : `refs/heads/fault/${tag}`}\nmark :${100 + index}\n`);
    parts.push(`author ${at}\ncommitter ${at}\n`);
    data(good ? `Release ${tag}` : `Release ${tag}: ${fault}`);
    if (index > 0) parts.push(`from :${100 + Math.min(index - 1, 9)}\n`);
    else parts.push("deleteall\n");
    for (const [name, mark] of marks) parts.push(`M 100644 :${mark} ${name}\n`);
    parts.push("M 100644 inline release.json\n");
    data(`${JSON.stringify({ version: tag, fault }, null, 2)}\n`);
    parts.push(`\nreset refs/tags/${tag}\nfrom :${100 + index}\n\n`);
  });
  parts.push("done\n");
  return Buffer.concat(parts.map((part) => (typeof part === "string" ? Buffer.from(part) : part)));
}

/** What every release's tree holds beside its release.json. */
async function commonFiles(): Promise<ReadonlyMap<string, string>> {
  const description = {
    name: "switchyard-example",
    version: "1.0.0",
    private: true,
    type: "module",
    engines: { node: ">=18" },
    scripts: { build: "node build.mjs", start: "node dist/service.mjs" },
  };
  const migrations = readdirSync(join(folder, "migrations")).sort();
  return new Map([
    ["package.json", `${JSON.stringify(description, null, 2)}\n`],
    ["build.mjs", readFileSync(join(folder, "build.mjs"), "utf8")],
    ["service.mjs", await bundleService()],
    ...migrations.map((name): [string, string] => [
      `migrations/${name}`,
      readFileSync(join(folder, "migrations", name), "utf8"),
    ]),
  ]);
}

/** The service and all it needs as one file for Node 18 and later: nothing is installed where it is built. */
async function bundleService(): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [join(folder, "service.ts")],
    absWorkingDir: join(folder, "../.."),
    bundle: true,
    platform: "node",
    target: "node18",
    format: "esm",
    // The bundled packages are CommonJS and require Node's own modules.
    banner: {
      js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);',
    },
    external: ["pg-native"],
    legalComments: "none",
    write: false,
    logLevel: "silent",
  });
  return outputFiles[0]!.text;
}

async function git(words: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)("git", words, { env: gitEnvironment(), timeout: 30_000 });
  return stdout;
}

/** Nobody's own settings (templates, hooks, a signing key) get into the example. */
function gitEnvironment(): NodeJS.ProcessEnv {
  return { ...process.env, GIT_CONFIG_GLOBAL: "/dev/null", GIT_CONFIG_NOSYSTEM: "1", GIT_TEMPLATE_DIR: "" };
}
