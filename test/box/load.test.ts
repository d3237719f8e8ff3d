import { afterAll, beforeAll, expect, it } from "vitest";
import { type Box, startBox } from "../support/box/box.ts";
import { describeOnBox } from "../support/box/suite.ts";
import { type LoadOptions, startLoad } from "../support/load/load.ts";

/** The load client: it must see every request that fails, and count none that did not. */

/** A service of one release; `/drop` breaks every second request of a connection, `/bad` answers 500. */
const service = `
  const [release, port] = process.argv.slice(2);
  const seen = new WeakMap();
  let received = 0;
  require("node:http").createServer((request, response) => {
    received += 1;
    const nth = (seen.get(request.socket) ?? 0) + 1;
    seen.set(request.socket, nth);
    if (request.url === "/drop" && nth % 2 === 0) return request.socket.destroy();
    if (request.url === "/cut") { response.writeHead(200, { "content-length": 9 }); response.write("half");
      return setTimeout(() => request.socket.destroy(), 5); }
    if (request.url === "/received") return response.end(String(received - 1));
    if (request.url === "/close") response.setHeader("connection", "close");
    response.setHeader("x-release", release);
    if (request.url === "/bad") response.statusCode = 500;
    request.resume().on("end", () => response.end(String(nth)));
  }).listen(Number(port), "0.0.0.0");
`;

describeOnBox("the load client", () => {
  let box: Box;
  beforeAll(async () => {
    box = await startBox({ base: "full" });
    await box.ssh("cat >/root/service.js", { stdin: service });
  });
  afterAll(() => box?.stop());

  /** Starts the service afresh; resolves with the address of its root. */
  const serve = async (release: string, port: number) => {
    const command = `systemd-run --quiet --unit=service-${port} node /root/service.js ${release} ${port}`;
    const ready = `curl --silent --retry 50 --retry-delay 0 --retry-connrefused --retry-max-time 10 localhost:${port}`;
    expect((await box.ssh(`${command} && ${ready}`)).code).toBe(0);
    return `http://${box.address}:${port}`;
  };
  const received = async (port: number) =>
    Number((await box.ssh(`curl -s localhost:${port}/received`)).stdout) - 1;
  const load = (url: string, more: Partial<LoadOptions> = {}) =>
    startLoad({ enter: box.enter, urls: [url], ...more });

  it("sends a constant load over both kinds of connection and counts by release", async () => {
    const from = Date.now();
    const running = await load(`${await serve("v1", 8001)}/`);
    await running.until(({ total }) => total > 3000);
    const summary = await running.stop();
    const seconds = (summary.to - summary.from) / 1000;
    expect(summary.failed).toBe(0);
    // 1,600 a second at most; on a busy machine fewer, as no client sends the next before its answer.
    expect(summary.total / seconds).toBeGreaterThan(200);
    expect(summary.total / seconds).toBeLessThan(1700);
    expect(await received(8001)).toBe(summary.total);
    const { new: fresh, keepAlive } = summary.releases.v1!;
    expect(fresh!.answered + keepAlive!.answered).toBe(summary.total);
    expect(Object.keys(summary.releases)).toEqual(["v1"]);
    expect(fresh!.firstStart).toBeGreaterThanOrEqual(from);
    expect(keepAlive!.lastEnd).toBeLessThanOrEqual(summary.to);
  });

  it("never sends a request twice when the server breaks a kept connection", async () => {
    const url = await serve("v1", 8002);
    const running = await load(`${url}/drop`, { newConnectionClients: 1, keepAliveClients: 4 });
    await running.until(({ byConnection }) => byConnection.keepAlive.total >= 200);
    const summary = await running.stop();
    const { total, failed } = summary.byConnection.keepAlive;
    expect(summary.byConnection.new.failed).toBe(0);
    // Each connection carries one good request and one broken one.
    expect(Math.abs(failed - total / 2)).toBeLessThanOrEqual(4);
    expect(summary.failures).toEqual({ ECONNRESET: failed });
    expect(summary.firstFailures).toHaveLength(20);
    expect(summary.firstFailures[0]).toMatchObject({ connection: "keepAlive", reused: true });
    expect(await received(8002)).toBe(summary.total);
  });

  it("opens a new connection after the server has said Connection: close", async () => {
    const running = await load(`${await serve("v1", 8003)}/close`, {
      newConnectionClients: 0,
      method: "POST",
      body: "x",
    });
    await running.until(({ total }) => total > 300);
    expect(await running.stop()).toMatchObject({ failed: 0, byConnection: { new: { total: 0 } } });
  });

  it("tells the kinds of failure apart", async () => {
    const url = await serve("v1", 8004);
    const one = { newConnectionClients: 1, keepAliveClients: 0, timeoutSeconds: 1 };
    const bad = await load(`${url}/bad`, one);
    const cut = await load(`${url}/cut`, one);
    const refused = await load(`http://${box.address}:9/`, one);
    const some = ({ failed }: { failed: number }) => failed >= 3;
    for (const running of [bad, cut, refused]) await running.until(some);
    const ends = await Promise.all([bad.stop(), cut.stop(), refused.stop()]);
    expect(ends.map((end) => Object.keys(end.failures))).toEqual([
      ["status 500"],
      ["cut short"],
      ["ECONNREFUSED"],
    ]);
    expect(ends.map((end) => end.failed)).toEqual(ends.map((end) => end.total));
    expect(ends[0]!.releases.v1!.new).toMatchObject({ answered: ends[0]!.total, failed: ends[0]!.total });

    const hanging = await load(`${url}/`, one);
    await box.cutNetwork();
    await hanging.until(some);
    await box.restoreNetwork();
    expect(Object.keys((await hanging.stop()).failures)).toEqual(["timeout"]);
  });
});
