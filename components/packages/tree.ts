import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { basename, join } from "node:path";
import { inheritedEnvironment } from "../box/supervisor/environment.ts";
import { fetchSource } from "../box/toolkit/builds.ts";
import { mustRun } from "../box/toolkit/run.ts";
import { fingerprint } from "../rollout/fingerprint.ts";
import type { PackageSpec, Packed } from "./package.ts";

/** Runs `work` in a folder of its own, which is gone afterwards. */
export async function inScratch<T>(work: (scratch: string) => Promise<T>): Promise<T> {
  const scratch = await mkdtemp(join(tmpdir(), "switchyard-package-"));
  try {
    return await work(scratch);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** The package's folder in a fresh checkout that has been built. */
export async function builtTree(spec: PackageSpec, scratch: string): Promise<string> {
  const tree = join(scratch, "tree");
  await mkdir(scratch, { recursive: true });
  await fetchSource(spec.source, tree);
  for (const command of spec.build) {
    await mustRun(withoutCredentials("sh", "-eu", "-c", command), { cwd: tree, seconds: spec.buildSeconds });
  }
  const folder = join(tree, spec.folder);
  if (existsSync(folder)) return folder;
  throw new Error(`${spec.name}: its source has no folder ${spec.folder}`);
}

/** A command that sees none of the runner's credentials: what is built is code of a package, and of all it depends on. */
export function withoutCredentials(...words: readonly string[]): string[] {
  const kept = { ...inheritedEnvironment(), CI: "true" };
  return ["env", "-i", ...Object.entries(kept).map(([name, value]) => `${name}=${value}`), ...words];
}

/**
 * What a frozen source was packed to is kept: what was checked before the cutover is what is uploaded after it, and a
 * build that gives other bytes each time is packed once.
 */
export async function packedOnce(
  spec: PackageSpec,
  scratch: string,
  pack: (into: string) => Promise<Packed>,
): Promise<Packed> {
  const { registry: _, ...made } = spec;
  const { source } = spec;
  const frozen = source.kind === "git" ? source.commit !== undefined : source.kind === "artifact";
  const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "switchyard", "packages");
  const folder = frozen ? join(cache, fingerprint(made)) : join(scratch, "packed");
  const record = join(folder, "packed.json");
  if (!existsSync(record)) {
    await mkdir(cache, { recursive: true });
    const partial = join(frozen ? cache : scratch, `${randomUUID()}.partial`);
    await mkdir(partial, { mode: 0o700 });
    const packed = await pack(partial);
    const kept: Packed = { ...packed, file: basename(packed.file) };
    await writeFile(join(partial, "packed.json"), JSON.stringify(kept));
    await rename(partial, folder).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOTEMPTY" && error.code !== "EEXIST") throw error;
    });
    await rm(partial, { recursive: true, force: true });
  }
  const packed = JSON.parse(await readFile(record, "utf8")) as Packed;
  return { ...packed, file: join(folder, packed.file) };
}
