import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { createServer as createHttpServer, type Server as HttpServer } from "node:http";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { bake } from "../../../components/box/toolkit/bake.ts";
import { emergencyStopOf, stopBake } from "../../../components/box/toolkit/emergency-stop.ts";
import type { Host } from "../../../components/box/toolkit/host.ts";
import {
  type Policy,
  type ReleaseRecord,
  writeCutover,
  writeSecrets,
} from "../../../components/box/toolkit/records.ts";
import { podRules } from "../../../components/gates/tables.ts";
import { untouched } from "../../../components/rollout/cutover/state.ts";

/** The box's bake against a real process and something that speaks enough of PostgreSQL to answer SELECT 1. */
let folder: string;
let host: Host;
let service: HttpServer;
let database: FakeDatabase;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "switchyard-bake-"));
  await mkdir(join(folder, "systems/pod/evidence"), { recursive: true });
  service = createHttpServer((_, response) => response.end("ok"));
  await new Promise<void>((resolve) => service.listen(0, "127.0.0.1", resolve));
  database = await FakeDatabase.start();
  // Of a host the bake asks the units' state and journals, and where things are kept.
  host = {
    stateDirectory: folder,
    unitState: async () => ({ active: "running", restarts: 0, memoryBytes: 50e6 }),
    journal: async () => [],
    doorTotals: async () => null,
  } as unknown as Host;
});
afterEach(async () => {
  service.close();
  service.closeAllConnections();
  await database.stop();
  await rm(folder, { recursive: true });
});

function policy(bakeSeconds: number): Policy {
  return {
    rules: podRules,
    bakeSeconds,
    shortBakeSeconds: 1,
    scrapeSeconds: 0.2,
    healthSeconds: 5,
    probes: ["/"],
    probesPerSecond: 100,
    keptBuilds: 1,
    freeMebibytes: 1,
  };
}

async function release(postgres: boolean): Promise<ReleaseRecord> {
  const { port } = service.address() as AddressInfo;
  const manifest = {
    environment: "development" as const,
    system: "pod",
    release: "v1",
    version: "v1",
    source: { kind: "git" as const, url: "x", tag: "v1" },
    build: [],
    buildSeconds: 1,
    services: [
      {
        name: "api",
        kind: "serving" as const,
        command: ["api"],
        environment: {},
        secrets: {},
        health: "/health",
        door: port,
        drainSeconds: 1,
        stopSeconds: 1,
      },
    ],
    checks: postgres ? { postgres: "DATABASE_URL" } : {},
  };
  const record: ReleaseRecord = {
    fingerprint: "0123456789ab",
    colour: "blue",
    manifest,
    receipt: "r1",
    ports: { api: port },
    done: {},
  };
  await mkdir(join(folder, "systems/pod/releases/0123456789ab"), { recursive: true });
  await writeSecrets(host, record, {
    DATABASE_URL: `postgresql://pod:pa55word@127.0.0.1:${database.port}/pod`,
  });
  return record;
}

describe("the bake of a release with a database", () => {
  it("asks it at every scrape, over a connection of its own, and holds while it answers", async () => {
    expect(await bake(host, await release(true), policy(2), false)).toBeNull();
    expect(database.sessions).toBeGreaterThan(1);
  });

  it("ends when the database is gone for two looks in a row (POD-8)", async () => {
    const baking = bake(host, await release(true), policy(30), false);
    await expect.poll(() => database.sessions, { timeout: 10_000 }).toBeGreaterThan(2);
    await database.stop();
    const finding = await baking;
    expect(finding).toMatchObject({
      rule: "databaseFailures > 1 in a row",
      measured: "2 in a row (api)",
      allowed: "≤ 1 in a row",
    });
    expect(JSON.stringify(await finding?.explain?.())).not.toContain("pa55word");
  });

  it("is judged without a database where the release has none", async () => {
    expect(await bake(host, await release(false), policy(2), false)).toBeNull();
    expect(database.sessions).toBe(0);
  });
});

it("a front door that leads elsewhere ends the bake, whatever the release shows", async () => {
  const astray = { rule: "doors", measured: "the front door pod-api-1 serves v0, not v1", allowed: "v1" };
  expect(await bake(host, await release(false), policy(10), false, async () => astray)).toMatchObject(astray);
});

describe("the emergency stop (TRD-6)", () => {
  const pending = { from: null, to: "0123456789ab", receipt: "r7", startedAt: "2026-01-01T00:00:00Z" };
  const stop = { by: "ann", reason: "wrong prices" };

  it("ends the bake that runs", async () => {
    await writeCutover(host, "pod", { ...untouched, pending });
    const baking = bake(host, await release(false), policy(60), false);
    await stopBake(host, "pod", stop);
    expect(await baking).toMatchObject({ rule: "emergencyStop", measured: "wrong prices (ann)" });
  });

  it("is good for that cutover and no later one", async () => {
    await writeCutover(host, "pod", { ...untouched, pending });
    await stopBake(host, "pod", stop);
    expect(await (await emergencyStopOf(host, "pod"))()).toEqual(stop);
    await writeCutover(host, "pod", { ...untouched, pending: { ...pending, receipt: "r8" } });
    expect(await (await emergencyStopOf(host, "pod"))()).toBeNull();
  });

  it("where nothing bakes says what does what is wanted", async () => {
    await writeCutover(host, "pod", untouched);
    await expect(stopBake(host, "pod", stop)).rejects.toThrow(
      "nothing of pod bakes at this moment: `switchyard flip pod` leaves a confirmed release",
    );
  });
});

/** Lets everybody in and answers every statement with nothing. */
class FakeDatabase {
  sessions = 0;
  readonly port: number;
  private readonly server: Server;
  private readonly sockets = new Set<Socket>();

  private constructor(server: Server) {
    this.server = server;
    this.port = (server.address() as AddressInfo).port;
    server.on("connection", (socket) => {
      this.sockets.add(socket);
      socket.on("error", () => {});
      socket.once("data", () => {
        this.sessions += 1;
        socket.write(Buffer.concat([message("R", "\0\0\0\0"), message("Z", "I")]));
        socket.on("data", (asked) => {
          if (asked[0] === 0x51) socket.write(Buffer.concat([message("C", "SELECT 0\0"), message("Z", "I")]));
        });
      });
    });
  }

  static async start(): Promise<FakeDatabase> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new FakeDatabase(server);
  }

  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    if (this.server.listening) await new Promise((resolve) => this.server.close(resolve));
  }
}

function message(kind: string, body: string): Buffer {
  const length = Buffer.alloc(4);
  length.writeInt32BE(4 + Buffer.byteLength(body));
  return Buffer.concat([Buffer.from(kind), length, Buffer.from(body)]);
}
