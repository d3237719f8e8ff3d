import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ClusterTarget } from "../../../components/cluster/baker/target.ts";
import { Memory } from "../../../components/cluster/memory.ts";
import { placedReleases, releaseOf as readRelease } from "../../../components/cluster/observe.ts";
import type { ClusterPolicy } from "../../../components/cluster/policy.ts";
import { cutOver, resolve, withdraw } from "../../../components/rollout/cutover/machine.ts";
import { type FakeCluster, ground, startFakeCluster } from "./fake-cluster.ts";
import { policy, releaseOf } from "./releases.ts";

let cluster: FakeCluster;
beforeEach(async () => {
  cluster = await startFakeCluster();
  ground(cluster);
  cluster.place(releaseOf("v1", "111111111111"));
  cluster.place(releaseOf("v2", "222222222222", "green"));
  await new Memory(cluster.api, "shop").make();
  cluster.changes.length = 0;
});
afterEach(() => cluster.close());

/** The target with the bake's verdict given: what it watches is the bake's own test. */
function target(verdict: "good" | "bad" = "good", more: Partial<ClusterPolicy> = {}): ClusterTarget {
  const records = [...cluster.objects.values()].filter(
    ({ metadata }) => metadata.labels?.["switchyard.dev/part"] === "record",
  );
  const releases = records.map((record) => readRelease(record as never));
  const made = new ClusterTarget({
    api: cluster.api,
    memory: new Memory(cluster.api, "shop"),
    system: "shop",
    releases,
    policy: { ...policy, ...more },
    stop: () => null,
  });
  const finding = { rule: "errorRate > 5 %", measured: "9 %", allowed: "≤ 5 %" };
  made.bake = async () => (verdict === "good" ? null : finding);
  return made;
}

const flip = { by: "test", reason: "no bake needed" };
const request = (to: string) => ({ to, receipt: `r-${to}` });
const leads = (service: string) => {
  const { selector } = cluster.objects.get(`services/shop-${service}`)?.spec as {
    selector: Record<string, string>;
  };
  return selector["switchyard.dev/fingerprint"];
};
const replicas = (workload: string) =>
  cluster.objects.get(`${workload.includes("worker") ? "statefulsets" : "deployments"}/shop-${workload}`)
    ?.spec?.replicas;
/** Changes that move something: state and Lease apart. */
const moves = () => cluster.changes.filter((change) => !/configmaps|leases/.test(change));

describe("a cutover on a cluster", () => {
  it("points both Services one right after the other, once the old singleton has gone and before the new one starts", async () => {
    expect(await cutOver(target(), request("111111111111"))).toEqual({ held: true });
    cluster.changes.length = 0;
    expect(await cutOver(target(), request("222222222222"))).toEqual({ held: true });
    const order = moves();
    const at = (what: string) => order.indexOf(what);
    expect(at("PATCH services/shop-web")).toBe(at("PATCH services/shop-api") + 1);
    expect(at("PATCH statefulsets/shop-worker-111111111111")).toBeLessThan(at("PATCH services/shop-api"));
    expect(at("PATCH services/shop-web")).toBeLessThan(at("PATCH statefulsets/shop-worker-222222222222"));
    expect([leads("api"), leads("web")]).toEqual(["222222222222", "222222222222"]);
    expect([replicas("worker-111111111111"), replicas("worker-222222222222")]).toEqual([0, 1]);
  });

  it("ends connections that were kept to the release it leaves, by pods in the place of its pods", async () => {
    await cutOver(target(), request("111111111111"));
    await cutOver(target(), request("222222222222"));
    const template = JSON.stringify(cluster.objects.get("deployments/shop-api-111111111111")?.spec?.template);
    expect(template).toContain("switchyard.dev/replaced");
    expect(replicas("api-111111111111")).toBe(2);
    expect(JSON.stringify(cluster.objects.get("deployments/shop-api-222222222222"))).not.toContain(
      "replaced",
    );
  });

  it("is kept by no release that has a record and nothing that runs, as when its migration failed", async () => {
    cluster.place(releaseOf("v3", "333333333333"));
    for (const path of cluster.objects.keys()) {
      if (/^(deployments|statefulsets)\/shop-\w+-333333333333$/.test(path)) cluster.objects.delete(path);
    }
    const placed = await placedReleases(cluster.api, "shop");
    expect(placed.map(({ manifest }) => manifest.release)).toEqual(["v1", "v2"]);
    // Whoever was told of it all the same is not kept either.
    expect(await cutOver(target(), request("111111111111"))).toEqual({ held: true });
    expect(await cutOver(target(), request("222222222222"))).toEqual({ held: true });
    expect([replicas("worker-111111111111"), replicas("worker-222222222222")]).toEqual([0, 1]);
  });

  it("never starts a singleton while another one of its kind still ends", async () => {
    await cutOver(target(), request("111111111111"));
    cluster.endsAfter = 400;
    const overlaps: string[] = [];
    cluster.before = (what, body) => {
      const wanted = (body as { spec?: { replicas?: number } }).spec?.replicas;
      const old = cluster.objects.has("pods/shop-worker-111111111111-0");
      if (what.endsWith("shop-worker-222222222222") && wanted === 1 && old) overlaps.push(what);
      return undefined;
    };
    expect(await cutOver(target(), request("222222222222"))).toEqual({ held: true });
    expect(overlaps).toEqual([]);
    expect(cluster.objects.has("pods/shop-worker-222222222222-0")).toBe(true);
  });

  it("takes a bad release back: Services first, its pods end at once, and come back before the next try", async () => {
    await cutOver(target(), request("111111111111"));
    const outcome = await cutOver(target("bad"), request("222222222222"));
    expect(outcome).toMatchObject({ held: false, failure: { rule: "errorRate > 5 %", release: "v2" } });
    expect([leads("api"), leads("web")]).toEqual(["111111111111", "111111111111"]);
    expect([replicas("api-222222222222"), replicas("web-222222222222")]).toEqual([0, 0]);
    expect([replicas("worker-111111111111"), replicas("worker-222222222222")]).toEqual([1, 0]);

    cluster.changes.length = 0;
    expect(await cutOver(target(), request("222222222222"))).toEqual({ held: true });
    expect(moves()[0]).toBe("PATCH deployments/shop-api-222222222222");
    expect([replicas("api-222222222222"), replicas("web-222222222222")]).toEqual([2, 2]);
  });

  it("goes back to what is confirmed when it was killed between the two Services", async () => {
    await cutOver(target(), request("111111111111"));
    cluster.before = (what) => (what === "PATCH services/shop-web" ? 500 : undefined);
    const killed = cutOver(target(), request("222222222222"), (step) => {
      if (step === "switch") cluster.endsAfter = 0;
    });
    await expect(killed).rejects.toThrow("switchyard recover");
    expect(leads("api")).toBe("111111111111");
    cluster.before = () => undefined;
    await resolve(target(), "killed");
    expect([leads("api"), leads("web")]).toEqual(["111111111111", "111111111111"]);
  });

  it("does not move anything to a release whose pods do not answer", async () => {
    await cutOver(target(), request("111111111111"));
    cluster.changes.length = 0;
    cluster.broken.add("shop-web-222222222222");
    for (const path of [...cluster.objects.keys()])
      if (path.startsWith("pods/shop-web-2222")) cluster.objects.delete(path);
    const outcome = await cutOver(target(), { ...request("222222222222"), flip });
    expect(outcome).toMatchObject({
      held: false,
      failure: {
        rule: "web is ready within 3 s",
        measured: expect.stringMatching(/^0 ready; shop-web-2222/),
        allowed: "2 ready pods",
      },
    });
    expect(moves().filter((change) => change.includes("services/"))).toEqual([]);
  });

  it("repairs what somebody changed by hand when the same release is asked for again", async () => {
    await cutOver(target(), request("111111111111"));
    await cluster.api.patch("Deployment", "shop-api-111111111111", { spec: { replicas: 0 } });
    await cluster.api.patch("Service", "shop-web", {
      spec: { selector: { "switchyard.dev/fingerprint": "222222222222" } },
    });
    expect(await cutOver(target(), request("111111111111"))).toEqual({ held: true });
    expect([leads("api"), leads("web"), replicas("api-111111111111")]).toEqual([
      "111111111111",
      "111111111111",
      2,
    ]);
  });

  it("takes back a release whose check from outside fails, before it is baked, and names the check", async () => {
    await cutOver(target(), request("111111111111"));
    for (const name of ["shop-api", "shop-web"])
      await cluster.api.patch("Service", name, { spec: { clusterIP: "127.0.0.1", ports: [{ port: 1 }] } });
    const asked = target("good", {
      outside: [{ kind: "answers", name: "health of the live api", url: "{api}/health" }],
    });
    const outcome = await cutOver(asked, request("222222222222"));
    expect(outcome).toMatchObject({
      held: false,
      failure: {
        step: "verify",
        release: "v2",
        rule: "health of the live api: GET http://127.0.0.1:1/health",
      },
    });
    expect([leads("api"), leads("web")]).toEqual(["111111111111", "111111111111"]);
  });

  it("does not confirm a release that a Service does not lead to, and says whom it leads to", async () => {
    await cutOver(target(), request("111111111111"));
    const astray = target();
    astray.bake = async () => {
      const selector = { "switchyard.dev/fingerprint": "111111111111" };
      await cluster.api.patch("Service", "shop-web", { spec: { selector } });
      return null;
    };
    expect(await cutOver(astray, request("222222222222"))).toMatchObject({
      held: false,
      failure: {
        step: "confirm",
        release: "v2",
        measured: "the Service shop-web serves v1, not v2",
        allowed: "v2",
      },
    });
    expect([leads("api"), leads("web")]).toEqual(["111111111111", "111111111111"]);
  });

  it("asks the Services in each round of the bake", async () => {
    await cutOver(target(), request("111111111111"));
    for (const name of ["shop-api", "shop-web"])
      await cluster.api.patch("Service", name, { spec: { clusterIP: "127.0.0.1" } });
    const real = target();
    real.bake = ClusterTarget.prototype.bake;
    const outcome = await cutOver(real, request("222222222222"), async (step) => {
      const selector = { "switchyard.dev/fingerprint": "111111111111" };
      if (step === "bake") await cluster.api.patch("Service", "shop-api", { spec: { selector } });
    });
    expect(outcome).toMatchObject({
      held: false,
      failure: { step: "bake", measured: "the Service shop-api serves v1, not v2" },
    });
    expect([leads("api"), leads("web")]).toEqual(["111111111111", "111111111111"]);
  });

  it("leaves nothing selected and no singleton when traffic is withdrawn", async () => {
    await cutOver(target(), request("111111111111"));
    await withdraw(target());
    expect([leads("api"), leads("web"), replicas("worker-111111111111")]).toEqual(["none", "none", 0]);
  });

  it("refuses to write a state that somebody else has changed meanwhile", async () => {
    const one = target();
    await one.readState();
    await new Memory(cluster.api, "shop").write({ state: '{"confirmed":"333333333333"}' });
    const state = await target().readState();
    await expect(one.writeState(state)).rejects.toThrow("changed by somebody else");
  });

  it("keeps what others write into the ConfigMap at the same time", async () => {
    const memory = new Memory(cluster.api, "shop");
    await Promise.all([
      memory.write({ armed: "a" }),
      memory.write({ spent: "s" }),
      memory.write({ phase: "p" }),
    ]);
    expect(await memory.read()).toEqual({ armed: "a", spent: "s", phase: "p" });
  });
});
