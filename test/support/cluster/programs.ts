import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { locked, type Progress } from "../box/cache.ts";
import { check, run } from "../box/run.ts";
import { cacheDirectory, toStderr } from "./cache.ts";
import { type GoPrograms, goPrograms, kubernetes, nodePackages } from "./packages.ts";

/** Where the programs of a cluster are; nothing of it is installed. */
export interface Programs {
  /** Folders for PATH. */
  readonly path: readonly string[];
  /** Folders for LD_LIBRARY_PATH. */
  readonly libraries: readonly string[];
  /** Folder of the network plugins. */
  readonly cni: string;
  readonly kubectl: string;
  /** Statically linked: runs in any image. */
  readonly busybox: string;
}

/**
 * The cluster's programs. Builds those that are missing (about eight minutes, once for this user) and keeps them in
 * the cache; several callers at once wait for the one that builds.
 */
export async function clusterPrograms(progress: Progress = toStderr): Promise<Programs> {
  const debian = debianDirectory();
  await made(debian, progress, (draft) => unpack(draft, progress));
  for (const one of goPrograms) {
    await made(goDirectory(one), progress, (draft) => compile(one, draft, progress));
  }
  const usr = join(debian, "usr");
  const libraries = readdirSync(join(usr, "lib")).filter((name) => name.includes("-linux-gnu"));
  return {
    path: [...goPrograms.map(goDirectory), join(usr, "sbin"), join(debian, "bin")],
    libraries: libraries.map((name) => join(usr, "lib", name)),
    cni: join(usr, "lib", "cni"),
    kubectl: join(goDirectory(kubernetes), "kubectl"),
    busybox: join(debian, "bin", "busybox"),
  };
}

/** Nothing of this process's environment gets onto the node. */
export function environmentOf(programs: Programs): Record<string, string> {
  return {
    PATH: [...programs.path, "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"].join(":"),
    LD_LIBRARY_PATH: programs.libraries.join(":"),
    HOME: "/root",
  };
}

/** Whether everything is there already. */
export function hasClusterPrograms(): boolean {
  return [debianDirectory(), ...goPrograms.map(goDirectory)].every((directory) => existsSync(directory));
}

export function goModule(one: GoPrograms): string {
  return join(import.meta.dirname, "go", one.name);
}

function debianDirectory(): string {
  return cacheDirectory("debian", nodePackages.join(), process.arch);
}

function goDirectory(one: GoPrograms): string {
  const files = ["go.mod", "go.sum"].map((file) => readFileSync(join(goModule(one), file)));
  return cacheDirectory(`${one.name}-${version(one)}`, ...files, JSON.stringify(one), process.arch);
}

function version(one: GoPrograms): string {
  const file = join(goModule(one), "go.mod");
  const escaped = one.module.replaceAll(".", "\\.");
  const found = new RegExp(`^\\s*(?:require )?${escaped} (v[\\d.]+)`, "m").exec(readFileSync(file, "utf8"));
  if (!found?.[1]) throw new Error(`${file} must require ${one.module} with a version`);
  return found[1];
}

/** Fills a folder that is there only once it is whole. */
async function made(
  directory: string,
  progress: Progress,
  fill: (draft: string) => Promise<void>,
): Promise<void> {
  if (existsSync(directory)) return;
  await locked(`${directory}.lock`, progress, async () => {
    if (existsSync(directory)) return;
    // What a build that was killed left: nobody else builds while the lock is held.
    const draft = `${directory}.draft`;
    rmSync(draft, { recursive: true, force: true });
    mkdirSync(draft);
    await fill(draft);
    renameSync(draft, directory);
  });
}

async function unpack(draft: string, progress: Progress): Promise<void> {
  const packages = join(draft, "packages");
  mkdirSync(packages);
  const download = ["apt-get", "-o", "APT::Sandbox::User=root", "download", ...nodePackages];
  if ((await run(download, { directory: packages, timeoutSeconds: 120 })).code !== 0) {
    progress("apt's package lists are missing or old: apt-get update");
    await check(["apt-get", "update"], { timeoutSeconds: 300 });
    await check(download, { directory: packages, timeoutSeconds: 120 });
  }
  for (const file of readdirSync(packages))
    await check(["dpkg-deb", "--extract", join(packages, file), draft]);
  rmSync(packages, { recursive: true });
}

async function compile(one: GoPrograms, draft: string, progress: Progress): Promise<void> {
  const title = `${one.name} ${version(one)}`;
  const words = ["go", "build", "-mod=readonly", "-trimpath", "-v", "-ldflags", linkerFlags(one)];
  if (one.tags) words.push("-tags", one.tags);
  words.push("-o", `${draft}/${one.program ?? ""}`, "tool");
  const started = Date.now();
  const elapsed = () => `${Math.round((Date.now() - started) / 1000)} s`;
  let packages = 0;
  const tell = () => progress(`building ${title}: ${elapsed()}, ${packages} packages compiled`);
  progress(`building ${title} from its Go module, once (${one.usually})`);
  const ticker = setInterval(tell, 20_000);
  // Ended with this process, and second to whatever else this machine has to do meanwhile.
  const lowly = ["setpriv", "--pdeathsig", "TERM", "nice", "-n", "10"];
  try {
    // Go says on stderr what it compiles; here it is read as it comes.
    await check([...lowly, "sh", "-c", 'exec "$@" 2>&1', "sh", ...words], {
      directory: goModule(one),
      environment: { CGO_ENABLED: "0", GOWORK: "off" },
      // For what hangs: a busy machine of two cores takes most of an hour.
      timeoutSeconds: 5400,
      onLine: (line) => {
        if (/^[\w./~-]+$/.test(line)) packages += 1;
      },
    });
  } catch (error) {
    throw new Error(`${title} could not be built after ${elapsed()}: ${(error as Error).message}`);
  } finally {
    clearInterval(ticker);
  }
  progress(`built ${title} in ${elapsed()}`);
}

function linkerFlags(one: GoPrograms): string {
  const [major, minor] = version(one).slice(1).split(".");
  const variables = { gitVersion: version(one), gitMajor: major, gitMinor: minor, gitTreeState: "archive" };
  const settings = (one.versionPackages ?? []).flatMap((name) =>
    Object.entries(variables).map(([variable, value]) => `-X ${name}.${variable}=${value}`),
  );
  return ["-s", "-w", ...settings].join(" ");
}
