import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, test } from "vitest";
import { checkContract, checkDrain } from "../../../components/gates/service-contract.ts";

/** What is said of services that keep the contract in part. The example service keeps all of it, in its own tests. */
const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, "127.0.0.1");
  servers.push(server);
  await once(server, "listening");
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const paths = { path: "/", health: "/health", metrics: "/metrics", counters: ["orders_failed_total"] };

async function broken(origin: string): Promise<string[]> {
  const rows = await checkContract({ ...paths, origin });
  return rows.filter(({ ok }) => !ok).map(({ what, found }) => `${what}: ${found}`);
}

test("a service that is not well and measures nothing", async () => {
  const origin = await serve(({ url }, response) => {
    response.writeHead(url === "/" ? 200 : url === "/health" ? 503 : 404).end("no");
  });
  expect(await broken(origin)).toEqual(["health: 503", "metrics: 404"]);
});

test("a page of HTML is no metrics", async () => {
  const origin = await serve((_, response) => response.end("<html>\n"));
  expect(await broken(origin)).toEqual([
    expect.stringMatching(/^metrics: not Prometheus text: found "<html>/),
  ]);
});

test("requests that are counted without status and path, and a latency that is not there", async () => {
  let requests = 0;
  const origin = await serve(({ url }, response) => {
    requests += 1;
    response.end(url === "/metrics" ? `http_requests_total ${requests}\n` : "well");
  });
  expect(await broken(origin)).toEqual([
    ...["errors told apart: not shown", "paths told apart: not shown", "latency: not shown"],
    ...["restarts: not shown", "counter orders_failed_total: not shown"],
  ]);
});

test("counters that stand still, and a page that fails", async () => {
  const origin = await serve(({ url }, response) => {
    if (url === "/") response.statusCode = 502;
    response.end(url === "/metrics" ? 'http_requests_total{status="200",path="/"} 7\n' : "well");
  });
  expect((await broken(origin)).slice(0, 2)).toEqual([
    "requests: 0 of 20, 502",
    "requests counted: 0 more after 20",
  ]);
});

test("nobody answers", async () => {
  const origin = await serve(() => {});
  const [server] = servers;
  await new Promise((resolve) => server?.close(resolve));
  expect(await broken(origin)).toEqual([
    ...["health: no answer (ECONNREFUSED)", "requests: 0 of 20, no answer (ECONNREFUSED)"],
    "metrics: no answer (ECONNREFUSED)",
  ]);
});

test("a metrics page that breaks between the two looks", async () => {
  let looks = 0;
  const origin = await serve(({ url }, response) => {
    if (url === "/metrics") response.statusCode = looks++ === 0 ? 200 : 500;
    response.end(url === "/metrics" ? 'http_requests_total{status="200",path="/"} 7\n' : "well");
  });
  expect(await broken(origin)).toEqual(["metrics: 500"]);
});

/** What is said of a program, with `server` in it, that is ended under load. */
async function ended(program: string, seconds: number) {
  const listen = 'server.listen(0,"127.0.0.1",()=>console.log(server.address().port))';
  const child = spawn(process.execPath, ["-e", `const http=require("http");${program};${listen}`], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  try {
    const [port] = await once(child.stdout, "data");
    return await checkDrain(
      { origin: `http://127.0.0.1:${String(port).trim()}`, path: "/" },
      child.pid!,
      seconds,
    );
  } finally {
    child.kill("SIGKILL");
  }
}

test("a service that ends with its requests unanswered", async () => {
  const [drain, stop] = await ended(
    'const server=http.createServer((q,r)=>setTimeout(()=>r.end("late"),100))',
    10,
  );
  expect(drain).toMatchObject({ ok: false, found: expect.stringMatching(/^[1-9]\d* lost: ECONNRESET$/) });
  expect(stop).toMatchObject({ ok: true });
});

test("a service that stops listening at once, though it finishes what it has", async () => {
  const [drain, stop] = await ended(
    'const server=http.createServer((q,r)=>{if(off)r.setHeader("connection","close");r.end("ok")});let off=false;' +
      'process.on("SIGTERM",()=>{off=true;server.close()})',
    10,
  );
  expect(drain).toMatchObject({ ok: false, found: expect.stringMatching(/^[1-9]\d* lost: ECONNRE/) });
  expect(stop).toMatchObject({ ok: true });
});

test("a service that answers 503 while it drains", async () => {
  const [drain, stop] = await ended(
    "let off=false;const server=http.createServer((q,r)=>{r.statusCode=off?503:200;r.end()});" +
      'process.on("SIGTERM",()=>{off=true;setTimeout(()=>process.exit(0),300)})',
    10,
  );
  expect(drain).toMatchObject({ ok: false, found: expect.stringMatching(/^[1-9]\d* lost: status 503$/) });
  expect(stop).toMatchObject({ ok: true });
});

test("a service that does not end", async () => {
  const [drain, stop] = await ended(
    'process.on("SIGTERM",()=>{});const server=http.createServer((q,r)=>r.end("ok"))',
    1,
  );
  expect(drain).toMatchObject({ ok: true });
  expect(stop).toMatchObject({
    ok: false,
    found: "still runs",
    expected: "the process ends within 1 s of SIGTERM",
  });
});

test("a process that is not there is ended by nobody", async () => {
  const child = spawn(process.execPath, ["-e", ""]);
  await once(child, "exit");
  await expect(checkDrain({ origin: "http://127.0.0.1:1", path: "/" }, child.pid!, 1)).rejects.toThrow(
    `no process ${child.pid} runs: --pid takes the pid of the service itself`,
  );
});
