import { hostname } from "node:os";
import { join } from "node:path";
import { run } from "./run.ts";
import { openGateway } from "./vault-gateway.ts";
import { type KnownSettings, passwordFile, repositoryPath, type VaultFolder } from "./vault-settings.ts";
import { flow, type Measured, MissingProgram, type Source, type Streaming, start } from "./vault-stream.ts";

/** restic on one repository of the vault, from 0.14 on (Debian 12). */
export interface Restic {
  readonly repository: string;
  /** What restic is told by its environment. It holds the name of a file with the password, and no secret of the vault. */
  readonly env: Readonly<Record<string, string>>;
}

export interface Snapshot {
  readonly id: string;
  readonly time: string;
  readonly tags: readonly string[];
}

/** How long restic may take for anything that moves no data. */
const askSeconds = 300;

/** Opens the way to a repository for as long as `work` takes. */
export async function withRestic<T>(
  folder: VaultFolder,
  settings: KnownSettings,
  repository: string,
  work: (restic: Restic) => Promise<T>,
): Promise<T> {
  const path = repositoryPath(settings, repository);
  const common = { RESTIC_PASSWORD_FILE: passwordFile(folder), RESTIC_CACHE_DIR: join(folder.path, "cache") };
  const { target } = settings;
  if (target.kind === "folder") return work({ repository, env: { ...common, RESTIC_REPOSITORY: path } });
  const gateway = await openGateway(target, path);
  try {
    const env = {
      ...common,
      RESTIC_REPOSITORY: `s3:${gateway.url}/${target.bucket}/${path}`,
      // A key of the gateway, which ends with this call.
      AWS_ACCESS_KEY_ID: gateway.accessKeyId,
      AWS_SECRET_ACCESS_KEY: gateway.secretAccessKey,
      AWS_DEFAULT_REGION: target.region,
    };
    return await work({ repository, env });
  } finally {
    await gateway.close();
  }
}

const words = ["restic", "--option", "s3.bucket-lookup=path"];

/** @returns what restic printed. @throws with what it said, unless it exits 0 */
export async function ask(restic: Restic, command: readonly string[], seconds = askSeconds): Promise<string> {
  const result = await run([...words, ...command], { env: restic.env, seconds }).catch((error) => {
    throw (error as NodeJS.ErrnoException).code === "ENOENT" ? new MissingProgram("restic") : error;
  });
  if (result.code === 0) return result.stdout;
  throw failureOf(restic, command[0] ?? "")(result.stderr || `exit ${result.code}`);
}

function failureOf({ repository }: Restic, command: string): (said: string) => Error {
  return (said) => {
    const wrong = /wrong password|no key found/i.test(said)
      ? " (vault:password is not the one that this repository was made with)"
      : "";
    const lines = said.trim().split("\n").slice(-6).join("\n");
    return new Error(`restic ${command} on the repository ${repository} failed${wrong}: ${lines}`);
  };
}

/**
 * Takes away the locks of those who are no more: dead on this machine, or silent for half an hour. A person's restic
 * that was killed while it had the repository for itself would stop every backup from then on.
 */
export async function unlock(restic: Restic): Promise<void> {
  await ask(restic, ["unlock", "--quiet"]);
}

/** All of the repository, oldest first. Reads without a lock: whoever reads is in nobody's way. */
export async function listSnapshots(restic: Restic): Promise<Snapshot[]> {
  const printed = await ask(restic, ["snapshots", "--json", "--no-lock"]);
  const found = (JSON.parse(printed) as (Omit<Snapshot, "tags"> & { tags?: string[] })[] | null) ?? [];
  return found.map(({ id, time, tags = [] }) => ({ id, time, tags }));
}

/** Stores what a program writes, or a file, under a name; nothing where the source did not end well. */
export function store(
  restic: Restic,
  source: Source,
  { file, tags, seconds }: { file: string; tags: readonly string[]; seconds: number },
): Promise<Measured> {
  const tagWords = tags.flatMap((tag) => ["--tag", tag]);
  const named = ["--stdin", "--stdin-filename", file, ...tagWords, "--host", hostname()];
  const failure = failureOf(restic, "backup");
  return flow(
    source,
    start([...words, "backup", "--quiet", ...named], { env: restic.env, seconds, failure }),
  );
}

/** A stored file, read without the cache: from where it is kept, and checked by restic on the way. */
export function dump(restic: Restic, snapshot: string, file: string, seconds: number): Streaming {
  const command = [...words, "dump", "--no-lock", "--no-cache", "--quiet", snapshot, `/${file}`];
  return start(command, { env: restic.env, seconds, failure: failureOf(restic, "dump") });
}
