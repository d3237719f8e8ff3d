import { createHash, createHmac } from "node:crypto";

/** Signature Version 4 of Amazon's services, for requests whose body is not part of the signature or is known. */

export interface SignedRequest {
  readonly method: string;
  readonly url: URL;
  /** Names in small letters; all of them are signed. */
  readonly headers: Readonly<Record<string, string>>;
}

export interface SigningKey {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly region: string;
  /** @default "s3" */
  readonly service?: string;
}

export const unsignedPayload = "UNSIGNED-PAYLOAD";

/** @param body sha256 of the body in hex, or `unsignedPayload`. @returns the headers to send. */
export function sign(
  { method, url, headers }: SignedRequest,
  key: SigningKey,
  now: Date,
  body = unsignedPayload,
): Record<string, string> {
  const time = now.toISOString().replace(/[-:]|\.\d{3}/g, "");
  const all: Record<string, string> = {
    ...headers,
    host: url.host,
    "x-amz-content-sha256": body,
    "x-amz-date": time,
  };
  const names = Object.keys(all).sort();
  const lines = names.map((name) => `${name}:${(all[name] ?? "").trim().replace(/ +/g, " ")}\n`);
  const canonical = [method, url.pathname, queryOf(url), lines.join(""), names.join(";"), body].join("\n");
  const scope = `${time.slice(0, 8)}/${key.region}/${key.service ?? "s3"}/aws4_request`;
  const text = ["AWS4-HMAC-SHA256", time, scope, sha256(canonical)].join("\n");
  const signing = scope.split("/").reduce<string | Buffer>(hmac, `AWS4${key.secretAccessKey}`);
  const signature = createHmac("sha256", signing).update(text).digest("hex");
  const credential = `AWS4-HMAC-SHA256 Credential=${key.accessKeyId}/${scope}`;
  return {
    ...all,
    authorization: `${credential}, SignedHeaders=${names.join(";")}, Signature=${signature}`,
  };
}

export function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

function hmac(key: string | Buffer, text: string): Buffer {
  return createHmac("sha256", key).update(text).digest();
}

function queryOf(url: URL): string {
  const pairs = [...url.searchParams].map(([name, value]) => [encode(name), encode(value)]);
  return pairs
    .map(([name, value]) => `${name}=${value}`)
    .sort()
    .join("&");
}

/** As RFC 3986 has it; encodeURIComponent leaves five characters alone that Amazon does not. */
function encode(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}
