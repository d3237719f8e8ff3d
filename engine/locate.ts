/**
 * Finds the Pulumi CLI and its Node language host: on PATH, else what npm's `pulumi` package has downloaded, else built
 * once from their Go modules.
 */
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join, sep } from "node:path";
import { built, type Progress } from "./build.ts";
import { checkout, type Environment, pulumiHome } from "./checkout.ts";
import { oldestCli, pins } from "./pins.ts";
import { atLeast, isExecutable, onPath, versionOf } from "./programs.ts";

export interface Found {
  readonly path: string;
  /** Without a leading v; "unknown" where it tells none. */
  readonly version: string;
  readonly source: "PATH" | "npm" | "beside the CLI" | "built";
}
export interface Located {
  readonly cli: Found | undefined;
  readonly host: Found | undefined;
  /** CLIs that were found and not taken, each with the reason. */
  readonly passedOver: readonly string[];
}

/** What is there now; builds nothing, and starts nothing that it has asked before. */
export async function findEngine(env: Environment): Promise<Located> {
  const passedOver: string[] = [];
  const cli = await findCli(env, passedOver);
  return { cli, host: await findHost(env, cli), passedOver };
}

/** What is there, after building what is missing. @throws as `built` does */
export async function locateEngine(
  env: Environment,
  progress: Progress,
): Promise<{ readonly cli: Found; readonly host: Found }> {
  const found = await findEngine(env);
  if (found.cli !== undefined && found.host !== undefined) return { cli: found.cli, host: found.host };
  const { cli: cliPin, host: hostPin } = pins(env);
  const host = found.host?.path ?? (await built(hostPin, env, progress));
  if (found.cli === undefined) await built(cliPin, env, progress, [host]);
  const { cli, host: beside } = await findEngine(env);
  if (cli === undefined || beside === undefined) {
    throw new Error(
      `${cliPin.folder} was built and does not run; \`rm -r ${dirname(cliPin.folder)}\` and try again`,
    );
  }
  return { cli, host: beside };
}

async function findCli(env: Environment, passedOver: string[]): Promise<Found | undefined> {
  const candidates: { readonly path: string; readonly source: Found["source"] }[] = [];
  for (const path of await onPath("pulumi", env)) {
    // npm's is a script that downloads the real one when it is run.
    if (!path.includes(`${sep}node_modules${sep}.bin${sep}`)) candidates.push({ path, source: "PATH" });
  }
  const npm = await npmCli(env);
  if (npm !== undefined) candidates.push({ path: npm, source: "npm" });
  const { cli } = pins(env);
  const own = join(cli.folder, cli.program);
  if (await isExecutable(own)) candidates.push({ path: own, source: "built" });
  for (const { path, source } of candidates) {
    const version = await versionOf(path, ["version"], env);
    if (version !== undefined && atLeast(version, oldestCli)) {
      return { path, version, source: path === own ? "built" : source };
    }
    passedOver.push(
      `${path}: ${version === undefined ? "does not tell its version" : `${version} is older than ${oldestCli}`}`,
    );
  }
  return undefined;
}

/** The CLI that npm's `pulumi` package keeps, if that package is installed here and has downloaded it. */
async function npmCli(env: Environment): Promise<string | undefined> {
  try {
    const manifest = createRequire(join(checkout, "package.json")).resolve("pulumi/package.json");
    const { version } = JSON.parse(await readFile(manifest, "utf8")) as { version: string };
    const path = join(pulumiHome(env), "versions", version, "bin", "pulumi");
    return (await isExecutable(path)) ? path : undefined;
  } catch {
    return undefined;
  }
}

/** Beside the CLI, where every install of Pulumi has it, or the built one. It tells no version: it is the CLI's. */
async function findHost(env: Environment, cli: Found | undefined): Promise<Found | undefined> {
  const { host } = pins(env);
  const version = host.version.replace(/^v/, "");
  const own = join(host.folder, host.program);
  if (cli !== undefined) {
    const path = join(dirname(cli.path), host.program);
    if (await isExecutable(path)) {
      return { path, version: cli.source === "built" ? version : cli.version, source: "beside the CLI" };
    }
  }
  return (await isExecutable(own)) ? { path: own, version, source: "built" } : undefined;
}
