import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { mustRun, type RunResult, run } from "../box/toolkit/run.ts";
import { digestOf } from "./content.ts";
import type { PackageKind } from "./package.ts";
import { inScratch, withoutCredentials } from "./tree.ts";

/**
 * npm packages, by the machine's own npm client: its configuration says which registry and which proxies. The token is
 * NPM_TOKEN of the runner's environment; without it, what the user has logged in with.
 */
export const npm: PackageKind = {
  async pack(folder, into, seconds) {
    const { name, version } = JSON.parse(await readFile(join(folder, "package.json"), "utf8")) as {
      name: string;
      version: string;
    };
    const command = withoutCredentials("npm", "pack", "--silent", "--pack-destination", into);
    await mustRun(command, { cwd: folder, seconds });
    const [archive] = (await readdir(into)).filter((file) => file.endsWith(".tgz"));
    if (archive === undefined) throw new Error(`npm pack of ${name} ${version} left no .tgz in ${into}`);
    const file = join(into, archive);
    return { name, version, file, digest: `sha512-${await digestOf(file, "sha512", "base64")}` };
  },

  async published({ name, version }, registry) {
    const id = `${name}@${version}`;
    const words = ["view", id, "dist.integrity", "--json", "--prefer-online"];
    const { code, stdout, stderr } = await client(words, { name, registry, seconds: 60 });
    const answer = stdout.trim() === "" ? null : JSON.parse(stdout);
    if (code === 0) {
      if (typeof answer !== "string") return null;
      return {
        digest: answer,
        async fetch(into) {
          const pack = ["pack", id, "--silent", "--prefer-online", "--pack-destination", into];
          await mustSucceed(pack, { name, registry, seconds: 120 });
          const [archive = ""] = (await readdir(into)).filter((file) => file.endsWith(".tgz"));
          return join(into, archive);
        },
      };
    }
    if ((answer as { error?: { code?: string } } | null)?.error?.code === "E404") return null;
    throw new Error(`asking npm for ${id} failed (exit ${code}): ${lastLines(stderr)}`);
  },

  async upload({ name, version, file }, registry) {
    const prerelease = /-([0-9A-Za-z]+)/.exec(version)?.[1];
    const tag = prerelease === undefined ? "latest" : /^\d+$/.test(prerelease) ? "next" : prerelease;
    const words = ["publish", file, "--access", "public", "--tag", tag, "--ignore-scripts"];
    await mustSucceed(words, { name, registry, seconds: 300 });
  },
};

interface Call {
  readonly name: string;
  readonly registry: string | undefined;
  readonly seconds: number;
}

/**
 * Runs npm in a folder of its own, whose .npmrc names the variable that holds the token, and not the token: it is on no
 * command line and in no file, and the user's own configuration is read as ever.
 */
function client(words: readonly string[], { name, registry, seconds }: Call): Promise<RunResult> {
  return inScratch(async (cwd) => {
    await writeFile(join(cwd, "package.json"), "{}\n");
    if (process.env.NPM_TOKEN) {
      const { host, pathname } = new URL(registry ?? (await ownRegistry(name)));
      const line = `//${host}${pathname.replace(/\/?$/, "/")}:_authToken=\${NPM_TOKEN}\n`;
      await writeFile(join(cwd, ".npmrc"), line, { mode: 0o600 });
    }
    return run(["npm", ...words, ...at(name, registry)], { cwd, seconds });
  });
}

async function mustSucceed(words: readonly string[], call: Call): Promise<void> {
  const { code, stdout, stderr } = await client(words, call);
  if (code === 0) return;
  throw new Error(
    `\`npm ${words[0]}\` of ${call.name} exited ${code}:\n${lastLines(`${stdout}\n${stderr}`)}`,
  );
}

/** A scope of the user's configuration may lead elsewhere: it is named too. */
function at(name: string, registry: string | undefined): string[] {
  if (registry === undefined) return [];
  return name.startsWith("@")
    ? ["--registry", registry, `--${scopeOf(name)}:registry=${registry}`]
    : ["--registry", registry];
}

const scopeOf = (name: string) => name.slice(0, name.indexOf("/"));

/** Registry of the user's own configuration: that of the package's scope, else the general one. */
async function ownRegistry(name: string): Promise<string> {
  const keys = name.startsWith("@") ? [`${scopeOf(name)}:registry`, "registry"] : ["registry"];
  for (const key of keys) {
    const { stdout } = await run(["npm", "config", "get", key], { seconds: 30 });
    if (/^https?:/.test(stdout)) return stdout.trim();
  }
  throw new Error("npm names no registry: `npm config set registry <url>`");
}

const lastLines = (text: string) => text.trim().split("\n").slice(-12).join("\n");
