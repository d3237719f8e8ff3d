import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { BoxTarget } from "../../components/box/toolkit/box-target.ts";
import type { Backend, Door, Host } from "../../components/box/toolkit/host.ts";
import { type WindowStep, windowSteps } from "../../components/box/toolkit/maintenance.ts";
import {
  type Policy,
  readCutover,
  writeCutover,
  writePolicy,
  writeRelease,
} from "../../components/box/toolkit/records.ts";
import { cutOver, resolve, withdraw } from "../../components/rollout/cutover/machine.ts";
import { untouched } from "../../components/rollout/cutover/state.ts";
import type { ReleaseManifest } from "../../components/rollout/manifest.ts";
import { deiaSchema } from "../../stacks/deia.config.ts";
import { deiaManifest } from "../../stacks/deia.ts";

/**
 * The window's order, and its ends, by the one state machine against a recorded host (DEI-2, DEI-3); the processes are
 * servers of this test. On a real box: test/box/deia-window.test.ts.
 */

let root: string;
let host: RecordedHost;
beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), "deia-window-"));
  host = new RecordedHost(root);
  for (const name of ["v1", "v2"]) await host.add(name);
  await writePolicy(host.asHost(), "deia", { healthSeconds: 0.5 } as Policy);
  await writeCutover(host.asHost(), "deia", { ...untouched, confirmed: "v1" });
  host.active.add("v1");
  host.serves = { fingerprint: "v1", port: host.ports.v1 ?? 0 };
});
afterEach(async () => {
  await host.close();
  rmSync(root, { recursive: true, force: true });
});

const flip = { by: "Ada", reason: "no bake" };

function run(atStep: (step: WindowStep) => Promise<void> = async () => {}) {
  return cutOver(new BoxTarget(host.asHost(), "deia", { atStep }), { to: "v2", receipt: "r1", flip });
}

describe("going forward", () => {
  it("flag, drain, doors shut, old gone, new started, health, flag off, smoke test, doors open", async () => {
    const steps: string[] = [];
    const outcome = await run(async (step) => {
      steps.push(step);
    });
    expect(outcome).toEqual({ held: true });
    expect(steps).toEqual([...windowSteps]);
    expect(host.log).toEqual([
      "v1 GET /health (flag)",
      "door to nothing (flag)",
      "in flight drained (flag)",
      "stop v1 (flag)",
      "start v2 (flag)",
      // Until it is healthy, and then what it says.
      "v2 GET /health (flag)",
      "v2 GET /health (flag)",
      "v2 GET /health/db (flag)",
      "v2 POST /api/bot/launch",
      "door to v2",
      // The machine's own, after confirming.
      "in flight drained",
    ]);
  });

  it("a release that has served a whole bake is not listened to for its first seconds again", async () => {
    host.manifests.v2 = withJournal(60);
    await host.write("v2");
    await writeCutover(host.asHost(), "deia", { ...untouched, confirmed: "v1", baked: ["v2"] });
    expect(await run()).toEqual({ held: true });
  });

  it.each([
    [
      "too many stay in flight",
      { v1: { active: 9 } },
      "controller of v1 drains within 0.3 s of its flag",
      "9 active",
    ],
    [
      "it never says how many are",
      { v1: { active: undefined } },
      "drains within",
      "no active_connections in the JSON",
    ],
    ["it is sick", { v2: { status: "starting" } }, 'says "healthy" on /health', '"starting"'],
    ["its database is slow", { v2: { milliseconds: 80 } }, "reaches its database (/health/db)", "80 ms"],
    ["its smoke test fails", { v2: { smoke: 500 } }, "smoke test, POST /api/bot/launch", "500"],
    ["it logs an error", { v2: { journal: ["TypeError: no bots"] } }, "logs no error", "TypeError: no bots"],
  ])("%s: the old one is back, the flag is gone", async (_what, behave, rule, measured) => {
    host.manifests.v2 = withJournal(0.1);
    await host.write("v2");
    host.behave(behave);
    const outcome = await run();
    expect(outcome).toMatchObject({ held: false, failure: { release: "v2", step: "switch" } });
    if (outcome.held) return;
    expect(outcome.failure.rule).toContain(rule);
    expect(outcome.failure.measured).toContain(measured);
    host.expectBackOn("v1");
    expect(host.log.some((line) => line.startsWith("door to v2"))).toBe(false);
  });

  it("what could not drain was never stopped", async () => {
    host.behave({ v1: { active: 9 } });
    await run();
    expect(host.log.filter((line) => /^(stop|start|door)/.test(line))).toEqual([
      "door to v1",
      "stop v2",
      "door to v1",
    ]);
  });

  it("what cannot be started: the old one is back", async () => {
    host.behave({ v2: { startFails: true } });
    expect(await run()).toMatchObject({ held: false, failure: { measured: "v2 does not start" } });
    host.expectBackOn("v1");
  });

  it("a dead old release is no reason to wait", async () => {
    await host.kill("v1");
    expect(await run()).toEqual({ held: true });
    host.expectBackOn("v2");
  });
});

describe("checked from outside once the door is open", () => {
  // The door's own port belongs to nobody here: what is asked is the release itself.
  const outside = (url: string): Policy =>
    ({
      healthSeconds: 0.5,
      outside: [
        {
          ...{ kind: "rises", name: "requests are counted again", counter: "http_requests_total" },
          ...{ metrics: `${url}/metrics`, request: `${url}/` },
        },
      ],
    }) as unknown as Policy;

  it("a counter that does not rise takes it back, and is named", async () => {
    const url = `http://127.0.0.1:${host.ports.v2}`;
    await writePolicy(host.asHost(), "deia", outside(url));
    const outcome = await cutOver(new BoxTarget(host.asHost(), "deia"), { to: "v2", receipt: "r1" });
    expect(outcome).toMatchObject({
      held: false,
      failure: {
        step: "verify",
        rule: `requests are counted again: GET ${url}/metrics`,
        measured: "0, and 0 after a request",
      },
    });
    host.expectBackOn("v1");
  });

  it("a flip is not asked: it has to work when little else does", async () => {
    await writePolicy(host.asHost(), "deia", outside("http://127.0.0.1:1"));
    expect(await run()).toEqual({ held: true });
  });
});

describe("the front door is asked whom it serves before a release is confirmed", () => {
  const confirming = (atConfirm: () => void) =>
    cutOver(new BoxTarget(host.asHost(), "deia"), { to: "v2", receipt: "r1", flip }, (step) => {
      if (step === "confirm") atConfirm();
    });

  it("one that was started again serves the old one: taken back, and said so", async () => {
    const outcome = await confirming(() => {
      host.serves = { fingerprint: "v1", port: host.ports.v1 ?? 0 };
    });
    expect(outcome).toMatchObject({
      held: false,
      failure: {
        step: "confirm",
        measured: "the front door deia-controller-8000 serves v1, not v2",
        allowed: "v2",
      },
    });
    host.expectBackOn("v1");
  });

  it("one that is just being started is asked again", async () => {
    let refusals = 0;
    host.beforeDoorAnswers = () => {
      if (refusals-- > 0) throw new Error("no front door answers");
    };
    const outcome = await confirming(() => {
      refusals = 3;
    });
    expect(outcome).toEqual({ held: true });
  });

  it("one that never answers is a finding, once its patience is over", async () => {
    let dead = false;
    host.beforeDoorAnswers = () => {
      if (dead) throw new Error("no front door answers");
    };
    const asked = new BoxTarget(host.asHost(), "deia");
    expect(await asked.lookAtDoors("v1")).toBeNull();
    dead = true;
    expect(await asked.lookAtDoors("v1")).toMatchObject({
      measured: "the front door deia-controller-8000 gave no answer for 5 s: no front door answers",
      allowed: "v1",
    });
  }, 20_000);
});

describe.each(windowSteps)("killed before %s", (step) => {
  const killed = async () => {
    await new Promise<void>((reached) => {
      // It never goes on: that is what SIGKILL leaves, not even a finally runs.
      void run((now) => (now === step ? new Promise(() => reached()) : Promise.resolve()));
    });
  };

  it("the watchdog brings the old one back and takes the flag down", async () => {
    await killed();
    await resolve(new BoxTarget(host.asHost(), "deia"), "killed");
    host.expectBackOn("v1");
    expect(await readCutover(host.asHost(), "deia")).toMatchObject({ confirmed: "v1", pending: null });
  });

  it("a boot takes the flag down before the doors open", async () => {
    await killed();
    host.log.length = 0;
    await resolve(new BoxTarget(host.asHost(), "deia", { doorsShut: true }), "reboot");
    expect(existsSync(host.flag)).toBe(false);
    expect(host.log).toEqual(["door remembers v1"]);
  });
});

it("an old one that does not come up healthy is let back all the same, and the flag goes", async () => {
  host.behave({ v1: { code: 503, status: "unhealthy" }, v2: { smoke: 500 } });
  expect(await run()).toMatchObject({ held: false, failure: { measured: "500 {}" } });
  host.expectBackOn("v1");
});

it("one that cannot be started again leaves no flag, and says so", async () => {
  host.behave({ v1: { startFails: true }, v2: { smoke: 500 } });
  await expect(run()).rejects.toThrow("taking traffic back to v1 failed three times: v1 does not start");
  expect(existsSync(host.flag)).toBe(false);
  expect([...host.active]).toEqual([]);
});

it("withdrawn: nothing active, no flag", async () => {
  await withdraw(new BoxTarget(host.asHost(), "deia"));
  expect([existsSync(host.flag), [...host.active], host.serves]).toEqual([false, [], null]);
});

function withJournal(journalSeconds: number): ReleaseManifest {
  const manifest = manifestOf("v2");
  return manifest.maintenance
    ? { ...manifest, maintenance: { ...manifest.maintenance, journalSeconds } }
    : manifest;
}

function manifestOf(name: string): ReleaseManifest {
  const given = { box: "local", source: { git: "x" } };
  const secrets = { databaseUrl: "postgres://deia@localhost/deia" };
  const stack = {
    environment: "development",
    fingerprintKey: "k",
    deia: { ...deiaSchema.parse(given), secrets },
  };
  const manifest = deiaManifest(stack as Parameters<typeof deiaManifest>[0], name, {});
  const window = { flag: "deia/MAINTENANCE_MODE", drainBelow: 5, drainSeconds: 0.3, journalSeconds: 0 };
  return { ...manifest, maintenance: { ...manifest.maintenance, ...window } };
}

interface Behaviour {
  readonly active?: number | undefined;
  readonly status?: string;
  readonly code?: number;
  readonly milliseconds?: number;
  readonly smoke?: number;
  readonly journal?: readonly string[];
  readonly startFails?: boolean;
}

/** Two releases v1 and v2 (their names are their fingerprints), one door; writes down what is done to it. */
class RecordedHost {
  readonly log: string[] = [];
  readonly active = new Set<string>();
  readonly ports: Record<string, number> = {};
  readonly manifests: Record<string, ReleaseManifest> = {};
  serves: Backend | null = null;
  /** Called whenever the door is asked whom it serves. */
  beforeDoorAnswers: () => void = () => {};
  readonly flag: string;
  private readonly root: string;
  private readonly servers = new Map<string, Server>();
  private behaviour: Partial<Record<string, Behaviour>> = {};

  constructor(root: string) {
    this.root = root;
    this.flag = join(root, "deia/MAINTENANCE_MODE");
  }

  behave(behaviour: Partial<Record<string, Behaviour>>): void {
    this.behaviour = behaviour;
  }

  async add(name: string): Promise<void> {
    const server = createServer((request, response) => {
      this.note(`${name} ${request.method} ${request.url}`);
      const { active = 1, status = "healthy", code = 200, milliseconds = 1, smoke = 200 } = this.of(name);
      const told = "active" in this.of(name) ? this.of(name).active : active;
      const answers: Record<string, [number, object]> = {
        "/health": [code, { status, active_connections: told }],
        "/health/db": [200, { milliseconds }],
        "/metrics": [200, {}],
        "/api/bot/launch": [existsSync(this.flag) ? 503 : smoke, {}],
      };
      const [answer, body] = answers[request.url ?? ""] ?? [404, {}];
      const text = request.url === "/metrics" ? "http_requests_total 0\n" : JSON.stringify(body);
      response.writeHead(answer, { connection: "close" }).end(text);
    });
    await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
    this.servers.set(name, server);
    this.ports[name] = (server.address() as AddressInfo).port;
    this.manifests[name] = manifestOf(name);
    await this.write(name);
  }

  async write(name: string): Promise<void> {
    const manifest = this.manifests[name] ?? manifestOf(name);
    const ports = { controller: this.ports[name] ?? 0 };
    const record = { fingerprint: name, colour: "blue", manifest, receipt: "r", ports, done: {} } as const;
    await writeRelease(this.asHost(), record);
  }

  async kill(name: string): Promise<void> {
    this.active.delete(name);
    await new Promise((closed) => this.servers.get(name)?.close(closed));
  }

  async close(): Promise<void> {
    for (const server of this.servers.values()) {
      server.closeAllConnections();
      server.close();
    }
  }

  expectBackOn(name: string): void {
    expect([...this.active]).toEqual([name]);
    expect(this.serves?.fingerprint).toBe(name);
    expect(existsSync(this.flag)).toBe(false);
  }

  asHost(): Host {
    const host: Partial<Host> = {
      stateDirectory: join(this.root, "state"),
      releasesDirectory: this.root,
      startUnit: async (unit) => {
        const name = nameOf(unit);
        if (this.active.has(name)) return;
        if (this.of(name).startFails) throw new Error(`${name} does not start`);
        expect([...this.active], "two are active").toEqual([]);
        this.note(`start ${name}`);
        this.active.add(name);
      },
      stopUnit: async (unit) => {
        this.note(`stop ${nameOf(unit)}`);
        this.active.delete(nameOf(unit));
      },
      unitState: async (unit) => ({
        active: this.active.has(nameOf(unit)) ? "running" : "gone",
        restarts: 0,
        memoryBytes: 0,
      }),
      journal: async (unit) =>
        this.active.has(nameOf(unit)) ? [...(this.of(nameOf(unit)).journal ?? [])] : [],
      doorServes: async () => {
        this.beforeDoorAnswers();
        return this.serves;
      },
      pointDoor: async (_door: Door, backend) => {
        if (backend?.fingerprint !== this.serves?.fingerprint || backend) {
          this.note(`door to ${backend?.fingerprint ?? "nothing"}`);
        }
        this.serves = backend;
      },
      drainDoor: async () => this.note("in flight drained"),
      rememberDoor: async (_door, backend) => {
        if (!this.serves || this.log.length === 0)
          this.note(`door remembers ${backend?.fingerprint ?? "nothing"}`);
      },
    };
    return host as Host;
  }

  private of(name: string): Behaviour {
    return this.behaviour[name] ?? {};
  }

  private note(event: string): void {
    this.log.push(existsSync(this.flag) ? `${event} (flag)` : event);
  }
}

function nameOf(unit: string): string {
  return unit.replace("deia-controller-", "");
}
