import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { Agent, get, request } from "node:http";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { environmentFile } from "../../components/box/toolkit/environment-file.ts";
import type { Door, Unit } from "../../components/box/toolkit/host.ts";
import { LocalHost, stopSupervisor, supervisorStatus } from "../../components/box/toolkit/local-host.ts";
import { until } from "../support/box/processes.ts";
import { freePort } from "../support/free-port.ts";
import { startLoad } from "../support/load/load.ts";

vi.setConfig({ testTimeout: 60_000 });

/** The local box: a supervisor and front doors with real processes. What a real box does too: test/box/hosts.test.ts. */

const support = join(import.meta.dirname, "../support/hosts");
const toolkit = [process.execPath, join(support, "driver.ts")];

let root: string;
let host: LocalHost;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "switchyard-local-"));
  host = new LocalHost({ root, toolkit });
});
afterEach(async () => {
  await stopSupervisor(root);
  rmSync(root, { recursive: true, force: true });
});

/** A unit that runs the service on a free port. */
async function install(name: string, more: Partial<Unit> = {}, values: Record<string, string> = {}) {
  const port = await freePort();
  const unit: Unit = {
    name,
    description: name,
    kind: "serving",
    lock: "shop-api",
    // The folder's name marks the process for `processesOf`.
    command: [process.execPath, join(support, "service.mjs"), root],
    directory: root,
    environmentFile: join(root, `${name}.env`),
    stopSeconds: 2,
    ...more,
  };
  writeFileSync(unit.environmentFile, environmentFile({ PORT: `${port}`, RELEASE: name, ...values }));
  await host.installUnit(unit);
  return { name, port, backend: { fingerprint: name.slice(-12), port } };
}

async function startAndWait(service: { name: string; port: number }): Promise<void> {
  await host.startUnit(service.name);
  await until(
    async () => (await ask(service.port)).includes(service.name),
    10,
    `${service.name} does not answer`,
  );
}

/** The body of an answer, with its status before it unless that is 200; "" where there is none. */
function ask(port: number, path = "/", agent?: Agent): Promise<string> {
  return new Promise((resolve) => {
    get({ port, path, host: "127.0.0.1", agent: agent ?? new Agent() }, (response) => {
      let text = response.statusCode === 200 ? "" : `${response.statusCode} `;
      response.on("data", (data) => {
        text += data;
      });
      response.on("error", () => resolve("cut short"));
      response.on("end", () => resolve(text));
    }).on("error", () => resolve(""));
  });
}

async function freeDoor(): Promise<Door> {
  const port = await freePort();
  return { name: `shop-api-${port}`, port };
}

async function killSupervisor(): Promise<number> {
  const pid = (await supervisorStatus(root))?.pid ?? 0;
  process.kill(pid, "SIGKILL");
  await until(async () => (await supervisorStatus(root)) === null, 5, "the supervisor does not die");
  return pid;
}

/** Every living process with the text in its command line. */
function processesOf(text: string): string[] {
  const printed = execFileSync("ps", ["-A", "-ww", "-o", "pid=,stat=,args="], { encoding: "utf8" });
  return printed.split("\n").filter((line) => line.includes(text) && !/^\s*\d+ Z/.test(line));
}

describe("a unit", () => {
  it("runs until it is stopped and is started again when it fails", async () => {
    const api = await install("shop-api-111111111111", {}, { STUBBORN: "1" });
    expect(await host.unitState(api.name)).toEqual({ active: "gone", restarts: 0, memoryBytes: 0 });
    await startAndWait(api);
    await host.startUnit(api.name);
    const running = await host.unitState(api.name);
    expect(running).toMatchObject({ active: "running", restarts: 0 });
    expect(running.memoryBytes).toBeGreaterThan(20 * 2 ** 20);
    await ask(api.port, "/grow");
    expect((await host.unitState(api.name)).memoryBytes - running.memoryBytes).toBeGreaterThan(50 * 2 ** 20);

    await ask(api.port, "/crash");
    await until(async () => (await host.unitState(api.name)).restarts === 1, 30, "not started again");
    await until(async () => (await ask(api.port)) !== "", 30, "does not answer again");
    expect(await host.journal(api.name, 10)).toEqual([
      "shop-api-111111111111 listens",
      "[switchyard] ended by itself (exit code 3); starting again",
      "shop-api-111111111111 listens",
    ]);

    const began = performance.now();
    await host.stopUnit(api.name);
    expect(performance.now() - began).toBeGreaterThan(1900);
    expect(performance.now() - began).toBeLessThan(15_000);
    expect(await host.unitState(api.name)).toEqual({ active: "gone", restarts: 1, memoryBytes: 0 });
    expect(await ask(api.port)).toBe("");
    await host.removeUnit(api.name);
    await host.removeUnit(api.name);
    await expect(host.startUnit(api.name)).rejects.toThrow(/is not installed on this box/);
  });

  it("stays stopped when it is stopped while it is about to be started again", async () => {
    const api = await install("shop-api-111111111111");
    for (const pause of [0, 5, 20]) {
      await startAndWait(api);
      await ask(api.port, "/crash");
      await new Promise((resolve) => setTimeout(resolve, pause));
      await host.stopUnit(api.name);
      // Longer than the pause before a restart.
      await new Promise((resolve) => setTimeout(resolve, 700));
      expect(await host.unitState(api.name)).toMatchObject({ active: "gone" });
      expect(await ask(api.port)).toBe("");
    }
  });

  it("says why it cannot be started", async () => {
    const api = await install("shop-api-111111111111", { directory: join(root, "missing") });
    await expect(host.startUnit(api.name)).rejects.toThrow(/could not be started: .*ENOENT/);
    expect(await host.unitState(api.name)).toMatchObject({ active: "failed" });
  });

  it("gets its values byte for byte and nothing of the supervisor's secrets", async () => {
    const values = fc.sample(
      fc
        .string({ unit: "binary", maxLength: 60 })
        .map((text) => text.replace(/[\0\p{Noncharacter_Code_Point}]/gu, "")),
      { numRuns: 200, seed: 11 },
    );
    const special = [
      "",
      " ",
      " both ",
      "\"'\\$`\n\r\t",
      "$HOME",
      "`id`",
      "a\nb\n",
      "ü€😀",
      "\\n",
      "#no",
      "x".repeat(100_000),
    ];
    const sent = Object.fromEntries([...values, ...special].map((value, index) => [`V${index}`, value]));
    process.env.PULUMI_CONFIG_PASSPHRASE = "not for services";
    try {
      const api = await install("shop-api-111111111111", {}, sent);
      await startAndWait(api);
      const got = JSON.parse(await ask(api.port, "/environment"));
      expect(Object.fromEntries(Object.keys(sent).map((name) => [name, got[name]]))).toEqual(sent);
      expect(got).not.toHaveProperty("PULUMI_CONFIG_PASSPHRASE");
    } finally {
      delete process.env.PULUMI_CONFIG_PASSPHRASE;
    }
  });

  it("of a singleton is refused while another one holds its lock, also when both start at once", async () => {
    const singleton: Partial<Unit> = { kind: "singleton", lock: "shop-oracle" };
    const first = await install("shop-oracle-111111111111", singleton);
    const second = await install("shop-oracle-222222222222", singleton);
    const results = await Promise.allSettled([host.startUnit(first.name), host.startUnit(second.name)]);
    expect(results.map(({ status }) => status)).toEqual(["fulfilled", "rejected"]);
    await expect(host.startUnit(second.name)).rejects.toThrow(/another process holds its service's lock/);
    await host.stopUnit(first.name);
    await startAndWait(second);
  });
});

describe("a door", () => {
  it("moves traffic ten times under load and fails no request", async () => {
    const door = await freeDoor();
    const releases = [await install("shop-api-111111111111"), await install("shop-api-222222222222")];
    await host.openDoor(door);
    await host.openDoor(door);
    expect(await host.doorServes(door)).toBeNull();
    expect(await ask(door.port)).toBe("503 nothing serves here at this moment\n");
    for (const release of releases) await startAndWait(release);
    await host.pointDoor(door, releases[0]?.backend ?? null);
    const load = await startLoad({
      urls: [`http://127.0.0.1:${door.port}/`],
      method: "POST",
      body: "x".repeat(500),
    });
    for (let turn = 1; turn <= 10; turn++) {
      const [to, from] = turn % 2 ? [releases[1], releases[0]] : [releases[0], releases[1]];
      if (!to || !from) throw new Error("two releases");
      await load.until(({ total }) => total >= turn * 200);
      await host.pointDoor(door, to.backend);
      const pointed = Date.now();
      expect(await host.doorServes(door)).toEqual(to.backend);
      await host.drainDoor(door, 5);
      await host.stopUnit(from.name);
      await startAndWait(from);
      const { releases: seen } = await load.until((summary) => summary.to > pointed + 100);
      for (const kind of ["new", "keepAlive"] as const) {
        expect(seen[from.name]?.[kind]?.lastStart ?? 0).toBeLessThanOrEqual(pointed);
      }
    }
    const { total, failed, firstFailures, byConnection } = await load.stop();
    expect({ failed, firstFailures }).toEqual({ failed: 0, firstFailures: [] });
    expect(total).toBeGreaterThan(2000);
    console.log(
      `ten cutovers: ${byConnection.new.total} new and ${byConnection.keepAlive.total} kept, ${failed} failed`,
    );
  });

  it("passes bodies on unchanged, and connections that are upgraded, which drain counts and cuts", async () => {
    const door = await freeDoor();
    const one = await install("shop-api-111111111111");
    const two = await install("shop-api-222222222222");
    await startAndWait(one);
    await startAndWait(two);
    await host.openDoor(door);
    await host.pointDoor(door, one.backend);
    const body = "ü€😀\r\n".repeat(50_000);
    expect(await post(door.port, "/echo", body)).toBe(body);

    const socket = await upgrade(door.port);
    const echoed = new Promise((resolve) => socket.once("data", (data) => resolve(`${data}`)));
    socket.write("hello");
    expect(await echoed).toBe("hello");
    const slow = await fetch(`http://127.0.0.1:${door.port}/begin/600`);
    await host.pointDoor(door, two.backend);
    expect(await ask(door.port)).toContain("222222222222");
    const closed = new Promise((resolve) => socket.once("close", resolve));
    const began = performance.now();
    await host.drainDoor(door, 1);
    expect(performance.now() - began).toBeGreaterThan(900);
    await closed;
    expect(await slow.text()).toContain("111111111111");
  });

  it("waits for a process that is starting, and says when none answers", async () => {
    const door = await freeDoor();
    const api = await install("shop-api-111111111111");
    await host.openDoor(door);
    await host.pointDoor(door, api.backend);
    const early = ask(door.port);
    await host.startUnit(api.name);
    expect(await early).toBe("shop-api-111111111111\n");
    await host.stopUnit(api.name);
    expect(await ask(door.port)).toMatch(/^502 the release does not answer: /);
  });

  it("refuses a port of somebody else, names them, and changes nothing", async () => {
    const door = await freeDoor();
    const squatter = createServer().listen(door.port, "127.0.0.1");
    await new Promise((resolve) => squatter.once("listening", resolve));
    try {
      await expect(host.openDoor(door)).rejects.toThrow(
        new RegExp(`port ${door.port} of the door ${door.name} belongs to .* \\(pid ${process.pid}\\)`),
      );
      expect(await host.doors()).toEqual([]);
    } finally {
      await new Promise((resolve) => squatter.close(resolve));
    }
    await host.openDoor(door);
    expect(await host.doors()).toEqual([door]);
    await host.closeDoor(door);
    await host.closeDoor(door);
    expect(await host.doors()).toEqual([]);
    expect(await ask(door.port)).toBe("");
    await expect(host.pointDoor(door, { fingerprint: "1", port: 1 })).rejects.toThrow(/is not open/);
    await host.pointDoor(door, null);
    await host.drainDoor(door, 1);
    await host.rememberDoor(door, null);
    expect(await host.doors()).toEqual([]);
  });
});

describe("a job", () => {
  it("runs apart from its caller until it exits 0", async () => {
    const log = join(root, "job");
    const runs = () => readFileSync(log, "utf8").trim().split("\n");
    await host.launch("bake", ["job", log, "1000", "0", "7", "0"]);
    await expect(host.launch("bake", ["job", log, "0"])).rejects.toThrow(
      "the job bake runs already on this box",
    );
    await until(() => readdirSync(root).includes("job") && runs()[0] !== "", 10, "no first run");
    process.kill(Number(runs()[0]), "SIGTERM");
    await until(async () => !(await host.launched("bake")), 10, "the job does not end");
    expect(runs()).toHaveLength(3);
  });
});

describe("the supervisor", () => {
  it("is one, however many ask for it at once, and is found where the socket's path would be too long", async () => {
    const deep = join(root, "a-folder-with-a-long-name".repeat(4), "box");
    mkdirSync(deep, { recursive: true });
    try {
      const hosts = Array.from({ length: 8 }, () => new LocalHost({ root: deep, toolkit }));
      const boots = await Promise.all(hosts.map((one) => one.bootId()));
      expect(new Set(boots).size).toBe(1);
      expect(await supervisorStatus(deep)).toMatchObject({
        settled: true,
        outdated: false,
        units: {},
        doors: [],
        jobs: [],
      });
      await until(() => processesOf(deep).length === 1, 5, "more than one supervisor");
    } finally {
      await stopSupervisor(deep);
    }
    expect(processesOf(deep)).toEqual([]);
  });

  it("killed, is followed by one that settles first and never runs a singleton twice", async () => {
    const door = await freeDoor();
    const activations = join(root, "activations");
    const one = await install("shop-api-111111111111");
    const two = await install("shop-api-222222222222");
    const idle = await install("shop-api-333333333333");
    const oracle = await install(
      "shop-oracle-111111111111",
      { kind: "singleton", lock: "shop-oracle" },
      { STUBBORN: "1", ACTIVATIONS: activations },
    );
    for (const service of [one, two, idle, oracle]) await startAndWait(service);
    await host.stopUnit(idle.name);
    await host.openDoor(door);
    await host.pointDoor(door, two.backend);
    await host.rememberDoor(door, one.backend);
    await host.launch("endless", ["job", join(root, "job"), "1000"]);
    await host.ground({ packages: [], users: [] });
    writeFileSync(join(host.stateDirectory, "probe"), `${door.port}`);
    const boot = await host.bootId();

    await killSupervisor();
    expect(await ask(oracle.port)).toBe("shop-oracle-111111111111\n");
    expect(await host.bootId()).not.toBe(boot);
    const boots = readFileSync(join(host.stateDirectory, "boots"), "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(boots).toEqual([{ boot: await host.bootId(), doorAccepts: false }]);
    expect(await host.doorServes(door)).toEqual(one.backend);
    expect(await ask(door.port)).toBe("shop-api-111111111111\n");
    expect(await host.unitState(two.name)).toMatchObject({ active: "running" });
    expect(await host.unitState(idle.name)).toMatchObject({ active: "gone" });
    expect(await host.unitState(oracle.name)).toMatchObject({ active: "gone" });
    expect(await ask(oracle.port)).toBe("");
    expect(await host.launched("endless")).toBe(false);
    await startAndWait(oracle);
    expect(readFileSync(activations, "utf8").replace(/\d+ /g, "")).toBe("alone\nalone\n");
  });

  it("killed at any moment of a start, leaves nothing that its successor does not find", async () => {
    const activations = join(root, "activations");
    const singleton: Partial<Unit> = { kind: "singleton", lock: "shop-oracle" };
    const oracle = await install("shop-oracle-111111111111", singleton, { ACTIVATIONS: activations });
    for (const milliseconds of [0, 3, 6, 9, 12, 16]) {
      const start = host.startUnit(oracle.name).catch(() => {});
      await new Promise((resolve) => setTimeout(resolve, milliseconds));
      await killSupervisor();
      await start;
      await host.startUnit(oracle.name);
      await until(async () => (await ask(oracle.port)) !== "", 10, "the singleton does not run");
      const running = processesOf(`service.mjs ${root}`);
      expect(running).toHaveLength(1);
      await host.stopUnit(oracle.name);
    }
    expect(readFileSync(activations, "utf8")).not.toContain("TWICE");
  });

  it("ends with all it runs when it is stopped, and when its folder is removed", async () => {
    const api = await install("shop-api-111111111111");
    await startAndWait(api);
    await stopSupervisor(root);
    expect(await supervisorStatus(root)).toBeNull();
    expect(await ask(api.port)).toBe("");

    // What should run is remembered: the next call brings it back.
    expect(await host.unitState(api.name)).toMatchObject({ active: "running" });
    await until(async () => (await ask(api.port)) !== "", 5, "it does not come back");
    await killSupervisor();
    await stopSupervisor(root);
    expect(await ask(api.port)).toBe("");

    await startAndWait(api);
    rmSync(root, { recursive: true, force: true });
    await until(() => processesOf(root).length === 0, 10, "it goes on without its folder");
    expect(await ask(api.port)).toBe("");
    expect(() => chmodSync(root, 0o700)).toThrow(/ENOENT/);
  });
});

function post(port: number, path: string, body: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const sent = request({ port, path, host: "127.0.0.1", method: "POST" }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk) => chunks.push(chunk));
      response.on("end", () => resolve(Buffer.concat(chunks).toString("utf8")));
    });
    sent.on("error", reject).end(body);
  });
}

function upgrade(port: number): Promise<import("node:net").Socket> {
  return new Promise((resolve, reject) => {
    const headers = { connection: "Upgrade", upgrade: "websocket" };
    request({ port, host: "127.0.0.1", headers })
      .on("upgrade", (_response, socket) => resolve(socket))
      .on("error", reject)
      .end();
  });
}
