import { createHash, randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { pipeline, Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { askBucket, type BucketTarget } from "./vault-bucket.ts";
import { ChunkReader } from "./vault-chunks.ts";

/**
 * What stands between restic and the bucket, on this machine's loopback and only while restic runs. The bucket's
 * policy lets the writer add an object only under the condition that there is none of that name (If-None-Match), which
 * restic cannot ask for: here each request is signed anew with it. So neither a restic gone wrong nor a stolen key can
 * overwrite a backup. What arrives is encrypted by restic already; the bucket's key stays in this process.
 */
export interface Gateway {
  readonly url: string;
  /** A key that only this gateway knows, and only while it runs. */
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  close(): Promise<void>;
}

/** Headers of an upload that reach the bucket; everything else is signed anew. */
const passedOn = ["content-length", "content-md5", "content-type", "range"];

export async function openGateway(target: BucketTarget, prefix: string): Promise<Gateway> {
  const accessKeyId = randomBytes(15).toString("hex");
  const server = createServer((request, response) => {
    answer(target, prefix, accessKeyId, request, response).catch((error: Error) => {
      // restic tries again after this answer.
      if (!response.headersSent) refuse(response, 503, "SlowDown", error.message);
      else response.destroy();
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    accessKeyId,
    secretAccessKey: randomBytes(20).toString("hex"),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function answer(
  target: BucketTarget,
  prefix: string,
  accessKeyId: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { authorization = "" } = request.headers;
  if (!authorization.includes(`Credential=${accessKeyId}/`)) {
    return refuse(response, 403, "AccessDenied", "this gateway is for the restic that it was opened for");
  }
  const [path = "", query = ""] = (request.url ?? "").split("?");
  const key = path.replace(/^\/[^/]*\/?/, "");
  const method = request.method ?? "";
  if (!isAddOnly(method, key, prefix)) {
    return refuse(response, 403, "AccessDenied", `a backup is never changed or deleted: ${method} ${key}`);
  }
  if (method === "PUT") return add(target, key, request, response);
  const headers = pick(request);
  const answered = await askBucket(target, { method, key, query, headers });
  passBack(answered, response);
}

/** Everything may be read and added below the prefix; only a lock, which says that restic runs, may go away again. */
function isAddOnly(method: string, key: string, prefix: string): boolean {
  if (key === "") return method === "GET" || method === "HEAD";
  if (!key.startsWith(`${prefix}/`)) return false;
  if (method === "DELETE") return key.startsWith(`${prefix}/locks/`);
  return method === "GET" || method === "HEAD" || method === "PUT";
}

async function add(
  target: BucketTarget,
  key: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const length = String(request.headers["x-amz-decoded-content-length"] ?? request.headers["content-length"]);
  const headers = { ...pick(request), "content-length": length, "if-none-match": "*" };
  const chunked = String(request.headers["x-amz-content-sha256"]).startsWith("STREAMING-");
  const body = chunked ? pipeline(request, new ChunkReader(), () => {}) : request;
  const answered = await upload(target, key, headers, body);
  const isThere = answered.statusCode === 412 && (await hasSize(target, key, length));
  if (isThere) {
    answered.resume();
    response.writeHead(200, { etag: '"there"', "content-length": 0 }).end();
    return;
  }
  passBack(answered, response);
}

/** A locked bucket takes nothing without a checksum: where restic gave none, one is made, of a pack of 16 MiB or so. */
async function upload(
  target: BucketTarget,
  key: string,
  headers: Readonly<Record<string, string>>,
  body: Readable,
): Promise<IncomingMessage> {
  if (headers["content-md5"] !== undefined) return askBucket(target, { method: "PUT", key, headers, body });
  const bytes = await buffer(body);
  const md5 = createHash("md5").update(bytes).digest("base64");
  const all = { ...headers, "content-md5": md5 };
  return askBucket(target, { method: "PUT", key, headers: all, body: Readable.from([bytes]) });
}

/** Cut short where the bucket's answer is: restic must not take a part for the whole. */
function passBack(answered: IncomingMessage, response: ServerResponse): void {
  response.writeHead(answered.statusCode ?? 502, answered.headers);
  pipeline(answered, response, () => {});
}

/**
 * An upload whose answer was lost is tried again and meets itself. All files of a repository but `config` are named by
 * the hash of what is in them, and restic checks that when it reads.
 */
async function hasSize(target: BucketTarget, key: string, length: string): Promise<boolean> {
  if (!/\/[0-9a-f]{64}$/.test(key)) return false;
  const there = await askBucket(target, { method: "HEAD", key });
  there.resume();
  return there.headers["content-length"] === length;
}

function pick(request: IncomingMessage): Record<string, string> {
  const entries = passedOn.map((name) => [name, request.headers[name]] as const);
  return Object.fromEntries(
    entries.flatMap(([name, value]) => (typeof value === "string" ? [[name, value]] : [])),
  );
}

function refuse(response: ServerResponse, status: number, code: string, message: string): void {
  const text = message.replace(/[<>&]/g, " ");
  const xml = `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>${text}</Message></Error>`;
  response.writeHead(status, { "content-type": "application/xml", "content-length": Buffer.byteLength(xml) });
  response.end(xml);
}
