import { afterAll, beforeAll, expect, it } from "vitest";
import { workloadName } from "../../components/cluster/names.ts";
import { type Cluster, startCluster } from "../support/cluster/cluster.ts";
import { exampleImages } from "../support/cluster/example.ts";
import { describeOnCluster } from "../support/cluster/suite.ts";
import { reasonNoVendors } from "./guard/staging.ts";
import { byHand, releaseOf } from "./traider/by-hand.ts";
import type { Deployer, Pin } from "./traider/deployer.ts";
import { makeWorld, type World } from "./traider/world.ts";

/**
 * What guard.test.ts shows with the engine, where the vendors' plugins are not on the machine: the program's own verbs,
 * which the engine's steps run, over objects applied by hand.
 */
const vendors = (await reasonNoVendors()) === null;
const lacking = vendors ? "guard.test.ts tries the engine itself here" : null;

const v1: Pin = { name: "v1", tag: "v1", colour: "blue" };
const sick: Pin = { name: "v2", tag: "never-healthy", colour: "green" };

let cluster: Cluster;
let world: World;
let deployer: Deployer;
let fingerprint: string;
let before: readonly (string | undefined)[];

async function workloads(): Promise<(string | undefined)[]> {
  const named = [
    ["Deployment", "backend"],
    ["Deployment", "frontend"],
    ["StatefulSet", "worker"],
  ] as const;
  const found = named.map(([kind, service]) =>
    world.api.find(kind, workloadName("traider", service, fingerprint)),
  );
  return (await Promise.all(found)).map((object) => object?.metadata.uid);
}

/** What the engine's step asks before it deletes anything of v1. */
async function expectGuarded(why: string): Promise<void> {
  const { code, stderr } = await world.verb(["guard", "traider", "v1", fingerprint], {});
  expect(code).toBe(1);
  expect(stderr).toContain(`traider v1 (${fingerprint}) serves and is not deleted: ${why}`);
  expect(await workloads()).toEqual(before);
}

describeOnCluster(
  "the release that serves, by the program's own verbs over objects applied by hand",
  () => {
    beforeAll(async () => {
      cluster = await startCluster();
      world = await makeWorld(cluster, await exampleImages(cluster, ["v1", "never-healthy"]));
      deployer = byHand(world);
      fingerprint = releaseOf(world, v1).fingerprint;
      expect(await deployer.deploy({ live: v1, kept: [] })).toEqual({ ok: true, said: "" });
      before = await workloads();
    }, 600_000);
    afterAll(() => cluster?.stop(), 60_000);

    it("is not deleted while it is confirmed and the Services lead to it", async () => {
      expect(before).not.toContain(undefined);
      await expectGuarded("it is confirmed; Service traider-backend, Service traider-frontend leads to it");
    });

    it("is not deleted after its Service was replaced, and the next update leads that one to it", async () => {
      await world.api.remove("Service", "traider-backend");
      await expectGuarded("it is confirmed; Service traider-frontend leads to it");
      expect(await deployer.deploy({ live: v1, kept: [] })).toEqual({ ok: true, said: "" });
      await expectGuarded("it is confirmed; Service traider-backend, Service traider-frontend leads to it");
    });

    it("is not deleted by pins that have dropped it for one that fails, also when these are tried again", async () => {
      for (const _ of ["first", "again"]) {
        const failed = await deployer.deploy({ live: sick, kept: [] });
        expect(failed.said).toMatch(/gate of traider v2: (backend|frontend) is ready within \d+ s/);
        await expectGuarded("it is confirmed");
      }
    });
  },
  lacking,
);
