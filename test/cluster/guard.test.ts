import { afterAll, beforeAll, expect, it } from "vitest";
import type { Ended } from "../support/checkout.ts";
import { type Cluster, startCluster } from "../support/cluster/cluster.ts";
import { exampleImages } from "../support/cluster/example.ts";
import { overcommit } from "../support/cluster/overcommit.ts";
import { describeOnCluster } from "../support/cluster/suite.ts";
import { reasonNoVendors, Staging } from "./guard/staging.ts";

/**
 * The release that serves cannot be deleted: every way that the engine offers is tried on TRAIDER's staging stack, with
 * the vendors' plugins, against a real API server. After each the same objects are there and the same release answers.
 */
const reason = await reasonNoVendors();

let cluster: Cluster;
let staging: Staging;
let before: string[];

/** The update failed, said why, and nothing of v1 has changed. */
async function expectNothingDeleted({ code, output }: Ended, ...why: readonly RegExp[]): Promise<void> {
  expect(code, output).not.toBe(0);
  for (const pattern of why) expect(output).toMatch(pattern);
  expect(await staging.serving("v1")).toEqual(before);
  expect(await staging.answers()).toEqual(["v1", "v1"]);
}

async function expectDone(ended: Promise<Ended>): Promise<void> {
  const { code, output } = await ended;
  expect(code, output).toBe(0);
}

describeOnCluster(
  "the release that serves",
  () => {
    beforeAll(async () => {
      cluster = await startCluster();
      const images = await exampleImages(cluster, ["v1", "v2", "never-healthy"]);
      await overcommit(cluster);
      staging = await Staging.create(cluster, images);
      staging.pin({ live: "v1", kept: [] });
      await expectDone(staging.up());
      before = await staging.serving("v1");
      expect(await staging.answers()).toEqual(["v1", "v1"]);
    }, 600_000);
    afterAll(async () => {
      staging?.remove();
      await cluster?.stop();
    }, 60_000);

    it("stays when its Service is to be replaced: the engine is refused", async () => {
      const service = await staging.urn(/^traider-cluster-service-backend$/);
      await expectNothingDeleted(await staging.up("--replace", service), /protect/);
    });

    it("stays when the pins name nothing: leaving traffic is not armed", async () => {
      staging.pin({ kept: [] });
      await expectNothingDeleted(await staging.up("--continue-on-error"), /destroying it is not armed/);
    });

    it("stays when the pins have dropped it for a release that does not pass its gates", async () => {
      staging.pin({ live: "never-healthy", kept: [] });
      await expectNothingDeleted(
        await staging.up("--continue-on-error"),
        /gate of traider never-healthy: (backend|frontend) is ready within \d+ s/,
      );
    });

    it("stays when its Deployment is the target of a destroy", async () => {
      staging.pin({ live: "v1", kept: [] });
      const deployment = await staging.urn(/^traider-v1-[0-9a-f]{12}-deployment-backend$/);
      const target = ["--target", deployment];
      await expectNothingDeleted(await staging.destroy(...target), /depends on|dependent/i);
      await expectNothingDeleted(
        await staging.destroy(...target, "--target-dependents"),
        /destroying it is not armed/,
      );
    });

    it("stays when the cutover is not even in the state: its guard asks the Services", async () => {
      await expectDone(staging.forget(await staging.urn(/^traider-cutover$/)));
      const guard = await staging.urn(/^traider-v1-[0-9a-f]{12}-guard$/);
      await expectNothingDeleted(
        await staging.destroy("--target", guard, "--target-dependents"),
        /traider v1 \([0-9a-f]{12}\) serves and is not deleted: it is confirmed; Service traider-backend, Service traider-frontend leads? to it/,
      );
    });

    it("stays when a heal fails and is tried again, also around the cutover", async () => {
      staging.pin({ live: "v2", kept: ["v1"] });
      await expectDone(staging.up());
      expect(await staging.answers()).toEqual(["v2", "v2"]);
      await expectDone(staging.flip("v1"));
      // An old file: it says that v2 serves, and does not know v1 any more.
      staging.pin({ live: "v2", kept: [] });
      const left = /a release that a flip has left does not come back by itself/;
      await expectNothingDeleted(await staging.up("--continue-on-error"), left);
      await expectNothingDeleted(await staging.up("--continue-on-error"), left);
      const cutover = await staging.urn(/^traider-cutover$/);
      await expectNothingDeleted(
        await staging.up("--continue-on-error", "--exclude", cutover),
        /traider v1 \([0-9a-f]{12}\) serves and is not deleted/,
      );
    });
  },
  reason,
);
