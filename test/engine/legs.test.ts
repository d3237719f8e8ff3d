import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { descendants, until } from "../support/box/processes.ts";
import type { Ended } from "../support/checkout.ts";
import { LeggedSystems } from "../support/legs/systems.ts";

/**
 * POD over its three legs, by the real engine on this machine: API on the box, MCP server in the cluster's place, page
 * on workerd. Seen from outside all the while: API, MCP server, page, and the file by which the page says its release.
 */
let systems: LeggedSystems;

beforeAll(async () => {
  systems = await LeggedSystems.start(["pod"]);
  const { code, output } = await systems.checkout.switchyard("start");
  expect(code, output).toBe(0);
});
afterAll(() => systems?.stop());

test("forward: providers before consumers", async () => {
  const { seen, end } = await watched("v2", () => systems.release("pod", "v2"));
  expect(end.code, end.output).toBe(0);
  expect(seen).toEqual(["v1 v1 v1 v1", "v2 v1 v1 v1", "v2 v2 v1 v1", "v2 v2 v2 v2"]);
});

test("a rollback: consumers before providers", async () => {
  const { seen, end } = await watched("v2", () => systems.checkout.switchyard("rollback"));
  expect(end.code, end.output).toBe(0);
  expect(seen).toEqual(["v2 v2 v2 v2", "v2 v2 v1 v1", "v2 v1 v1 v1", "v1 v1 v1 v1"]);
});

test("the box's leg fails: the others have not moved", async () => {
  faults({ api: "errors-at-once", mcp: "none" });
  const { seen, end } = await watched("v3", () => systems.release("pod", "v3"));
  expect(end.code).toBe(1);
  expect(seen).toEqual(["v1 v1 v1 v1", "v3 v1 v1 v1", "v1 v1 v1 v1"]);
  await allOld("box", "v3", end);
});

test("the cluster's leg fails: it goes back, then the box's", async () => {
  faults({ mcp: "errors-at-once" });
  const { seen, end } = await watched("v4", () => systems.release("pod", "v4"));
  expect(end.code).toBe(1);
  expect(seen).toEqual(["v1 v1 v1 v1", "v4 v1 v1 v1", "v4 v4 v1 v1", "v4 v1 v1 v1", "v1 v1 v1 v1"]);
  await allOld("cluster", "v4", end);
  expect(systems.podLegsByLastWrite().filter((leg) => leg !== "edge")).toEqual(["cluster", "box"]);
});

test.each([
  ["box", "v7", /^v7 v1 v1/, ["v7 v1 v1 v1"]],
  ["edge", "v8", /^v8 v8 v8/, ["v8 v1 v1 v1", "v8 v8 v1 v1", "v8 v8 v8 v8", "v8 v8 v1 v1", "v8 v1 v1 v1"]],
])("stopped by hand while the %s's leg is watched: all of it goes back, and the update says who and why", async (leg, version, baking, between) => {
  faults({});
  systems.edit((document) => document.setIn(["config", "pod:bake", "seconds"], leg === "box" ? 60 : 15));
  const { seen, end } = await watched(version, async (observer) => {
    const released = systems.release("pod", version);
    await observer.until(baking, 240);
    const stopped = await systems.checkout.switchyard("stop", "pod", "--reason", "wrong prices");
    expect(stopped.code, stopped.output).toBe(0);
    expect(stopped.output).toContain("pod: stopped, what serves: v1, confirmed");
    return released;
  });
  expect(end.code).toBe(1);
  expect(seen).toEqual(["v1 v1 v1 v1", ...between, "v1 v1 v1 v1"]);
  expect(end.output).toMatch(/emergencyStop[\s\S]*wrong prices \(\S+\)/);
  await allOld(leg, version, end);
  const again = await systems.checkout.switchyard("stop", "pod");
  expect(again.code).toBe(1);
  expect(again.output).toContain("nothing of pod bakes at this moment");
});

test("the edge's leg fails: it goes back, then the cluster's, then the box's", async () => {
  faults({});
  // Long enough for the page to be lost in it.
  systems.edit((document) => document.setIn(["config", "pod:bake", "seconds"], 5));
  const { seen, end } = await watched("v5", async (observer) => {
    const released = systems.release("pod", "v5");
    await observer.until(/^v5 v5 v5/, 240);
    losePage("v5");
    return released;
  });
  expect(end.code).toBe(1);
  expect(seen).toEqual([
    ...["v1 v1 v1 v1", "v5 v1 v1 v1", "v5 v5 v1 v1", "v5 v5 v5 v5"],
    "v5 v5 500 v5",
    ...["v5 v5 v1 v1", "v5 v1 v1 v1", "v1 v1 v1 v1"],
  ]);
  await allOld("edge", "v5", end);
  expect(systems.podLegsByLastWrite()).toEqual(["edge", "cluster", "box"]);
});

test("engine and runner are killed while the cluster's leg is watched: it ends by itself, the next update goes on at the edge", async () => {
  const { seen, end } = await watched("v6", async (observer) => {
    const { child, ended } = systems.checkout.start([
      "operations/switchyard.sh",
      "release",
      "pod",
      "v6",
      "--up",
    ]);
    await observer.until(/^v6 v6 v1/, 240);
    for (const pid of [...descendants(child.pid ?? 0), child.pid ?? 0]) process.kill(pid, "SIGKILL");
    await ended;
    await until(() => systems.isSettled("pod-cluster"), 120, "the cluster's leg has not ended");
    expect((await systems.checkout.switchyard("status")).output).toContain("unfinished cutover v1 → v6");
    return systems.checkout.switchyard("up");
  });
  expect(end.code, end.output).toBe(0);
  expect(seen).toEqual(["v1 v1 v1 v1", "v6 v1 v1 v1", "v6 v6 v1 v1", "v6 v6 v6 v6"]);
});

test("a rollback to what the edge has lost: nothing moves, and it is marked bad", async () => {
  losePage("v1");
  const { seen, end } = await watched("v6", () => systems.checkout.switchyard("rollback"));
  expect(end.code).toBe(1);
  expect(seen).toEqual(["v6 v6 v6 v6"]);
  expect(end.output).toContain('pod edge: v1 broke the rule "');
  expect(end.output).toContain("v1 is marked bad, refused until --allow-bad");
  expect(systems.live("pod")).toBe("v6");
});

async function watched(
  release: string,
  work: (observer: ReturnType<LeggedSystems["watchPod"]>) => Promise<Ended>,
): Promise<{ seen: string[]; end: Ended }> {
  const observer = systems.watchPod();
  await observer.until(/./, 60);
  const end = await work(observer).finally(() => observer.stop());
  return { seen: systems.named("pod", observer.seen, release), end };
}

/** The release's faults, by what it is told on each of the two legs that run the same service. */
function faults({ api, mcp }: { api?: string; mcp?: string }): void {
  const settings = {
    EXAMPLE_GREETING: "hello",
    ...(api === undefined ? {} : { "api.EXAMPLE_FAULT": api }),
    ...(mcp === undefined ? {} : { "mcp.EXAMPLE_FAULT": mcp }),
  };
  systems.edit((document) => document.setIn(["config", "pod:settings"], settings));
}

/** The disk under the local edge loses the page of a version, which answers 500 from then on. */
function losePage(version: string): void {
  const versions = systems.path("edge/local/versions");
  const pages = readdirSync(versions).map((id) => join(versions, id, "assets", "index.html"));
  const isOfVersion = (page: string) =>
    existsSync(page) && readFileSync(page, "utf8").includes(`<h1>${version}</h1>`);
  for (const page of pages.filter(isOfVersion)) rmSync(page);
}

/** v1 serves on every leg, nothing is open, the report names the leg, and the release is marked bad. */
async function allOld(leg: string, release: string, { output }: Ended): Promise<void> {
  expect(output).toContain(`pod ${leg}: ${release} broke the rule "`);
  expect(output).toContain("; taken back to v1");
  expect(output).toContain(`${release} is marked bad, refused until --allow-bad`);
  expect(systems.live("pod")).toBe("v1");
  const status = await systems.checkout.switchyard("status");
  expect(status.code, status.output).toBe(0);
}
