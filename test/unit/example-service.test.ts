import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { quantile, readScrape } from "../../components/gates/metrics.ts";
import { checkContract, checkDrain } from "../../components/gates/service-contract.ts";
import { overlaps, readActivations } from "../../examples/service/activations.ts";
import { createRepository, type Repository } from "../../examples/service/repository.ts";

/** The example, built from its own repository and run: it answers as it should, and each fault does what it says. */

let folder: string;
let repository: Repository;
const running = new Set<ChildProcess>();

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "example-"));
  repository = await createRepository(join(folder, "example.git"));
});

afterAll(async () => {
  for (const child of running) child.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
});

describe.concurrent("the example service", () => {
  it("answers with its version, its release and its settings", async () => {
    const { get } = await start("v2", {
      RELEASE: "v2-r2",
      EXAMPLE_COLOUR: "green",
      EXAMPLE_SECRET: "s",
      OTHER: "o",
    });
    for (const path of ["/", "/api/prices"]) {
      const answer = await get(path);
      expect(answer).toMatchObject({ status: 200, headers: { "x-release": "v2-r2" } });
      expect(answer.json()).toEqual({
        version: "v2",
        release: "v2-r2",
        settings: { EXAMPLE_COLOUR: "green" },
        path,
        pid: expect.any(Number),
      });
    }
    expect((await get("/elsewhere")).status).toBe(404);
  });

  it("keeps the contract that services are held to, also when it is stopped under load", async () => {
    const { port, child, ended } = await start("v1");
    const args = { origin: `http://127.0.0.1:${port}`, path: "/", health: "/health", metrics: "/metrics" };
    const rows = await checkContract({ ...args, counters: ["ftso_submissions_failed_total"] });
    expect(rows.filter(({ ok }) => !ok)).toEqual([]);
    expect(rows.map(({ what, found }) => `${what}: ${found}`)).toEqual([
      ...["health: 200", "requests: 200", "metrics: read", "requests counted: 20 more after 20"],
      ...["errors told apart: shown", "paths told apart: shown", "latency: bounds up to 10 s"],
      ...["restarts: shown", "counter ftso_submissions_failed_total: 0"],
    ]);
    const stopped = await checkDrain(args, child.pid ?? 0, 20);
    expect(stopped).toMatchObject([
      { what: "drain", ok: true, found: expect.stringMatching(/^[1-9]\d* answered, 0 lost$/) },
      { what: "stop", ok: true },
    ]);
    expect(await ended).toBe(0);
  });

  it("says how it is, with and without a database", async () => {
    const { get } = await start("v1");
    expect(await get("/health")).toMatchObject({ status: 200, body: "healthy\n" });
    expect((await get("/health/detailed")).json()).toEqual({
      status: "healthy",
      version: "v1",
      release: "v1",
      database: { status: "not configured", milliseconds: 0 },
    });
    expect((await get("/health/db")).status).toBe(404);
    const lost = await start("v1", { DATABASE_URL: "postgresql://u:p@127.0.0.1:1/d" });
    expect((await lost.get("/health/detailed")).json()).toMatchObject({
      status: "unhealthy",
      database: { status: "unhealthy" },
    });
    expect((await lost.get("/health/db")).status).toBe(503);
    expect((await lost.get("/health")).status).toBe(200);
  });

  it("measures itself, its watcher told apart from its users", async () => {
    const { get } = await start("v1");
    for (let i = 0; i < 10; i++) await get("/");
    await get("/health");
    await get("/api/slow?ms=300");
    const scrape = await scraped(get);
    expect(scrape).toMatchObject({
      requests: 11,
      errors: 0,
      pathsTold: true,
      processStart: expect.any(Number),
    });
    expect(scrape.residentBytes).toBeGreaterThan(20_000_000);
    expect(quantile(scrape.latency!, 0.99)!.value).toBeGreaterThan(0.25);
    expect(quantile(scrape.latency!, 0.5)!.value).toBeLessThan(0.25);
  });

  it("shows the bytes of its EXAMPLE_ variables, and of no others", async () => {
    const value = 'it\'s "$HOME"\n`x` \\ é 漢 🚉\t%';
    const { get } = await start("v1", { EXAMPLE_SECRET_KEY: value, PASSWORD: "no" });
    expect((await get("/api/environment?name=EXAMPLE_SECRET_KEY")).json()).toEqual({
      name: "EXAMPLE_SECRET_KEY",
      hex: Buffer.from(value).toString("hex"),
    });
    expect((await get("/api/environment?name=PASSWORD")).status).toBe(403);
    expect((await get("/api/environment?name=EXAMPLE_NONE")).status).toBe(404);
  });

  it("answers 503 on /api while the maintenance file is there, and nowhere else", async () => {
    const file = join(folder, "maintenance");
    const { get } = await start("v1", { MAINTENANCE_FILE: file });
    expect((await get("/api/prices")).status).toBe(200);
    writeFileSync(file, "");
    expect([
      (await get("/api/prices")).status,
      (await get("/")).status,
      (await get("/health")).status,
    ]).toEqual([503, 200, 200]);
    rmSync(file);
    expect((await get("/api/prices")).status).toBe(200);
  });

  it("finishes what is in flight on SIGTERM, ends kept connections, and goes", async () => {
    const service = await start("v1", { LINGER_MILLISECONDS: "4000", DRAIN_SECONDS: "60" });
    const agent = new Agent({ keepAlive: true });
    expect((await service.get("/", { agent })).headers.connection).toBe("keep-alive");
    const slow = service.get("/api/slow?ms=6000", { agent: new Agent({ keepAlive: true }) });
    // The slow one is in flight once the service counts it beside the scrape itself.
    await until(async () => /^active_connections 2$/m.test((await service.get("/metrics")).body));
    service.child.kill("SIGTERM");
    await until(() => service.printed().includes("draining"));
    const late = await service.get("/", { agent });
    expect(late).toMatchObject({ status: 200, headers: { connection: "close" } });
    expect(await service.get("/health")).toMatchObject({ status: 503, body: "draining\n" });
    expect(await slow).toMatchObject({ status: 200, headers: { connection: "close" } });
    expect(await service.ended).toBe(0);
    expect(service.printed()).toContain("v1 drained");
    await expect(service.get("/")).rejects.toThrow("ECONNREFUSED");
  });

  it("cuts off what does not finish within its bound", async () => {
    const service = await start("v1", { DRAIN_SECONDS: "1" });
    const cut = service.get("/api/slow?ms=20000").catch((error: Error) => error);
    await until(async () => /^active_connections 2$/m.test((await service.get("/metrics")).body));
    const before = performance.now();
    service.child.kill("SIGTERM");
    expect(await service.ended).toBe(0);
    // Left alone, the request would take 20 s.
    expect(performance.now() - before).toBeLessThan(15_000);
    expect(await cut).toBeInstanceOf(Error);
  });

  it("says clearly what is wrong with its environment, and when its port is taken", async () => {
    expect(await failed("v1", { PORT: "eighty" })).toContain('PORT: found "eighty", expected a whole number');
    expect(await failed("v1", { MODE: "both" })).toContain(
      'MODE: found "both", expected serving, singleton or controller',
    );
    const { port } = await start("v1");
    const log = join(folder, "taken.log");
    writeFileSync(log, "");
    const words = await failed("v1", { PORT: String(port), MODE: "singleton", ACTIVATION_LOG: log });
    expect(words).toContain(`cannot listen on 127.0.0.1:${port}`);
    expect(readFileSync(log, "utf8")).toBe("");
  });
});

describe.concurrent("a singleton", () => {
  it("writes down when it was active, so that an overlap shows", async () => {
    const log = join(folder, "activations.log");
    const env = { MODE: "singleton", ACTIVATION_LOG: log };
    const first = await start("v1", env);
    expect((await first.get("/health")).status).toBe(200);
    expect((await first.get("/api/prices")).status).toBe(404);
    first.child.kill("SIGTERM");
    await first.ended;
    const second = await start("v2", env);
    await until(() => activations(log).length === 2);
    expect(activations(log)).toEqual([
      { release: "v1", pid: first.child.pid, from: expect.any(String), to: expect.any(String) },
      { release: "v2", pid: second.child.pid, from: expect.any(String), to: null },
    ]);
    expect(overlaps(activations(log))).toEqual([]);

    const third = await start("v3", env);
    await until(() => activations(log).length === 3);
    expect(overlaps(activations(log)).map((pair) => pair.map(({ release }) => release))).toEqual([
      ["v2", "v3"],
    ]);
    third.child.kill("SIGTERM");
    second.child.kill("SIGTERM");
    await Promise.all([second.ended, third.ended]);
    expect(overlaps(activations(log))).toHaveLength(1);
  });

  it("leaves a last sign of life when it is killed", async () => {
    const log = join(folder, "killed.log");
    const { child, ended } = await start("v1", { MODE: "singleton", ACTIVATION_LOG: log });
    const beat = () => readFileSync(`${log}.${child.pid}`, "utf8");
    await until(() => beat() > activations(log)[0]!.from);
    child.kill("SIGKILL");
    await ended;
    const [killed] = readActivations(readFileSync(log, "utf8"), { [child.pid!]: beat() });
    expect(killed!.to! > killed!.from).toBe(true);
    expect(activations(log)[0]!.to).toBeNull();
  });

  it("counts its submissions, and with the fault errors those that fail", async () => {
    const { get } = await start("broken", { MODE: "singleton" });
    expect((await scraped(get)).counters.ftso_submissions_failed_total).toBe(0);
    await until(async () => (await scraped(get)).counters.ftso_submissions_failed_total! > 0, 15);
    expect((await scraped(get)).counters.ftso_submissions_total).toBeGreaterThan(40);
  });
});

describe.concurrent("a controller", () => {
  const launch = { method: "POST", body: '{"bot_id":"TEST-BOT-SMOKE"}' };

  it("launches bots, tells its health in JSON, and is active like a singleton", async () => {
    const log = join(folder, "controller.log");
    const { get } = await start("v1", { MODE: "controller", ACTIVATION_LOG: log });
    const slow = get("/api/slow?ms=500");
    await until(async () => (await get("/health")).body.includes('"active_connections":2'));
    expect((await get("/health")).json()).toMatchObject({ status: "healthy", version: "v1" });
    expect((await slow).status).toBe(200);
    expect(await get("/api/bot/launch", launch)).toMatchObject({ status: 200 });
    expect((await get("/api/bot/launch")).status).toBe(405);
    expect((await get("/api/bot/launch", { method: "POST", body: "{}" })).status).toBe(400);
    expect(activations(log)).toMatchObject([{ release: "v1", to: null }]);
    const other = await start("v1");
    expect((await other.get("/api/bot/launch", launch)).status).toBe(404);
  });

  it("no-launch: cannot launch; noisy: says that something is wrong", async () => {
    const mute = await start("no-launch", { MODE: "controller" });
    expect((await mute.get("/api/bot/launch", launch)).status).toBe(500);
    const noisy = await start("noisy", { MODE: "controller" });
    await until(() => noisy.printed().includes("Error: fault noisy"));
    expect((await noisy.get("/api/bot/launch", launch)).status).toBe(200);
  });
});

describe.concurrent("a fault", () => {
  it("never-healthy: is never healthy, and serves all the same", async () => {
    const { get } = await start("never-healthy");
    expect(await get("/health")).toMatchObject({ status: 503, body: "unhealthy\n" });
    expect((await get("/health/detailed")).status).toBe(503);
    expect((await get("/")).status).toBe(200);
  });

  it("errors: 20 % of / and /api, after 5 s of traffic and not of health checks", async () => {
    const { get } = await start("broken");
    const ask = async (path: string) => (await get(path)).status;
    for (let i = 0; i < 5; i++) expect(await ask("/health")).toBe(200);
    const began = performance.now();
    expect(await ask("/")).toBe(200);
    await until(async () => (await ask("/")) === 500, 15);
    expect(performance.now() - began).toBeGreaterThan(4900);
    const statuses = [];
    for (let i = 0; i < 50; i++) statuses.push(await ask(i % 2 ? "/" : "/api/prices"));
    expect(statuses.filter((status) => status === 500)).toHaveLength(10);
    expect(await ask("/health")).toBe(200);
  });

  it("is told by a setting, in the place of the release's: errors-at-once begins with the fifth request; none", async () => {
    const { get } = await start("v1", { EXAMPLE_FAULT: "errors-at-once" });
    const statuses = [];
    for (let i = 0; i < 10; i++) statuses.push((await get("/")).status);
    expect(statuses).toEqual([200, 200, 200, 200, 500, 200, 200, 200, 200, 500]);
    const mended = await start("never-healthy", { EXAMPLE_FAULT: "none" });
    expect((await mended.get("/health")).status).toBe(200);
  });

  it("slow: its p95 is far above a second, its health is not", async () => {
    const { get } = await start("slow");
    await Promise.all(Array.from({ length: 50 }, () => get("/")));
    const { latency } = await scraped(get);
    expect(quantile(latency!, 0.95)!.value).toBeGreaterThan(2.5);
    const before = performance.now();
    await get("/health");
    // What is slow takes 3 s.
    expect(performance.now() - before).toBeLessThan(2500);
  });

  it("leak: takes 100 MB a second from the first request on", async () => {
    const service = await start("leak");
    await pause(300);
    const before = (await scraped(service.get)).residentBytes!;
    expect(before).toBeLessThan(150e6);
    await service.get("/");
    await until(async () => (await scraped(service.get)).residentBytes! > before + 150e6);
    service.child.kill("SIGKILL");
  });

  it("crash: ends by itself 3 s after the first request", async () => {
    const { get, ended, printed } = await start("crash");
    await get("/health");
    const before = performance.now();
    await get("/");
    expect(await ended).toBe(70);
    expect(performance.now() - before).toBeGreaterThan(2900);
    expect(printed()).toContain("fault crash");
  });

  it("refuses-to-stop: goes on after SIGTERM", async () => {
    const { child, get, printed } = await start("stubborn");
    child.kill("SIGTERM");
    await until(() => printed().includes("ignoring the signal"));
    expect(await get("/")).toMatchObject({ status: 200, headers: { connection: "keep-alive" } });
    expect(child.exitCode).toBeNull();
  });

  it("slow-drain: takes 5 s to stop, as a singleton active until the end", async () => {
    const log = join(folder, "slow-drain.log");
    const { child, ended } = await start("slow-drain", { MODE: "singleton", ACTIVATION_LOG: log });
    await until(() => activations(log).length === 1);
    const before = Date.now();
    child.kill("SIGTERM");
    expect(await ended).toBe(0);
    expect(Date.parse(activations(log)[0]!.to!) - before).toBeGreaterThan(4900);
  });

  it("unbuildable: its build fails and says why", async () => {
    expect(() => build("unbuildable")).toThrow(
      'build of unbuildable failed: its release.json says "unbuildable"',
    );
  });
});

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: string;
  json(): unknown;
}

interface Started {
  readonly child: ChildProcess;
  readonly port: number;
  readonly ended: Promise<number | null>;
  printed(): string;
  get(path: string, options?: Asking): Promise<Answer>;
}

const built = new Map<string, string>();

/** Checks a tag out and builds it as a box does; once a tag. */
function build(tag: string): string {
  const made = built.get(tag);
  if (made) return made;
  const tree = join(folder, tag);
  execFileSync(
    "git",
    ["clone", "--quiet", "--depth", "1", "--branch", tag, `file://${repository.path}`, tree],
    {
      stdio: "pipe",
    },
  );
  execFileSync(process.execPath, ["build.mjs"], { cwd: tree, stdio: "pipe" });
  built.set(tag, tree);
  return tree;
}

/** Runs a built tag on a free port and waits until it listens. */
async function start(tag: string, env: Record<string, string> = {}): Promise<Started> {
  const { child, printed, ended } = launch(tag, { PORT: "0", ...env });
  await until(() => /listening on/.test(printed()) || child.exitCode !== null);
  const port = Number(/listening on 127\.0\.0\.1:(\d+)/.exec(printed())?.[1]);
  if (!port) throw new Error(`${tag} did not start: ${printed()}`);
  return { child, port, ended, printed, get: (path, options) => get(port, path, options) };
}

/** What a service that cannot start prints. */
async function failed(tag: string, env: Record<string, string>): Promise<string> {
  const { ended, printed } = launch(tag, env);
  expect(await ended).toBe(1);
  return printed();
}

function launch(tag: string, env: Record<string, string>) {
  const child = spawn(process.execPath, ["dist/service.mjs"], {
    cwd: build(tag),
    env: { PATH: process.env.PATH, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  running.add(child);
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
  }
  const ended = once(child, "close").then(([code]) => {
    running.delete(child);
    return code as number | null;
  });
  return { child, ended, printed: () => output };
}

interface Asking {
  readonly agent?: Agent;
  readonly method?: string;
  readonly body?: string;
}

function get(port: number, path: string, { body: sent, ...options }: Asking = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = request({ port, path, host: "127.0.0.1", timeout: 30_000, ...options }, (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (text: string) => {
        body += text;
      });
      response.once("error", reject);
      response.once("end", () => {
        const { statusCode = 0, headers } = response;
        resolve({ status: statusCode, headers, body, json: () => JSON.parse(body) });
      });
    });
    asked.once("error", reject).end(sent);
  });
}

async function scraped(ask: Started["get"]) {
  const counters = ["ftso_submissions_total", "ftso_submissions_failed_total"];
  const ownPaths = ["/health", "/health/detailed", "/health/db", "/metrics"];
  return readScrape((await ask("/metrics")).body, { ownPaths, counters });
}

function activations(log: string) {
  return readActivations(readFileSync(log, "utf8"));
}

async function until(holds: () => boolean | Promise<boolean>, seconds = 60): Promise<void> {
  const deadline = performance.now() + seconds * 1000;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`waited ${seconds} s in vain for ${holds}`);
    await pause(25);
  }
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
