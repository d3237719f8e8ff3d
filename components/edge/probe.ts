import { ask, type WholeAnswer } from "../gates/ask.ts";
import { type EdgeManifest, releaseAsset } from "./manifest.ts";

/** Header by which a request asks for one version of a Worker, whatever the shares; the deployment has to hold it. */
export const overrideHeader = "cloudflare-workers-version-overrides";

/** A dictionary of structured fields (RFC 8941): a Worker's name and, as a string, the version wanted of it. */
export function overrideFor(worker: string, versionId: string): string {
  if (!/^[a-z*][a-z0-9_.*-]*$/.test(worker)) {
    throw new Error(
      `a Worker named "${worker}" cannot be asked for by version: its name has to begin with a small letter and hold ` +
        "small letters, digits and dashes only",
    );
  }
  return `${worker}="${versionId.replaceAll(/["\\]/g, "\\$&")}"`;
}

/** One request to where people reach the Worker, to the version that `override` names, past any cache. */
export function askFront(url: string, override: string | null): Promise<WholeAnswer> {
  const headers = { "cache-control": "no-cache", ...(override ? { [overrideHeader]: override } : {}) };
  return ask(url, { headers });
}

/**
 * Whether it was this release that answered: Cloudflare ignores an override it does not know, so a smoke test that
 * only looks at the status may have tested the old one. Code says it in a header, a folder of files in one of them.
 *
 * @returns what answered instead, null when it was the release
 */
export async function otherThan(
  { main, release, health }: EdgeManifest,
  fingerprint: string,
  front: string,
  override: string | null,
): Promise<string | null> {
  if (main !== null) {
    const answer = await askFront(`${front}${health}`, override);
    const said = answer.headers["x-release"];
    return said === release ? null : nameOf(answer, said);
  }
  const answer = await askFront(`${front}${releaseAsset}`, override);
  const said = answer.ok ? answer.text.trim() : undefined;
  return said === fingerprint ? null : nameOf(answer, said);
}

function nameOf({ status, detail }: WholeAnswer, said: string | undefined): string {
  if (status === 0) return `no answer (${detail})`;
  return said ? said.slice(0, 60) : `status ${status} without a release's name`;
}
