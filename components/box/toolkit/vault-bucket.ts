import type { IncomingMessage } from "node:http";
import { request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import type { VaultTarget } from "./vault-settings.ts";
import { sign } from "./vault-signature.ts";

/** The few requests of S3 that the vault makes by itself, and the ones it passes on for restic. */

export type BucketTarget = Extract<VaultTarget, { kind: "s3" }>;

export interface BucketRequest {
  readonly method: string;
  /** Below the bucket, no slash before it; "" is the bucket itself. */
  readonly key: string;
  /** @example "list-type=2&prefix=chrono/" */
  readonly query?: string;
  /** Names in small letters. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Readable;
}

/** Silence after which a request to S3 is given up; restic tries again by itself. */
const silenceSeconds = 60;

/** Signs a request as the target's identity and sends it. @throws where S3 cannot be reached */
export function askBucket(target: BucketTarget, asked: BucketRequest): Promise<IncomingMessage> {
  const url = bucketUrl(target, asked.key, asked.query ?? "");
  const { method, body } = asked;
  const signed = sign({ method, url, headers: asked.headers ?? {} }, target, new Date());
  const send = url.protocol === "https:" ? requestHttps : requestHttp;
  return new Promise((resolve, reject) => {
    const sent = send(url, { method, headers: signed, timeout: silenceSeconds * 1000 }, resolve);
    sent.once("timeout", () => sent.destroy(new Error(`no answer within ${silenceSeconds} s`)));
    sent.once("error", (error) => reject(new Error(`S3 at ${url.host} cannot be reached: ${error.message}`)));
    if (body) body.once("error", (error) => sent.destroy(error)).pipe(sent);
    else sent.end();
  });
}

/** AWS knows a bucket by its host name; other servers by the path. */
export function bucketUrl({ bucket, region, endpoint }: BucketTarget, key: string, query: string): URL {
  const search = query === "" ? "" : `?${query}`;
  if (endpoint === undefined) return new URL(`https://${bucket}.s3.${region}.amazonaws.com/${key}${search}`);
  return new URL(`${endpoint.replace(/\/$/, "")}/${bucket}/${key}${search}`);
}

/** @throws naming what S3 answered, unless the object is there or is not */
export async function objectExists(target: BucketTarget, key: string): Promise<boolean> {
  const answer = await askBucket(target, { method: "HEAD", key });
  answer.resume();
  if (answer.statusCode === 200) return true;
  if (answer.statusCode === 404) return false;
  throw new Error(`S3 answered ${answer.statusCode} for ${key} of the bucket ${target.bucket}: ${advice}`);
}

const advice = "check vault:bucket and vault:region, and that the writer's key is the one of this system";

/** Names of the folders right below `prefix`, which ends with a slash. */
export async function listFolders(target: BucketTarget, prefix: string): Promise<string[]> {
  const names: string[] = [];
  for (let from = ""; ; ) {
    const query = new URLSearchParams({ "list-type": "2", delimiter: "/", prefix });
    if (from !== "") query.set("continuation-token", from);
    const answer = await askBucket(target, { method: "GET", key: "", query: query.toString() });
    const said = await text(answer);
    if (answer.statusCode !== 200) {
      const code = /<Code>([^<]*)/.exec(said)?.[1] ?? "";
      throw new Error(`S3 answered ${answer.statusCode} ${code} for the bucket ${target.bucket}: ${advice}`);
    }
    const found = [...said.matchAll(/<CommonPrefixes>\s*<Prefix>([^<]*)<\/Prefix>/g)];
    names.push(...found.map(([, path = ""]) => path.slice(prefix.length).replace(/\/$/, "")));
    const next = /<NextContinuationToken>([^<]*)</.exec(said)?.[1];
    if (next === undefined) return names;
    from = next;
  }
}
