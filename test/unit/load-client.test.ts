import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { type Load, startLoad } from "../support/load/load.ts";

/** The load that other tests rest on: whatever a connection dies of is counted once, and ends nothing. */

const answer = "HTTP/1.1 200 OK\r\nx-release: v1\r\ncontent-length: 2\r\n\r\nok";
const beginning = "HTTP/1.1 200 OK\r\nx-release: v1\r\ncontent-length: 20\r\n\r\nok";

let server: Server | null = null;
let load: Load | null = null;

afterEach(async () => {
  await load?.stop().catch(() => {});
  server?.close();
  [server, load] = [null, null];
});

/** A server of raw connections; `onRequest` is called once for each request that reaches it. */
async function serve(onRequest: (socket: Socket) => void): Promise<string> {
  server = createServer((socket) => {
    socket.on("error", () => {});
    socket.on("data", () => onRequest(socket));
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return `http://127.0.0.1:${(server.address() as { port: number }).port}/`;
}

test("connections that are reset before, within and after an answer: each lost request is counted, none ends the client", async () => {
  const met = { reset: 0, cut: 0, answered: 0 };
  let turn = 0;
  const url = await serve((socket) => {
    turn += 1;
    if (turn % 4 === 0) {
      met.reset += 1;
      socket.resetAndDestroy();
    } else if (turn % 4 === 1) {
      met.cut += 1;
      socket.write(beginning, () => socket.resetAndDestroy());
    } else {
      met.answered += 1;
      // Answered in full, and gone while the client keeps the connection for its next request.
      socket.write(answer, () => turn % 4 === 2 && socket.resetAndDestroy());
    }
  });
  load = await startLoad({
    urls: [url],
    newConnectionClients: 4,
    keepAliveClients: 4,
    method: "POST",
    body: "{}",
  });
  await load.until(({ total }) => total >= 1000, 60);
  const { total, failed, failures, releases } = await load.stop();
  load = null;
  const answered = (releases.v1?.new?.answered ?? 0) + (releases.v1?.keepAlive?.answered ?? 0);
  expect(failures["cut short"]).toBe(met.cut);
  expect(answered).toBe(met.answered + met.cut);
  expect(total).toBe(answered + (failed - met.cut));
  // A connection may be gone by the time its next request is written: that one has failed and reached nobody.
  expect(failures.ECONNRESET).toBeGreaterThanOrEqual(met.reset);
  expect(Object.keys(failures).filter((kind) => !/^(ECONNRESET|EPIPE|cut short)$/.test(kind))).toEqual([]);
});

test("a body that the server does not take is one failed request", async () => {
  const url = await serve((socket) => socket.resetAndDestroy());
  const body = "x".repeat(1_000_000);
  load = await startLoad({ urls: [url], newConnectionClients: 2, keepAliveClients: 2, method: "POST", body });
  const { total, failed, failures } = await load.until((summary) => summary.total >= 8, 60);
  expect(failed).toBe(total);
  expect(Object.keys(failures).filter((kind) => !/^(ECONNRESET|EPIPE)$/.test(kind))).toEqual([]);
});

test("what cannot be asked for at all is a failed request too", async () => {
  load = await startLoad({ urls: ["http://127.0.0.1:99999/"], newConnectionClients: 1, keepAliveClients: 1 });
  const { total, failed, failures } = await load.until((summary) => summary.total >= 4, 60);
  expect(failed).toBe(total);
  expect(Object.keys(failures)).toEqual(["ERR_INVALID_URL"]);
});

test("whoever started it is gone: it ends, and says nothing", async () => {
  const url = await serve((socket) => void socket.write(answer));
  const program = join(import.meta.dirname, "../support/load/client.ts");
  const child = spawn(process.execPath, [program], { stdio: ["pipe", "pipe", "pipe"] });
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    said += text;
  });
  const ended = once(child, "close");
  const plan = {
    ...{ urls: [url], newConnectionClients: 1, keepAliveClients: 1, requestsPerSecond: 50 },
    ...{ method: "GET", headers: {}, body: "", timeoutSeconds: 5, held: false },
  };
  child.stdin.write(`${JSON.stringify(plan)}\n`);
  await once(child.stdout, "data");
  child.stdout.destroy();
  await once(child.stdout, "close");
  child.stdin.end();
  expect(await ended).toEqual([0, null]);
  expect(said).toBe("");
});
