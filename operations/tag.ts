import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { PinsError } from "./pins.ts";

/** `<system>:source`: a git repository with the tag of a version, or an artifact. */
export type SourceConfig = { readonly git: string; readonly tag?: string } | { readonly artifact: string };

const SECONDS = 20;

/**
 * The commit that a version's tag names now, asked of the repository itself; an annotated tag is followed to its
 * commit. Null for an artifact, whose identity is its sha256.
 * @throws PinsError when there is no such tag, or the repository does not answer within 20 s.
 */
export async function commitOfTag(
  source: SourceConfig,
  version: string,
  checkout: string,
  environment: NodeJS.ProcessEnv,
): Promise<string | null> {
  if (!("git" in source)) return null;
  const tag = (source.tag ?? "{version}").replaceAll("{version}", version);
  const ref = `refs/tags/${tag}`;
  const { stdout } = await promisify(execFile)("git", ["ls-remote", "--", source.git, ref, `${ref}^{}`], {
    cwd: checkout,
    timeout: SECONDS * 1000,
    env: { ...environment, GIT_TERMINAL_PROMPT: "0" },
  }).catch((error: Error & { killed?: boolean; stderr?: string }) => {
    const why = error.killed ? `no answer within ${SECONDS} s` : (error.stderr || error.message).trim();
    throw new PinsError(`the tag ${tag} cannot be looked up in ${source.git}: ${why}`);
  });
  const found = new Map(
    stdout
      .trim()
      .split("\n")
      .map((line) => line.split("\t").reverse() as [string, string]),
  );
  const commit = found.get(`${ref}^{}`) ?? found.get(ref);
  if (commit !== undefined) return commit;
  throw new PinsError(
    `${source.git} has no tag ${tag}: push it (git push origin ${tag}), or name another version`,
  );
}
