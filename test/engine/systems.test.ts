import { writeFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Ended } from "../support/checkout.ts";
import type { Observer } from "../support/legs/observer.ts";
import { LeggedSystems } from "../support/legs/systems.ts";

/**
 * Chrono over its two legs, and beside POD in one update, by the real engine on this machine. Seen from outside all the
 * while: of Chrono API, dashboard and Worker, of POD API, MCP server, page and the file by which it says its release.
 */
let systems: LeggedSystems;

beforeAll(async () => {
  systems = await LeggedSystems.start(["chrono", "pod"]);
  const { code, output } = await systems.checkout.switchyard("start");
  expect(code, output).toBe(0);
});
afterAll(() => systems?.stop());

test("Chrono's box fails: its Worker has not moved", async () => {
  fault("chrono", "errors-at-once");
  const { seen, end } = await watched(systems.watchChrono(), () => systems.release("chrono", "v2"));
  expect(end.code).toBe(1);
  expect(seen).toEqual(["v1 v1 v1", "v2 v2 v1", "v1 v1 v1"]);
  expect(end.output).toContain('chrono box: v2 broke the rule "');
  expect(end.output).toContain("; taken back to v1");
});

test("Chrono's Worker fails: it goes back, then the box", async () => {
  fault("chrono", null);
  writeFileSync(systems.path("workers/v3/worker.js"), workerThatFails);
  const { seen, end } = await watched(systems.watchChrono(), () => systems.release("chrono", "v3"));
  expect(end.code).toBe(1);
  expect(seen).toEqual(["v1 v1 v1", "v3 v3 v1", "v3 v3 v3", "v3 v3 v1", "v1 v1 v1"]);
  expect(end.output).toContain('chrono edge: v3 broke the rule "');
  expect(end.output).toContain("; taken back to v1");
});

test("POD fails while Chrono goes out in the same update: only POD's pins go back", async () => {
  fault("pod", "errors-at-once");
  const chosen = await systems.checkout.switchyard("release", "chrono", "v4");
  expect(chosen.code, chosen.output).toBe(0);
  const pod = systems.watchPod();
  const { seen, end } = await watched(systems.watchChrono(), () => systems.release("pod", "v4"));
  expect(end.code).toBe(1);
  expect(seen).toEqual(["v1 v1 v1", "v4 v4 v1", "v4 v4 v4"]);
  expect(systems.named("pod", await pod.stop(), "v4")).toEqual(["v1 v1 v1 v1", "v4 v1 v1 v1", "v1 v1 v1 v1"]);
  expect([systems.live("chrono"), systems.live("pod")]).toEqual(["v4", "v1"]);
  expect(end.output).toContain("taking back pod v4 → v1");
  expect(end.output).not.toContain("chrono box:");
  await settled();
});

test("plain `pulumi up`: Chrono, inside its cutover when POD fails, comes to its end", async () => {
  for (const system of ["chrono", "pod"]) {
    const { code, output } = await systems.checkout.switchyard("release", system, "v5");
    expect(code, output).toBe(0);
  }
  systems.edit((document) => document.setIn(["config", "chrono:bake", "seconds"], 8));
  // Both are placed before, so that both cutovers begin together.
  const cutovers = ["chrono", "pod"].flatMap((system) => ["--exclude", `**${system}-cutover`]);
  const placed = await systems.checkout.pulumi("up", ...plain, ...cutovers, "--exclude-dependents");
  expect(placed.code, placed.output).toBe(0);

  const { seen, end } = await watched(systems.watchAll(), () => systems.checkout.pulumi("up", ...plain));
  expect(end.code).not.toBe(0);
  expect(end.output).toContain("pod box: v5 did not hold (bake)");
  const named = systems.named("pod", seen, "v5");
  expect(named.at(-1)).toBe("v5 v5 v5 v1 v1 v1 v1");
  // POD was back while Chrono's Worker was still to come.
  const podFailed = named.findIndex((one) => one.endsWith(" v5 v1 v1 v1"));
  const inside = named.lastIndexOf("v5 v5 v4 v1 v1 v1 v1");
  expect(podFailed).toBeGreaterThan(-1);
  expect(inside).toBeGreaterThan(podFailed);
  const chrono = named.map((one) => one.split(" ").slice(0, 3).join(" "));
  expect(chrono.filter((one, index) => one !== chrono[index - 1])).toEqual([
    "v4 v4 v4",
    "v5 v5 v4",
    "v5 v5 v5",
  ]);

  systems.edit((document) => {
    document.setIn(["config", "pod:live"], "v1");
    document.setIn(["config", "pod:kept"], []);
  });
  const { code, output } = await systems.checkout.switchyard("up");
  expect(code, output).toBe(0);
  await settled();
});

const plain = ["--stack", "development", "--yes", "--skip-preview"];

async function watched(
  observer: Observer,
  work: () => Promise<Ended>,
): Promise<{ seen: readonly string[]; end: Ended }> {
  await observer.until(/./, 10);
  const end = await work().finally(() => observer.stop());
  return { seen: observer.seen, end };
}

function fault(system: string, name: string | null): void {
  const told = { EXAMPLE_GREETING: "hello", ...(name ? { EXAMPLE_FAULT: name } : {}) };
  systems.edit((document) => document.setIn(["config", `${system}:settings`], told));
}

/** Pins, state and targets agree. */
async function settled(): Promise<void> {
  const status = await systems.checkout.switchyard("status");
  expect(status.code, status.output).toBe(0);
}

/** Healthy to whoever asks for its health, and 500 to everybody else. */
const workerThatFails = `export default {
  fetch(request, env) {
    const status = new URL(request.url).pathname === "/health" ? 200 : 500;
    return new Response("", { status, headers: { "x-release": env.RELEASE } });
  },
};
`;
