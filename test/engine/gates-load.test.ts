import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { lineText } from "../../components/gates/gate-report.ts";
import type { GateSpec } from "../../components/gates/gate-spec.ts";
import { loadGate } from "../../components/gates/load.ts";
import { checkout } from "../../engine/checkout.ts";
import { locateGenerator } from "../../engine/generator.ts";
import { children, identify, isAlive, until } from "../support/box/processes.ts";

/** SAN-3, SAN-4: the generator that this machine has (PATH, else built from its Go module), against a real server. */
let server: Server;
let url: string;
let stalledUntil = 0;
let received: { method: string; bytes: number; type: string }[] = [];
let metrics = "";
const find = () => locateGenerator(process.env, () => {});

beforeAll(async () => {
  await find();
  server = createServer((request, response) => {
    if (request.url === "/metrics") return void response.end(metrics);
    let bytes = 0;
    request.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
    });
    request.on("end", () => {
      received.push({ method: request.method ?? "", bytes, type: request.headers["content-type"] ?? "" });
      const answer = () => response.writeHead(request.url === "/broken" ? 500 : 200).end("ok");
      setTimeout(answer, Math.max(0, stalledUntil - performance.now()));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => new Promise((resolve) => server.close(resolve)));
beforeEach(() => {
  received = [];
  stalledUntil = 0;
  metrics = metricsOf({ started: 1000, bytes: 50e6, cpu: 1 });
});

const limits = { errors: 0.02, p95: 1.5, p99: 3 };

describe("the load gate", () => {
  it("sends what it is told to, at the rate it is told", async () => {
    const asked = { rate: 200, seconds: 2, bodyBytes: 1024, limits };
    const report = await loadGate({ name: "load", targets: [{ url }], ...asked }, find);
    expect(report.lines.map(({ rule, state }) => `${rule}: ${state}`)).toEqual([
      "rate: held",
      "errors: held",
      "p95: held",
      "p99: held",
      "the generator's own lateness (p99): held",
    ]);
    expect(received).toHaveLength(400);
    expect(new Set(received.map((one) => JSON.stringify(one)))).toEqual(
      new Set([JSON.stringify({ method: "POST", bytes: 1024, type: "application/json" })]),
    );
  });

  it("hides no waiting: a stall of 1 s counts for every request that was due meanwhile", async () => {
    const asked = { rate: 100, seconds: 4, bodyBytes: 0, limits: { ...limits, p95: 0.5 } };
    const begun = loadGate({ name: "load", targets: [{ url }], ...asked }, find);
    await until(() => received.length > 100, 120, "no load arrived");
    const before = received.length;
    stalledUntil = performance.now() + 1000;
    await until(() => performance.now() > stalledUntil, 120, "the stall did not end");
    // Open model: the requests of that second were sent, although none of them was answered.
    expect(received.length - before).toBeGreaterThan(30);
    const report = await begun;
    const { summary } = report.evidence as { summary: { sent: number; latency: Record<string, number> } };
    expect(summary.sent).toBe(400);
    // A quarter of all requests waited, evenly between 0 and 1 s: the slowest twentieth for more than 0.8 s.
    expect(summary.latency.p95).toBeGreaterThan(0.7);
    expect(summary.latency.max).toBeGreaterThan(0.95);
    expect(lineText(report.lines[2]!)).toMatch(/^✗ p95: \d+(\.\d+)? ms, allowed < 500 ms$/);
  });
});

describe("a gate on the runner", () => {
  const load: GateSpec = {
    gate: "load",
    name: "load-test",
    targets: [{ url: "{service}/", headers: { authorization: "Bearer not-for-anybody" } }],
    rate: 50,
    seconds: 1,
    bodyBytes: 16,
    limits,
  };
  const spec = (more: Partial<GateSpec> = {}) => ({ ...load, origins: { service: url }, ...more });

  it("passes with one line of JSON, and says on standard error what it measured", async () => {
    const { code, stdout, stderr } = await run("load", spec());
    expect(code, stderr).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ gate: "load-test", passed: expect.any(String) });
    expect(stdout.trim().split("\n")).toHaveLength(1);
    expect(stderr).toMatch(/^gate load-test\n✓ rate: .*\n✓ errors: 0 %, allowed < 2 %\n/m);
    expect(stdout + stderr).not.toContain("not-for-anybody");
  });

  it("fails with exit 1 and the line that did not hold", async () => {
    const { code, stdout, stderr } = await run(
      "load",
      spec({ targets: [{ url: "{service}/broken" }] } as never),
    );
    expect(code).toBe(1);
    expect(stdout).toBe("");
    expect(stderr).toMatch(/✗ errors: 100 % \(50 of 50; 50 × 500 Internal Server Error\), allowed < 2 %/);
    expect(stderr).toMatch(/evidence: \.switchyard\/evidence\/.*load-test\.json/);
  });

  it("fails where nobody answers", async () => {
    const { code, stderr } = await run("load", spec({ origins: { service: "http://127.0.0.1:9" } }));
    expect(code).toBe(1);
    expect(stderr).toMatch(/✗ errors: 100 %/);
  });

  it("ends at once when it is told to, and leaves no generator behind", async () => {
    const gate = start("load", spec({ seconds: 60 } as never));
    await until(() => received.length > 10, 120, "no load arrived");
    const started = children(gate.pid!).map((pid) => identify(pid)!);
    expect(started).toHaveLength(2);
    gate.kill("SIGTERM");
    const [code] = (await once(gate, "close")) as [number];
    expect(code).toBe(1);
    await until(() => started.every((one) => !isAlive(one)), 120, "a generator lives on");
  });

  it("soaks: growth, CPU and crashes beside the load", async () => {
    const services = [{ name: "auth", metrics: "{service}/metrics" }];
    const soak = {
      ...spec(),
      gate: "soak",
      name: "soak-test",
      seconds: 2,
      scrapeSeconds: 0.2,
      services,
      limits: { ...limits, memoryGrowth: 0.1, cpu: 0.7 },
    };
    const well = await run("soak", soak);
    expect(well.code, well.stderr).toBe(0);
    expect(JSON.parse(well.stdout).lines.slice(-3)).toEqual([
      "✓ auth memory growth: 0 %, allowed < 10 %",
      "✓ auth CPU on average: 0 %, allowed < 70 %",
      "✓ auth crashes: 0, allowed 0",
    ]);
    received = [];
    const crashing = run("soak", soak);
    await until(() => received.length > 50, 120, "no load arrived");
    metrics = metricsOf({ started: Date.now() / 1000 + 5, bytes: 50e6, cpu: 0 });
    const crashed = await crashing;
    expect(crashed.code).toBe(1);
    expect(crashed.stderr).toContain("✗ auth crashes: 1, allowed 0");
  });
});

function metricsOf({ started, bytes, cpu }: { started: number; bytes: number; cpu: number }): string {
  return `process_start_time_seconds ${started}
process_resident_memory_bytes ${bytes}
process_cpu_seconds_total ${cpu}
`;
}

function start(kind: string, spec: object): ChildProcess {
  const gate = spawn("engine/node.sh", ["components/gates/main.ts", kind], { cwd: checkout });
  gate.stdin.end(JSON.stringify(spec));
  return gate;
}

async function run(kind: string, spec: object) {
  const gate = start(kind, spec);
  const [stdout, stderr, [code]] = await Promise.all([
    text(gate.stdout!),
    text(gate.stderr!),
    once(gate, "close") as Promise<[number]>,
  ]);
  return { code, stdout, stderr };
}
