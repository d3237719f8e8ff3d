import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ClusterApi, NoAnswerError } from "../../../components/cluster/api.ts";
import { bake } from "../../../components/cluster/launch.ts";
import { Memory } from "../../../components/cluster/memory.ts";
import { requestOf } from "../../../components/cluster/objects/baker.ts";
import { observeCluster } from "../../../components/cluster/observe.ts";
import { Cable } from "../../engine/command-plugin/sshd.ts";
import { type FakeCluster, ground, startFakeCluster } from "./fake-cluster.ts";
import { releaseOf } from "./releases.ts";

/** The runner's wait for a baker, over a connection that can be cut so that nobody is told. */
let cluster: FakeCluster;
let cable: Cable;
let api: ClusterApi;

beforeEach(async () => {
  cluster = await startFakeCluster();
  ground(cluster);
  cluster.place(releaseOf("v1", "111111111111"));
  await new Memory(cluster.api, "shop").make();
  cable = await Cable.to(cluster.port);
  const connection = { origin: `http://127.0.0.1:${cable.port}`, options: async () => ({}) };
  api = new ClusterApi(connection, "shop-prod", 0.5);
});
afterEach(async () => {
  await cable.remove();
  await cluster.close();
});

const work = { verb: "cutover", request: { to: "111111111111", receipt: "r1" } } as const;
const patience = { seconds: 20, pauseSeconds: 0.1 };
const start = (seconds = 20) => bake(api, "shop", work, "a test", { ...patience, seconds });
const job = () => cluster.objects.get("jobs/shop-baker");

/** What the baker of the request leaves. */
async function report(): Promise<void> {
  const id = requestOf(job() ?? {})?.id ?? "none";
  await new Memory(cluster.api, "shop").write({ report: JSON.stringify({ id, outcome: { held: true } }) });
}

describe("a cutover whose API server falls silent", () => {
  it("is asked for its verdict again, by the request's own id", async () => {
    const moved = start();
    await expect.poll(job, { timeout: 15_000 }).toBeDefined();
    cable.cut();
    await report();
    expect(await moved).toEqual({ held: true });
    expect(cluster.changes.filter((change) => change.startsWith("POST jobs"))).toHaveLength(1);
  });

  it("also where the answer to the launch itself was lost: its Job is known, and not waited for as another's", async () => {
    cluster.before = (what) => {
      if (what === "POST jobs") cable.cut();
      return undefined;
    };
    const moved = start();
    await expect.poll(job, { timeout: 15_000 }).toBeDefined();
    await report();
    expect(await moved).toEqual({ held: true });
    expect(cluster.changes.filter((change) => change.startsWith("POST jobs"))).toHaveLength(1);
  });

  it("ends without a verdict where nobody answers any more", async () => {
    const moved = start(1).catch((error: unknown) => error);
    await expect.poll(job, { timeout: 15_000 }).toBeDefined();
    await cable.remove();
    expect(await moved).toBeInstanceOf(NoAnswerError);
    cable = await Cable.to(cluster.port);
  });
});

it("a kubeconfig whose program for a token does not end is no answer", async () => {
  const options = () => new Promise<never>(() => {});
  const hanging = new ClusterApi({ origin: "https://127.0.0.1:1", options }, "shop-prod", 0.2);
  await expect(hanging.find("Job", "any")).rejects.toThrow(
    "https://127.0.0.1:1: its credentials: no answer within 0.2 s",
  );
});

it("a cluster says how long a cutover on it may take: its bake, its patience and all around it", async () => {
  // Health 4 × 3, leaving 2 × 25, checks from outside 120, bake 2 + 10 + 60, taking back 720.
  expect((await observeCluster(cluster.api, "shop")).longestCutover).toBe(974);
});
