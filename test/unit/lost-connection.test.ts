import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { boxDriver } from "../../components/box/driver.ts";
import { keepalive } from "../../components/box/location.ts";
import { type Asked, phaseFile } from "../../components/box/toolkit/cutover-files.ts";
import { libpqAlive } from "../../components/box/toolkit/database.ts";
import { readJson } from "../../components/box/toolkit/durable.ts";
import { stopBake } from "../../components/box/toolkit/emergency-stop.ts";
import { LocalHost, stopSupervisor } from "../../components/box/toolkit/local-host.ts";
import { type Policy, readCutover, writeCutover, writePolicy } from "../../components/box/toolkit/records.ts";
import { boot } from "../../components/box/toolkit/verbs/boot.ts";
import { attempt } from "../../components/box/toolkit/verbs/cutover.ts";
import { gates } from "../../components/box/toolkit/verbs/gates.ts";
import { observe } from "../../components/box/toolkit/verbs/observe.ts";
import { place as placeRelease } from "../../components/box/toolkit/verbs/place.ts";
import { preflight } from "../../components/box/toolkit/verbs/preflight.ts";
import { podRules } from "../../components/gates/tables.ts";
import { UnreachableError } from "../../components/rollout/leg.ts";
import { cutOverLegs, LegFailure } from "../../components/rollout/legs/cutover.ts";
import type { PlacedRelease } from "../../components/rollout/manifest.ts";
import { redialing } from "../../components/rollout/redial.ts";
import { Cable } from "../engine/command-plugin/sshd.ts";
import { until } from "../support/box/processes.ts";
import { freePort } from "../support/free-port.ts";
import { ToolkitServer } from "../support/ssh/toolkit-server.ts";

vi.setConfig({ testTimeout: 240_000, hookTimeout: 240_000 });

/**
 * A system over two legs, both on real toolkits over SSH: `shop-api`, the provider, through a cable that can be cut so
 * that nobody is told (a NAT that has forgotten the connection), and `shop-web`, its consumer.
 */

/** Seconds in the place of tens of seconds. */
const quick = { keepalive: { seconds: 0.5, unanswered: 3 }, redialing: { seconds: 20, pauseSeconds: 0.2 } };

const policy: Policy = {
  rules: podRules,
  bakeSeconds: 1,
  shortBakeSeconds: 1,
  scrapeSeconds: 0.2,
  healthSeconds: 15,
  probes: ["/"],
  probesPerSecond: 50,
  keptBuilds: 1,
  freeMebibytes: 1,
};

let root: string;
let host: LocalHost;
let server: ToolkitServer;
let cable: Cable;
const doors: Record<string, number> = {};
const systems = ["shop-api", "shop-web"] as const;
type System = (typeof systems)[number];

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "switchyard-lost-"));
  vi.stubEnv("SSH_AUTH_SOCK", join(root, "no-agent"));
  const toolkit = join(import.meta.dirname, "../../components/box/toolkit/main.ts");
  host = new LocalHost({ root, toolkit: [process.execPath, toolkit] });
  server = await ToolkitServer.start(root);
  cable = await Cable.to(server.port);
  for (const system of systems) {
    doors[system] = await freePort();
    await bakesFor(system, 1);
    await place(system, "v1", "111111111111");
    await place(system, "v2", "222222222222");
  }
  await cutOverLegs(legs(), { to: "111111111111", receipt: "r1" });
});
beforeEach(() => {
  server.asked.length = 0;
});
afterEach(async () => {
  await cable.remove();
  cable = await Cable.to(server.port);
});
afterAll(async () => {
  await cable?.remove();
  await server?.stop();
  await stopSupervisor(root);
  rmSync(root, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
});

const over = (port: number) => ({ host: "127.0.0.1", port, user: "root" });

/** The provider's box by the cable, the consumer's without one. */
const legs = () =>
  systems.map((name) => {
    const location = over(name === "shop-api" ? cable.port : server.port);
    return { name, driver: boxDriver({ kind: "box", system: name, location }, quick) };
  });

const bakesFor = (system: System, bakeSeconds: number) =>
  writePolicy(host, system, { ...policy, bakeSeconds });

async function place(system: System, release: string, fingerprint: string): Promise<void> {
  const placed: PlacedRelease = {
    fingerprint,
    colour: "blue",
    manifest: {
      ...{ environment: "development", system, release, version: release, source: { kind: "images" } },
      ...{ build: [], buildSeconds: 10, checks: {} },
      services: [
        {
          ...{ name: "main", kind: "serving", environment: {}, secrets: {}, health: "/" },
          command: [process.execPath, join(import.meta.dirname, "../support/hosts/service.mjs")],
          ...{ door: doors[system] ?? 0, drainSeconds: 1, stopSeconds: 1 },
        },
      ],
    },
  };
  await preflight(host, { ...placed, receipt: "r1", secrets: {} });
  await placeRelease(host, system, fingerprint);
  await gates(host, system, fingerprint);
}

/** What each leg confirms, with the receipt of the update that brought it. */
const agreed = () =>
  Promise.all(
    systems.map(async (system) => {
      const { confirmed, receipt, pending } = await readCutover(host, system);
      return `${system} ${confirmed} ${receipt} ${pending ? "pending" : "settled"}`;
    }),
  );

const baking = (system: System) =>
  until(async () => (await readCutover(host, system)).pending !== null, 60, `${system} does not bake`);

/** What the last baker went through. */
async function stepsOf(system: System): Promise<string[]> {
  const phase = await readJson<{ steps: { step: string }[] }>(phaseFile(host, system));
  return phase?.steps.map(({ step }) => step) ?? [];
}

const attempts = () => server.asked.filter((command) => command.includes("attempt shop-api"));

describe("a connection that is dropped without a word in the middle of a cutover over two legs", () => {
  it("is ended, dialled again, and the verdict is read: both legs have the new release", async () => {
    await bakesFor("shop-api", 5);
    const moved = cutOverLegs(legs(), { to: "222222222222", receipt: "r2" });
    await baking("shop-api");
    cable.cut();
    await moved;
    expect(await agreed()).toEqual(["shop-api 222222222222 r2 settled", "shop-web 222222222222 r2 settled"]);
    expect(attempts().length).toBeGreaterThan(1);
    // Asked for a second time it was watched, not run: the last baker is the one that moved traffic.
    expect((await stepsOf("shop-api")).filter((step) => step === "switch")).toEqual(["switch"]);
  });

  it("also a verdict that fell meanwhile: taken back on the first leg, the second one never moved", async () => {
    await bakesFor("shop-api", 30);
    await place("shop-api", "v3", "333333333333");
    await place("shop-web", "v3", "333333333333");
    const moved = cutOverLegs(legs(), { to: "333333333333", receipt: "r3" }).catch((error: unknown) => error);
    await baking("shop-api");
    cable.cut();
    await stopBake(host, "shop-api", { by: "a test", reason: "wrong prices" });
    const fall = await moved;
    expect(fall).toBeInstanceOf(LegFailure);
    expect((fall as Error).message).toContain("shop-api: v3 did not hold (bake): emergencyStop");
    expect((fall as Error).message).toContain("measured: wrong prices (a test)");
    expect(await agreed()).toEqual(["shop-api 222222222222 r2 settled", "shop-web 222222222222 r2 settled"]);
    expect(attempts().length).toBeGreaterThan(1);
  });

  it("where nobody answers any more it ends in seconds, and says that the box goes on by itself", async () => {
    await bakesFor("shop-api", 5);
    const impatient = { ...quick, redialing: { seconds: 1, pauseSeconds: 0.2 } };
    const gone = boxDriver({ kind: "box", system: "shop-api", location: over(cable.port) }, impatient);
    const moved = gone.cutOver({ to: "333333333333", receipt: "r4" }).catch((error: unknown) => error);
    await baking("shop-api");
    const { port } = cable;
    await cable.remove();
    const error = await moved;
    expect(error).toBeInstanceOf(UnreachableError);
    expect((error as Error).message).toContain(
      `the box root@127.0.0.1:${port} cannot be reached: it has not answered again for 1 s`,
    );
    expect((error as Error).message).toContain("what was begun there comes to its end by itself");
    await until(
      async () => (await readCutover(host, "shop-api")).confirmed === "333333333333",
      60,
      "the cutover has not ended",
    );
  });
});

describe("a cutover that is asked for again", () => {
  /** Asks for it as the box's own toolkit does when it is asked over SSH. */
  const ask = (request: Asked) => attempt(host, "shop-web", request);
  const confirmed = async () => (await readCutover(host, "shop-web")).confirmed;

  it("gives the verdict that it had, and moves nothing", async () => {
    const request = { to: "222222222222", receipt: "r5", attempt: "one" };
    expect(await ask(request)).toEqual({ held: true });
    expect(await ask({ to: "111111111111", receipt: "r6" })).toEqual({ held: true });
    expect(await ask(request)).toEqual({ held: true });
    expect(await confirmed()).toBe("111111111111");
  });

  it("is run once where it comes three times at one moment", async () => {
    const request = { to: "222222222222", receipt: "r7", attempt: "three" };
    expect(await Promise.all([1, 2, 3].map(() => ask(request)))).toEqual([
      { held: true },
      { held: true },
      { held: true },
    ]);
    expect(await confirmed()).toBe("222222222222");
    expect(await stepsOf("shop-web")).toContain("confirm");
  });

  it("after a reboot is told of it, and begins nothing anew", async () => {
    const request = { to: "111111111111", receipt: "r8", attempt: "before the reboot" };
    const folder = join(root, "state/systems/shop-web");
    writeFileSync(
      join(folder, "cutover-request-before the reboot.json"),
      JSON.stringify({ ...request, spent: true }),
    );
    await writeCutover(host, "shop-web", {
      ...(await readCutover(host, "shop-web")),
      pending: { from: "222222222222", to: "111111111111", receipt: "r8", startedAt: "t" },
    });
    await boot(host);
    expect(await ask(request)).toMatchObject({ held: false, failure: { step: "reboot", release: "v1" } });
    expect(await confirmed()).toBe("222222222222");
  });

  it("leaves no request behind", () => {
    for (const system of systems) {
      const files = readdirSync(join(root, "state/systems", system));
      expect(files.filter((name) => name.startsWith("cutover-request-"))).toEqual([]);
    }
  });
});

it("a box over SSH is asked every 10 s whether it is there; after three silences it is dialled anew, for 5 minutes", () => {
  expect(keepalive).toEqual({ seconds: 10, unanswered: 3 });
  expect(redialing).toEqual({ seconds: 300, pauseSeconds: 2 });
});

it("a program of PostgreSQL's notices within 40 s that its server is gone", () => {
  expect(libpqAlive).toBe(
    "--dbname=keepalives_idle=10 keepalives_interval=10 keepalives_count=3 tcp_user_timeout=40000",
  );
});

it("a box says how long a cutover on it may take: its bake, its patience and all around it", async () => {
  await bakesFor("shop-web", 7200);
  // Health 4 × 15, leaving 2 × 2, checks from outside 120, bake 7200 + 600 + 60, taking back 720.
  expect((await observe(host)).systems["shop-web"]?.longestCutover).toBe(8_764);
});
