import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { probeDatabase, probeDatabasePath } from "../../../components/gates/database-probe.ts";

describe("asking a database", () => {
  it("is ok when the work ends, and says why when it does not", async () => {
    expect(await probeDatabase(async () => "anything")).toMatchObject({ kind: "database", ok: true });
    const refused = await probeDatabase(() => Promise.reject(new Error("connect ECONNREFUSED")));
    expect(refused).toMatchObject({ ok: false, detail: "connect ECONNREFUSED" });
  });

  it("takes no longer than its bound", async () => {
    const silent = await probeDatabase(() => new Promise(() => {}), 0.1);
    expect(silent).toMatchObject({ ok: false, detail: "no answer within 0.1 s" });
  });
});

describe("asking a service for its database", () => {
  let server: Server;
  let answer: [number, string] = [200, ""];
  beforeAll(async () => {
    server = createServer((_, response) => response.writeHead(answer[0]).end(answer[1]));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  });
  afterAll(() => new Promise((resolve) => server.close(resolve)));

  const answers: [string, [number, string], boolean][] = [
    ["a detailed answer", [200, '{"status":"healthy","database":{"status":"healthy"}}'], true],
    ["an answer about the database alone", [200, '{"status":"healthy","milliseconds":3}'], true],
    [
      "a sick database in a healthy answer",
      [200, '{"status":"healthy","database":{"status":"unhealthy"}}'],
      false,
    ],
    ["a database without a word", [200, '{"status":"healthy","database":null}'], false],
    ["503", [503, '{"database":{"status":"healthy"}}'], false],
    ["no JSON", [200, "ok"], false],
  ];
  it.each(answers)("%s", async (_name, given, ok) => {
    answer = given;
    const { port } = server.address() as AddressInfo;
    expect(await probeDatabasePath(`http://127.0.0.1:${port}/health/detailed`)).toMatchObject({ ok });
  });
});
