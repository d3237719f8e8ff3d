import { afterAll, beforeAll, expect, it } from "vitest";
import type { LiveObject } from "../../components/cluster/api.ts";
import { Memory, stateOf } from "../../components/cluster/memory.ts";
import { annotation } from "../../components/cluster/names.ts";
import { both } from "../support/both.ts";
import { until } from "../support/box/processes.ts";
import { within } from "../support/busy.ts";
import { type Cluster, startCluster } from "../support/cluster/cluster.ts";
import { exampleImages } from "../support/cluster/example.ts";
import { describeOnCluster } from "../support/cluster/suite.ts";
import type { Load } from "../support/load/load.ts";
import { startChurn } from "./traider/churn.ts";
import type { Deployer, Pin } from "./traider/deployer.ts";
import { openDeployer } from "./traider/open-deployer.ts";
import { migrationPods, readSchema, spoiled, startSchema, workloadsOf } from "./traider/schema.ts";
import { killBaker, lastOf, startTraffic } from "./traider/traffic.ts";
import { type WorkerWatch, watchWorkers } from "./traider/workers.ts";
import { makeWorld, namespace, tags, type World } from "./traider/world.ts";

/**
 * TRAIDER's runbook end to end on a real node, under load, while other Services change: four releases, four rollbacks, two
 * migrations of which one fails, one failed gate, one bad bake, one killed bake. No request fails, and traffic is where it belongs in time.
 */
const pin = (name: string, tag: (typeof tags)[number], colour: Pin["colour"]): Pin => ({ name, tag, colour });
const v1 = pin("v1", "v1", "blue");

let cluster: Cluster;
let world: World;
let deployer: Deployer;
let load: Load;
let churn: Awaited<ReturnType<typeof startChurn>>;
let workers: WorkerWatch;

/** What the switches took, for whoever runs the test. */
const figures: string[] = [];

/** Waits until `release` answers nothing any more; new and kept connections had left it in time after `at`. */
async function expectLeft(release: string, at: Date, seconds = 2, keeping = load): Promise<void> {
  const { fresh } = await lastOf(load, release, at);
  const { kept } = await lastOf(keeping, release, at);
  figures.push(`${release} left: new ${fresh} ms, kept ${kept} ms`);
  expect(fresh).toBeLessThan(within(seconds * 1000));
  expect(kept).toBeLessThan(within((seconds + 8) * 1000));
}

/** The deployment is in its bake: the release serves, and may yet be taken back. */
async function untilBaking(release: string): Promise<void> {
  const baking = async () => {
    const { phase = "{}" } = await new Memory(world.api, "traider").read();
    const { pending } = await state();
    const { known } = await world.observe();
    const serves = known.find(({ fingerprint }) => fingerprint === pending?.to)?.release === release;
    return serves && (JSON.parse(phase) as { step?: string }).step === "bake";
  };
  await until(baking, 240, `${release} does not bake`, 100);
}

/** Clients that begin later, and keep the connections that they make then. */
const holdClients = () => startTraffic(world, { newConnectionClients: 0, keepAliveClients: 4, held: true });

/**
 * A first bake that is not over before clients have come to the release, however slow the machine is: it ends when the
 * test has made the release bad. What is good is confirmed after 20 s.
 */
const untilBad = 90;

/** Connections made while `release` serves: those of everybody else may not be there yet. */
async function connectTo(release: string, late: Load): Promise<void> {
  await late.begin();
  await late.until(({ releases }) => (releases[release]?.keepAlive?.answered ?? 0) > 0, 60);
}

/** Forward and back under load, each in time. */
async function releaseAndRollBack(next: Pin, between: () => Promise<void> = async () => {}): Promise<void> {
  expect(await deployer.deploy({ live: next, kept: [v1] })).toEqual({ ok: true, said: "" });
  expect(await serving()).toEqual([next.name, next.name]);
  await expectLeft("v1", await switchedAt());
  await between();
  expect(await deployer.deploy({ live: v1, kept: [next] })).toEqual({ ok: true, said: "" });
  expect(await serving()).toEqual(["v1", "v1"]);
  await expectLeft(next.name, await switchedAt());
}

/** What the pods of a release are given, service by service. */
async function jwtSecretsOf(release: string): Promise<string[]> {
  type Secret = LiveObject & { data: { JWT_SECRET: string } };
  const secrets = await world.api.list<Secret>("Secret", `switchyard.dev/release=${release}`);
  return secrets.map(({ data }) => Buffer.from(data.JWT_SECRET, "base64").toString("utf8"));
}

/** When the last of the two Services was pointed at what it leads to now. */
async function switchedAt(): Promise<Date> {
  const doors = await world.api.list("Service", "switchyard.dev/system=traider,switchyard.dev/part=door");
  const times = doors.map(({ metadata }) => Date.parse(metadata.annotations?.[annotation.switched] ?? ""));
  return new Date(Math.max(...times));
}

async function state() {
  return stateOf(await new Memory(world.api, "traider").read());
}

async function serving(): Promise<string[]> {
  const { known, doors } = await world.observe();
  return doors.map(
    ({ fingerprint }) => known.find((one) => one.fingerprint === fingerprint)?.release ?? "nothing",
  );
}

describeOnCluster("TRAIDER on a real node", () => {
  beforeAll(async () => {
    cluster = await startCluster();
    await startSchema(cluster);
    world = await makeWorld(cluster, await exampleImages(cluster, tags));
    deployer = await openDeployer(world);
    const first = await deployer.deploy({ live: v1, kept: [] });
    if (!first.ok) throw new Error(first.said);
    churn = await startChurn(world.api);
    workers = watchWorkers(world.api);
    load = await startTraffic(world, { newConnectionClients: 8, keepAliveClients: 8 });
  }, 600_000);

  afterAll(async () => {
    await load?.stop();
    await churn?.stop();
    await workers?.stop();
    await deployer?.end();
    await cluster?.stop();
  }, 120_000);

  it.each([
    ["v2", "green"],
    ["v3", "green"],
  ] as const)("releases %s and rolls it back: both Services together, new connections within 2 s, kept ones within 10 s", async (name, colour) => {
    await releaseAndRollBack(pin(name, "v2", colour));
  });

  it("takes a new secret up as another release, beside the one with the old value, which works until its pods are gone (TRD-10)", async () => {
    await deployer.rotate("jwt-2");
    await releaseAndRollBack(pin("v1-r2", "v1", "green"), async () => {
      expect(await jwtSecretsOf("v1")).toEqual(["jwt-1", "jwt-1", "jwt-1"]);
      expect(await jwtSecretsOf("v1-r2")).toEqual(["jwt-2", "jwt-2", "jwt-2"]);
    });
  });

  it("migrates in Jobs of the node before anything of the release is placed: backup, apply, verify (TRD-5)", async () => {
    await releaseAndRollBack({ ...pin("v4", "v2", "green"), migrates: true }, async () => {
      const { backup, apply, verify, ...others } = await migrationPods(world, "v4");
      expect(others).toEqual({});
      expect([backup, apply, verify].map((step) => step?.phase)).toEqual(Array(3).fill("Succeeded"));
      const made = await workloadsOf(world, "v4");
      expect(Object.keys(made).toSorted()).toEqual(["traider-backend", "traider-frontend", "traider-worker"]);
      const moments = [backup?.started, backup?.finished, apply?.started, apply?.finished];
      const all = [...moments, verify?.started, verify?.finished, Math.min(...Object.values(made))].map(
        Number,
      );
      expect(all).toEqual(all.toSorted((a, b) => a - b));
      expect(await readSchema(cluster)).toEqual({ schema: 2, asked: ["backup v4", "apply v4", "verify v4"] });
    });
    // Going back moves traffic and no schema: what expands, the old release works with.
    expect((await readSchema(cluster)).schema).toBe(2);
  });

  it("takes a migration back that does not verify, places nothing of its release, and says where the backup is", async () => {
    const before = await state();
    const failed = await deployer.deploy({
      live: { ...pin(spoiled, "v2", "green"), migrates: true },
      kept: [v1],
    });
    expect(failed.ok).toBe(false);
    expect(failed.said).toMatch(
      new RegExp(
        `the migration of traider ${spoiled} failed \\(verify\\): 3 rows are missing\\s+It was rolled back\\. ` +
          `The backup is at: schema 2 is at /backups/${spoiled}\\. What served before still serves\\.`,
      ),
    );
    const steps = await migrationPods(world, spoiled);
    expect(Object.fromEntries(Object.entries(steps).map(([step, { phase }]) => [step, phase]))).toEqual({
      ...{ backup: "Succeeded", apply: "Succeeded", verify: "Failed", revert: "Succeeded" },
    });
    const { schema, asked } = await readSchema(cluster);
    expect(schema).toBe(2);
    expect(asked.slice(3)).toEqual(
      ["backup", "apply", "verify", "revert"].map((step) => `${step} ${spoiled}`),
    );
    expect(await workloadsOf(world, spoiled)).toEqual({});
    expect(await state()).toEqual(before);
    expect(await serving()).toEqual(["v1", "v1"]);
    expect((await load.summary()).releases[spoiled]).toBeUndefined();
  });

  it("stops at a gate that fails: no request of anybody reached the release", async () => {
    const before = await state();
    const failed = await deployer.deploy({ live: pin("v5", "never-healthy", "green"), kept: [v1] });
    expect(failed.ok).toBe(false);
    expect(failed.said).toMatch(/gate of traider v5: (backend|frontend) is ready within \d+ s/);
    expect(await state()).toEqual(before);
    expect(await serving()).toEqual(["v1", "v1"]);
    expect((await load.summary()).releases.v5).toBeUndefined();
  });

  it("takes a release that turns bad back: new connections within 2 s of the verdict, kept ones within 10 s", async () => {
    const late = await holdClients();
    // What turns it bad is asked of it: were it slow by itself, it could be gone before anybody has come to it.
    const slow = await startTraffic(
      world,
      { newConnectionClients: 100, keepAliveClients: 0, held: true },
      "/api/slow?ms=1500",
    );
    try {
      const v6 = pin("v6", "v2", "green");
      const turnBad = async () => {
        await untilBaking("v6");
        await connectTo("v6", late);
        await slow.begin();
      };
      const [failed] = await both(
        deployer.deploy({ live: v6, kept: [v1], bakeSeconds: untilBad }),
        turnBad(),
      );
      expect(failed.ok).toBe(false);
      expect(failed.said).toContain("p95 > 1000 ms");
      expect(await slow.stop()).toMatchObject({ failed: 0 });
      expect(await serving()).toEqual(["v1", "v1"]);
      const { lastFailure } = await state();
      expect(lastFailure).toMatchObject({ release: "v6", step: "bake" });
      await expectLeft("v6", new Date(lastFailure?.verdictAt ?? 0), 2, late);
      expect(await late.stop()).toMatchObject({ failed: 0 });
    } finally {
      await Promise.allSettled([late.stop(), slow.stop()]);
    }
  });

  it("takes a release back whose baker was killed, within 15 s", async () => {
    const late = await holdClients();
    try {
      const v7 = pin("v7", "v2", "green");
      const takenBack = async () => {
        await untilBaking("v7");
        await connectTo("v7", late);
        await killBaker(cluster, namespace, "traider-baker");
        const killedAt = new Date();
        await until(async () => (await state()).pending === null, 30, "traffic was never taken back", 100);
        expect(Date.now() - killedAt.getTime()).toBeLessThan(within(15_000));
        return killedAt;
      };
      const [failed, killedAt] = await both(
        deployer.deploy({ live: v7, kept: [v1], bakeSeconds: untilBad }),
        takenBack(),
      );
      expect(failed.ok).toBe(false);
      expect(failed.said).toContain("the baker lives until its verdict");
      expect(await serving()).toEqual(["v1", "v1"]);
      await expectLeft("v7", killedAt, 15 + 2, late);
      expect(await late.stop()).toMatchObject({ failed: 0 });
    } finally {
      await late.stop().catch(() => {});
    }
  });

  it("has not failed one request of 20,000 on new connections and 20,000 over kept ones", async () => {
    const { byConnection, failures, firstFailures } = await load.until(
      ({ byConnection: { new: fresh, keepAlive } }) => Math.min(fresh.total, keepAlive.total) >= 20_000,
      240,
    );
    expect({ failures, firstFailures }).toEqual({ failures: {}, firstFailures: [] });
    expect(byConnection.new.failed + byConnection.keepAlive.failed).toBe(0);
    expect(churn.changes).toBeGreaterThan(500);
    const all = [`TRAIDER under load: ${JSON.stringify(byConnection)}`, ...figures];
    process.stderr.write(`${all.join("\n  ")}\n`);
  });

  it("never had two workers at once", async () => {
    const { known, confirmed } = await world.observe();
    expect(known.length).toBeGreaterThan(1);
    await until(async () => workers.last.join() === `traider-worker-${confirmed}-0`, 30, "no worker trades");
    expect(workers.most).toBe(1);
  });
});
