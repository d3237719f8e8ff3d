import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { lineText, passed } from "../../../components/gates/gate-report.ts";
import { type HttpCheck, httpGate } from "../../../components/gates/http-checks.ts";

let server: Server;
let origin: string;
let asked: string[] = [];
let ready = 0;

beforeAll(async () => {
  server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    response.setHeader("x-request-id", "r1");
    const answers: Record<string, [number, string]> = {
      "/health": [200, '{"status":"healthy","database":{"status":"healthy","replicas":2}}'],
      "/sick": [503, '{"status":"unhealthy"}\n'],
      "/login": [request.headers.authorization === "Bearer right" ? 200 : 401, "{}"],
      "/limited": [asked.length > 5 ? 429 : 200, "{}"],
      "/moved": [302, ""],
      "/later": [Date.now() < ready ? 503 : 200, "starting"],
    };
    const [status, text] = answers[request.url ?? ""] ?? [404, "nothing here"];
    response.writeHead(status).end(text);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => new Promise((resolve) => server.close(resolve)));
beforeEach(() => {
  asked = [];
});

async function gate(...checks: Omit<HttpCheck, "name">[]) {
  const named = checks.map((check) => ({ ...check, name: "check", url: `${origin}${check.url}` }));
  const report = await httpGate({ name: "checks", checks: named });
  return { report, lines: report.lines.map((line) => lineText(line).replace(/[\d.]+ ms/, "_ ms")) };
}

describe("a check", () => {
  it("holds what it is told to look at", async () => {
    const { report, lines } = await gate(
      { url: "/health", below: 5, json: { "database.status": "healthy", "database.replicas": 2 } },
      { url: "/login", status: 401 },
      { url: "/login", headers: { authorization: "Bearer right" } },
      { url: "/health", answerHeaders: { "X-Request-Id": "*" }, contains: "healthy" },
    );
    expect(passed(report)).toBe(true);
    expect(lines).toEqual([
      '✓ check: 200, _ ms, allowed 2xx, database.status "healthy", database.replicas 2, < 5000 ms',
      "✓ check: 401, _ ms, allowed 401",
      "✓ check: 200, _ ms, allowed 2xx",
      '✓ check: 200, _ ms, allowed 2xx, header X-Request-Id, "healthy"',
    ]);
  });

  it("says what was found instead", async () => {
    const { report, lines } = await gate(
      { url: "/sick" },
      { url: "/health", json: { "database.status": "sick" } },
      { url: "/health", json: { cache: "healthy" } },
      { url: "/login", json: { a: 1 }, status: 401 },
      { url: "/moved" },
      { url: "/health", answerHeaders: { "x-trace": "*" } },
      { url: "/health", answerHeaders: { "x-request-id": "r2" } },
      { url: "/nowhere" },
      { url: "/health", contains: "welcome" },
    );
    expect(passed(report)).toBe(false);
    expect(lines).toEqual([
      '✗ check: 503 {"status":"unhealthy"}, allowed 2xx',
      '✗ check: database.status is "healthy", allowed 2xx, database.status "sick"',
      '✗ check: cache is not there, allowed 2xx, cache "healthy"',
      "✗ check: a is not there, allowed 401, a 1",
      "✗ check: 302, allowed 2xx",
      "✗ check: no header x-trace, allowed 2xx, header x-trace",
      "✗ check: x-request-id: r1, allowed 2xx, x-request-id: r2",
      "✗ check: 404 nothing here, allowed 2xx",
      '✗ check: an answer without "welcome", allowed 2xx, "welcome"',
    ]);
  });

  it("makes every check, also after one that failed", async () => {
    await gate({ url: "/sick" }, { url: "/health" });
    expect(asked).toEqual(["GET /sick", "GET /health"]);
  });

  it("of rate limiting asks until it is told to stop, and no more often than it may", async () => {
    const limited = await gate({ url: "/limited", status: 429, within: 20 });
    expect(limited.lines).toEqual(["✓ check: 429 at request 6, _ ms, allowed 429, within 20 requests"]);
    asked = [];
    const unlimited = await gate({ url: "/limited", status: 429, within: 3 });
    expect(unlimited.lines).toEqual(["✗ check: 200 (3 requests), allowed 429, within 3 requests"]);
    expect(asked).toHaveLength(3);
  });

  it("asks again for as long as it has patience", async () => {
    ready = Date.now() + 600;
    expect((await gate({ url: "/later", patienceSeconds: 10 })).lines).toEqual([
      "✓ check: 200, _ ms, allowed 2xx",
    ]);
    expect(asked.length).toBeGreaterThan(1);
  });

  it("keeps no request's headers in the evidence", async () => {
    const { report } = await gate({ url: "/login", headers: { authorization: "Bearer right" } });
    expect(JSON.stringify(report)).not.toContain("Bearer");
  });
});

it("a server that does not answer is named", async () => {
  const closed = createServer();
  await new Promise<void>((resolve) => closed.listen(0, "127.0.0.1", resolve));
  const { port } = closed.address() as AddressInfo;
  await new Promise((resolve) => closed.close(resolve));
  const checks = [{ name: "health", url: `http://127.0.0.1:${port}/health` }];
  const { lines } = await httpGate({ name: "checks", checks });
  expect(lines.map(lineText)).toEqual(["✗ health: no answer (ECONNREFUSED), allowed 2xx"]);
});
