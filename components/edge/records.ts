import type { Binding, Version, WorkerApi } from "./api.ts";
import { closedTag, type LegRecord, type ReleaseRecord } from "./manifest.ts";

/**
 * What the target keeps beside the state: a release's record is a plain binding of its version, a leg's one of the
 * version that answers 503. Both are as durable as the versions themselves, and nothing else has to be looked after.
 */

const recordName = "SWITCHYARD";
/** Longest text of a binding that Cloudflare takes, in bytes. */
const longestText = 5000;

/** Versions stay when their release is no longer pinned: so many releases are looked at. */
const longestMemory = 30;
const isOurs = /^([0-9a-f]{12}|switchyard-closed)$/;

export function recordBinding(record: ReleaseRecord | LegRecord): Binding {
  const text = JSON.stringify(record);
  if (Buffer.byteLength(text) > longestText) {
    throw new Error(
      `what is to be remembered takes ${Buffer.byteLength(text)} bytes, more than the ${longestText} of a binding: ` +
        "shorten the settings",
    );
  }
  return { type: "plain_text", name: recordName, text };
}

export interface PlacedVersion {
  readonly versionId: string;
  readonly fingerprint: string;
  readonly record: ReleaseRecord;
}

export interface Placed {
  /** Releases whose version can be deployed, the latest upload of each. */
  readonly releases: readonly PlacedVersion[];
  /** The version that answers 503 and the leg's record; null on a Worker that was never prepared. */
  readonly closed: { readonly versionId: string; readonly record: LegRecord } | null;
}

/** Null where there is no such Worker. */
export async function readPlaced(api: WorkerApi): Promise<Placed | null> {
  const versions = await api.versions();
  if (versions === null) return null;
  const latest = new Map<string, Version>();
  for (const version of versions) {
    if (!isOurs.test(version.tag ?? "") || latest.has(version.tag ?? "")) continue;
    if (version.tag === closedTag || latest.size < longestMemory) latest.set(version.tag ?? "", version);
  }
  const read = await Promise.all(
    [...latest].map(async ([tag, version]) => ({ tag, version, text: await textOf(api, version) })),
  );
  const closed = read.find(({ tag, text }) => tag === closedTag && text !== null);
  return {
    closed: closed?.text
      ? { versionId: closed.version.id, record: JSON.parse(closed.text) as LegRecord }
      : null,
    releases: read.flatMap(({ tag, version, text }) =>
      tag === closedTag || text === null
        ? []
        : [{ versionId: version.id, fingerprint: tag, record: JSON.parse(text) as ReleaseRecord }],
    ),
  };
}

/** A list may leave the bindings out; a single version has them. */
async function textOf(api: WorkerApi, version: Version): Promise<string | null> {
  const own = ({ bindings }: Version) => bindings.find(({ name }) => name === recordName)?.text;
  return own(version) ?? own(await api.version(version.id)) ?? null;
}
