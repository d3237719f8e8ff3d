import { createServer, type IncomingMessage, request, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { PassThrough, Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ChunkReader } from "../../components/box/toolkit/vault-chunks.ts";
import { type Gateway, openGateway } from "../../components/box/toolkit/vault-gateway.ts";
import { flow, start } from "../../components/box/toolkit/vault-stream.ts";

/** What stands between restic and the bucket lets through what adds, and nothing else. */

describe("the gateway", () => {
  const seen: { method: string; path: string; condition: string | undefined; body: string }[] = [];
  const sums: unknown[] = [];
  let status = 200;
  let size = "5";
  let bucket: Server;
  let gateway: Gateway;

  beforeEach(async () => {
    seen.length = 0;
    sums.length = 0;
    status = 200;
    bucket = createServer(async (asked, answer) => {
      const { method = "", url: path = "", headers } = asked;
      sums.push(headers["content-md5"]);
      seen.push({ method, path, condition: headers["if-none-match"], body: await text(asked) });
      const code = method === "HEAD" ? 200 : status;
      answer.writeHead(code, method === "HEAD" ? { "content-length": size } : {}).end();
    });
    await new Promise<void>((resolve) => bucket.listen(0, "127.0.0.1", resolve));
    const { port } = bucket.address() as AddressInfo;
    const key = { accessKeyId: "writer", secretAccessKey: "secret" };
    const endpoint = `http://127.0.0.1:${port}`;
    gateway = await openGateway(
      { kind: "s3", bucket: "b", region: "eu-central-1", endpoint, ...key },
      "chrono/2026-11",
    );
  });
  afterEach(async () => {
    await gateway.close();
    bucket.closeAllConnections();
    await new Promise((resolve) => bucket.close(resolve));
  });

  function ask(method: string, path: string, { body = "", headers = {}, key = gateway.accessKeyId } = {}) {
    const authorization = `AWS4-HMAC-SHA256 Credential=${key}/20261121/eu-central-1/s3/aws4_request, …`;
    const length = body === "" ? {} : { "content-length": String(Buffer.byteLength(body)) };
    return new Promise<{ status: number | undefined; said: string }>((resolve, reject) => {
      const all = { authorization: authorization.replace("…", "Signature=0"), ...length, ...headers };
      const sent = request(
        `${gateway.url}${path}`,
        { method, headers: all },
        async (answer: IncomingMessage) => {
          resolve({ status: answer.statusCode, said: await text(answer) });
        },
      );
      sent.once("error", reject);
      sent.end(body);
    });
  }

  const name = "0".repeat(64);

  it("adds under the condition that there is nothing of that name", async () => {
    expect((await ask("PUT", `/b/chrono/2026-11/data/00/${name}`, { body: "hello" })).status).toBe(200);
    expect(seen).toEqual([
      { method: "PUT", path: `/b/chrono/2026-11/data/00/${name}`, condition: "*", body: "hello" },
    ]);
  });

  it("gives an upload without a checksum one, and leaves restic's own alone", async () => {
    const path = `/b/chrono/2026-11/data/00/${name}`;
    await ask("PUT", path, { body: "hello" });
    await ask("PUT", path, { body: "hello", headers: { "content-md5": "restic's own" } });
    expect(sums).toEqual(["XUFAKrxLKna5cZ2REBfFkg==", "restic's own"]);
  });

  it("takes chunks apart", async () => {
    const signature = "a".repeat(64);
    const body = `3;chunk-signature=${signature}\r\nhel\r\n2;chunk-signature=${signature}\r\nlo\r\n0;chunk-signature=${signature}\r\n\r\n`;
    const headers = {
      "x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
      "x-amz-decoded-content-length": "5",
    };
    expect((await ask("PUT", "/b/chrono/2026-11/config", { body, headers })).status).toBe(200);
    expect(seen[0]?.body).toBe("hello");
  });

  it("takes an upload that meets itself for done, and one that meets another for refused", async () => {
    status = 412;
    size = "5";
    expect((await ask("PUT", `/b/chrono/2026-11/data/00/${name}`, { body: "hello" })).status).toBe(200);
    expect((await ask("PUT", "/b/chrono/2026-11/config", { body: "hello" })).status).toBe(412);
    size = "6";
    expect((await ask("PUT", `/b/chrono/2026-11/data/00/${name}`, { body: "hello" })).status).toBe(412);
  });

  it("deletes locks and nothing else, stays below its prefix, and serves only the restic it was opened for", async () => {
    expect((await ask("DELETE", "/b/chrono/2026-11/locks/aa")).status).toBe(200);
    const refused: [string, string][] = [
      ["DELETE", "/b/chrono/2026-11/data/aa"],
      ["DELETE", "/b/chrono/2026-11/snapshots/locks/aa"],
      ["POST", "/b/?delete"],
      ["POST", "/b/chrono/2026-11/data/aa?uploads"],
      ["PUT", "/b/"],
      ["PUT", "/b/chrono/2026-12/data/aa"],
      ["GET", "/b/deia/2026-11/config"],
    ];
    for (const [method, path] of refused) {
      expect([path, (await ask(method, path)).status]).toEqual([path, 403]);
    }
    expect((await ask("GET", "/b/chrono/2026-11/config", { key: "other" })).status).toBe(403);
    expect(seen.map(({ method }) => method)).toEqual(["DELETE"]);
  });

  it("tells restic to try again where the bucket cannot be reached", async () => {
    bucket.closeAllConnections();
    await new Promise((resolve) => bucket.close(resolve));
    const { status: answered, said } = await ask("GET", "/b/chrono/2026-11/config");
    expect([answered, said]).toEqual([503, expect.stringContaining("cannot be reached")]);
    bucket = createServer().listen(0);
  });
});

describe("chunks", () => {
  const signature = "f".repeat(64);
  const chunk = (bytes: string) =>
    `${bytes.length.toString(16)};chunk-signature=${signature}\r\n${bytes}\r\n`;

  it("are read wherever they are cut", async () => {
    const whole = Buffer.from(chunk("\r\n0;chunk") + chunk("x") + chunk(""));
    for (let at = 1; at < whole.length; at += 1) {
      const reader = Readable.from([whole.subarray(0, at), whole.subarray(at)]).pipe(new ChunkReader());
      expect(await text(reader)).toBe("\r\n0;chunkx");
    }
  });

  it("are read without signatures, and with checksums behind them", async () => {
    const body = "3\r\nabc\r\n0\r\nx-amz-checksum-crc32c:wdBDMA==\r\n\r\n";
    expect(await text(Readable.from([Buffer.from(body)]).pipe(new ChunkReader()))).toBe("abc");
  });

  it("are refused where they end too early or are none", async () => {
    const read = (body: string) =>
      pipeline(Readable.from([Buffer.from(body)]), new ChunkReader(), new PassThrough().resume());
    await expect(read(chunk("abc"))).rejects.toThrow("ended inside a chunk");
    await expect(read(`3;chunk-signature=${signature}\r\nab`)).rejects.toThrow("ended inside a chunk");
    await expect(read("x\r\n")).rejects.toThrow("a chunk without a length");
    await expect(read("y".repeat(300))).rejects.toThrow("not made of chunks");
  });
});

describe("a flow from one program into another", () => {
  const program = (script: string, name: string) =>
    start(["sh", "-c", script], { env: {}, seconds: 20, failure: (said) => new Error(`${name}: ${said}`) });

  it("measures what went through", async () => {
    const measured = await flow(program("printf hello", "source"), program("cat >/dev/null", "target"));
    expect(measured).toEqual({
      bytes: 5,
      sha256: "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
    });
  });

  it("never tells the target that a source which failed has ended", async () => {
    const target = program("cat >/dev/null; echo 'took it for whole' >&2; exit 3", "target");
    const failing = flow(program("printf hel; echo broke >&2; exit 1", "source"), target);
    await expect(failing).rejects.toThrow("source: broke");
    await expect(target.ended).rejects.not.toThrow("took it for whole");
  });

  it("says what the target said when it ends early", async () => {
    const source = program("yes", "source");
    await expect(flow(source, program("echo 'no room' >&2; exit 1", "target"))).rejects.toThrow(
      "target: no room",
    );
    await expect(source.ended).rejects.toThrow("source:");
  });

  it("names a program that is not there", async () => {
    const missing = start(["pg_dump_is_not_here"], {
      env: {},
      seconds: 5,
      failure: () => new Error("other"),
    });
    await expect(missing.ended).rejects.toThrow("pg_dump_is_not_here is not installed here");
  });
});
