import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { both } from "../support/both.ts";
import { until } from "../support/box/processes.ts";
import type { Ended } from "../support/checkout.ts";
import { freePort } from "../support/free-port.ts";
import { startLoad } from "../support/load/load.ts";
import type { Trial } from "./edge-trial/program.ts";
import { EdgeTrial } from "./edge-trial/trial.ts";

/** CHR-10, POD-4: a Worker on a real workerd, released, taken back and rolled back by the real engine. */
let trial: EdgeTrial;

beforeAll(async () => {
  trial = new EdgeTrial({ door: await freePort() });
  const made = await trial.checkout.pulumi("stack", "init", "--stack", "development");
  expect(made.code, made.output).toBe(0);
});
afterAll(async () => {
  await trial.verb(["dismantle", "chrono"], {});
  trial.checkout.remove();
});

/** What the last update that succeeded was asked for. */
let brought: string | null = null;
/** The last update, which goes on where its test was out of time. */
let last: Promise<Ended> | null = null;

async function up(...words: string[]): Promise<Ended> {
  last = trial.up(...words);
  const ended = await last;
  brought = ended.code === 0 && words.length === 0 ? trial.asked : null;
  return ended;
}

/** The stack with exactly these releases: what an earlier test has left otherwise is put right first. */
async function startFrom(live: string, kept: readonly string[], more: Partial<Trial> = {}): Promise<void> {
  await last;
  trial.set({ bakeSeconds: 2, steps: [], secrets: {}, oldSecretsWork: false, ...more });
  trial.pin(live, kept);
  if (brought !== trial.asked) {
    const { code, output } = await up();
    expect(code, output).toBe(0);
  }
  expect(await ask("/")).toMatchObject({ status: 200, release: live });
}

/** An update to a release that does not hold: what serves still serves. */
async function takenBack(release: string, serves: string): Promise<void> {
  trial.set({ bakeSeconds: 6 });
  trial.pin(release, [serves]);
  const { code, output } = await up();
  expect(code).not.toBe(0);
  expect(output).toContain(`chrono ${release} did not hold (bake)`);
  expect(await ask("/")).toMatchObject({ status: 200, release: serves });
}

test("the first release serves, with its settings and its static files", async () => {
  await startFrom("v1", []);
  expect(await ask("/")).toMatchObject({ status: 200, release: "v1" });
  expect((await ask("/")).text).toContain('"greeting":"hello"');
  expect((await ask("/style.css")).text).toContain("system-ui");
});

test("each step ran once, in the order of the rollout", async () => {
  await startFrom("v1", []);
  expect(await trial.resources()).toEqual([
    "chrono-edge-ground",
    "chrono-v1-preflight",
    "chrono-v1-upload",
    "chrono-v1-gates",
    "chrono-v1-guard",
    "chrono-cutover",
  ]);
});

test("the same Worker answers below the path of a route, which hands the whole of it on", async () => {
  expect(await ask("/edge/health")).toMatchObject({ status: 200, release: "v1", text: "healthy\n" });
  expect(await ask("/edge/")).toMatchObject({ status: 200, release: "v1" });
  expect(await ask("/edge/style.css")).toMatchObject({ status: 200, text: (await ask("/style.css")).text });
  expect(await ask("/edges/health")).toMatchObject({ status: 404 });
});

test("nothing changed: an update runs nothing", async () => {
  await startFrom("v1", []);
  const { code, output } = await trial.up("--expect-no-changes");
  expect(code, output).toBe(0);
});

test("a version answers by override before its cutover, after it, and not after it was taken back", async () => {
  await startFrom("v1", []);
  trial.set({ bakeSeconds: 6 });
  trial.pin("slow", ["v1"]);
  const placed = await up("--exclude", "**chrono-cutover");
  expect(placed.code, placed.output).toBe(0);
  const slow = await versionOf("slow");
  expect(await ask("/", slow)).toMatchObject({ status: 200, release: "slow" });
  expect(await ask("/")).toMatchObject({ status: 200, release: "v1" });

  const [during, taken] = await both(
    whileBaking("slow", () => ask("/", slow)),
    up(),
  );
  expect(during).toMatchObject({ status: 200, release: "slow" });
  expect(taken.code).not.toBe(0);
  expect(taken.output).toContain("chrono slow did not hold (bake): p99 > 1000 ms");

  expect(await ask("/", slow)).toMatchObject({ status: 200, release: "v1" });
  expect(await ask("/", await versionOf("v1"))).toMatchObject({ status: 200, release: "v1" });
  expect(await trial.read()).toMatchObject({ pending: null, lastFailure: { release: "slow", step: "bake" } });
});

test("the same pins try again from the health check; the old pins run no cutover", async () => {
  await startFrom("v1", []);
  await takenBack("slow", "v1");
  const again = await up();
  expect(again.output).toContain("chrono slow did not hold (bake)");
  expect(ranSteps(again)).toEqual(["chrono-cutover updating failed"]);
  trial.pin("v1", []);
  const back = await up();
  expect(back.code, back.output).toBe(0);
  expect(ranSteps(back).filter((step) => !step.includes("deleted"))).toEqual([]);
  expect((await trial.read()).known.map(({ release }) => release)).toEqual(["v1"]);
});

test("a release that is never healthy gets no request but the smoke test's", async () => {
  await startFrom("v1", []);
  trial.pin("never-healthy", ["v1"]);
  const { code, output } = await up();
  expect(code).not.toBe(0);
  expect(output).toMatch(/gate: never-healthy answers 2xx on \/health within 5 s\s+measured: 503 unhealthy/);
  expect(await ask("/")).toMatchObject({ status: 200, release: "v1" });
});

test("no request of a constant load fails across three cutovers and two takings back (10, 50, 100 %)", async () => {
  await startFrom("v1", []);
  trial.set({
    steps: [
      { percent: 10, seconds: 1 },
      { percent: 50, seconds: 1 },
    ],
  });
  const load = await startLoad({ urls: [`${trial.front}/`], requestsPerSecond: 12 });
  try {
    for (const [live, kept, holds] of [
      ["v2", "v1", true],
      ["slow", "v2", false],
      ["v3", "v2", true],
      ["slow", "v3", false],
      ["v4", "v3", true],
    ] as const) {
      trial.set({ bakeSeconds: holds ? 2 : 6 });
      trial.pin(live, [kept]);
      const { code, output } = await up();
      expect(code === 0, output).toBe(holds);
    }
  } finally {
    await load.stop();
  }
  const { failed, failures, releases, byConnection } = await load.stop();
  expect({ failed, failures }).toEqual({ failed: 0, failures: {} });
  expect(byConnection.new.total).toBeGreaterThan(1000);
  expect(byConnection.keepAlive.total).toBeGreaterThan(1000);
  expect(Object.keys(releases).sort()).toEqual(["slow", "v1", "v2", "v3", "v4"]);
  expect(await ask("/")).toMatchObject({ release: "v4" });
});

test("the kept release comes back by one resource, all of the traffic at once", async () => {
  await startFrom("v4", ["v3"]);
  trial.pin("v3", ["v4"]);
  const { code, output } = await up();
  expect(code, output).toBe(0);
  expect(ranSteps({ output } as Ended)).toEqual(["chrono-cutover updated"]);
  expect(await ask("/")).toMatchObject({ release: "v3" });
});

test("a forced replacement of the guard of what serves is refused", async () => {
  await startFrom("v3", ["v4"]);
  const { code, output } = await up("--replace", await trial.urnOf("chrono-v3-[0-9a-f]{12}-guard"));
  expect(code).not.toBe(0);
  expect(output).toContain("chrono v3 serves at this moment, so it is not deleted");
  expect(await ask("/")).toMatchObject({ release: "v3" });
});

test("a cutover that is killed in its bake is resolved by the next run, whatever that one wants", async () => {
  await startFrom("v3", ["v4"]);
  trial.set({ bakeSeconds: 30 });
  trial.pin("v5", ["v3"]);
  const [, killed] = await both(whileBaking("v5", killCutover), up());
  expect(killed.code).not.toBe(0);
  expect(await ask("/")).toMatchObject({ release: "v5" });
  expect(await trial.read()).toMatchObject({ pending: { to: expect.any(String) } });

  trial.pin("v3", ["v4"]);
  const { code, output } = await up();
  expect(code, output).toBe(0);
  expect(await ask("/")).toMatchObject({ release: "v3" });
  expect(await trial.read()).toMatchObject({ pending: null, lastFailure: { release: "v5", step: "killed" } });
  expect((await trial.up("--expect-no-changes")).code).toBe(0);
});

test("a local edge that was killed comes back with the next command, and serves the same", async () => {
  await startFrom("v3", ["v4"]);
  process.kill(trial.edgePid(), "SIGKILL");
  await until(async () => (await ask("/")).status === 0, 120, "the edge still answers");
  const { code, output } = await trial.up("--expect-no-changes");
  expect(code, output).toBe(0);
  expect(await ask("/")).toMatchObject({ status: 200, release: "v3" });
});

test("a deployment that somebody made by hand is put right by the next update", async () => {
  await startFrom("v3", ["v4"]);
  const v4 = await versionOf("v4");
  await trial.deployByHand(v4);
  expect(await ask("/")).toMatchObject({ release: "v4" });
  const { code, output } = await up();
  expect(code, output).toBe(0);
  expect(await ask("/")).toMatchObject({ release: "v3" });
});

test("a changed secret is refused before anything is placed, and goes where its old value still works; none is in clear", async () => {
  await startFrom("v3", []);
  trial.set({ secrets: { API_KEY: "first-value-of-the-key" } });
  trial.pin("v6", ["v3"]);
  expect((await up()).code).toBe(0);
  expect((await ask("/")).text).toContain('"keyLength":22');
  const { fingerprint: v6 = "" } = (await trial.read()).known.find(({ release }) => release === "v6") ?? {};

  trial.set({ secrets: { API_KEY: "second-value" } });
  trial.pin("v7", ["v6"], { v6: { fingerprint: v6 } });
  const refused = await up();
  expect(refused.code).not.toBe(0);
  expect(refused.output).toContain("chrono v7 would have no way back");
  expect(refused.output).toContain("v7 has another API_KEY than v6");
  expect((await trial.read()).known.some(({ release }) => release === "v7")).toBe(false);

  trial.set({ oldSecretsWork: true });
  const { code, output } = await up();
  expect(code, output).toBe(0);
  expect((await ask("/")).text).toContain('"keyLength":12');
  const { fingerprint: v7 = "" } = (await trial.read()).known.find(({ release }) => release === "v7") ?? {};
  trial.pin("v6", ["v7"], { v6: { fingerprint: v6 }, v7: { fingerprint: v7 } });
  const back = await up();
  expect(back.code, back.output).toBe(0);
  expect((await ask("/")).text).toContain('"keyLength":22');

  // Neither in the state, nor in an answer of the API, nor in what the engine says.
  const state = await trial.checkout.pulumi("stack", "export", "--stack", "development");
  const shown = await trial.checkout.pulumi("preview", "--stack", "development", "--diff");
  const seen = [state.output, shown.output, JSON.stringify(await trial.read())].join("\n");
  expect(seen).not.toMatch(/first-value-of-the-key|second-value/);
});

test("a release of static files only says which it is, and goes back as any other", async () => {
  const site = new EdgeTrial({ door: await freePort(), system: "pod", filesOnly: true });
  try {
    const made = await site.checkout.pulumi("stack", "init", "--stack", "development");
    expect(made.code, made.output).toBe(0);
    const page = async () => (await (await fetch(`${site.front}/`)).text()).match(/<h1>(.*)<\/h1>/)?.[1];
    for (const [live, kept] of [
      ["v1", []],
      ["v2", ["v1"]],
      ["v1", ["v2"]],
    ] as const) {
      site.pin(live, kept);
      const { code, output } = await site.up();
      expect(code, output).toBe(0);
      expect(await page()).toBe(live);
    }
    const { fingerprint } = (await site.read()).known.find(({ release }) => release === "v1") ?? {};
    expect(await (await fetch(`${site.front}/switchyard-release.txt`)).text()).toBe(`${fingerprint}\n`);
  } finally {
    await site.verb(["dismantle", "pod"], {});
    site.checkout.remove();
  }
});

test("destroy takes the Worker away, and the local edge with it", async () => {
  await startFrom("v1", [], { oldSecretsWork: true });
  const destroy = ["destroy", "--stack", "development", "--yes", "--skip-preview"];
  const { code, output } = await trial.checkout.pulumi(...destroy);
  expect(code, output).toBe(0);
  expect(await ask("/")).toMatchObject({ status: 0 });
  const memory = join(trial.checkout.directory, ".switchyard/edge/local/memory.json");
  expect((JSON.parse(readFileSync(memory, "utf8")) as { workers: object }).workers).toEqual({});
});

async function ask(path: string, version?: string) {
  const override = { "cloudflare-workers-version-overrides": `chrono-development="${version}"` };
  try {
    const response = await fetch(`${trial.front}${path}`, {
      headers: version === undefined ? {} : override,
      signal: AbortSignal.timeout(10_000),
    });
    const text = await response.text();
    return { status: response.status, release: response.headers.get("x-release"), text };
  } catch {
    return { status: 0, release: null, text: "" };
  }
}

/** Does something while the release has all of the traffic and is not confirmed yet. */
async function whileBaking<T>(release: string, work: () => Promise<T>): Promise<T> {
  const baking = async () => trial.cutoverPid() !== null && (await ask("/")).release === release;
  await until(baking, 240, `${release} never served`, 50);
  return work();
}

async function killCutover(): Promise<void> {
  const pid = trial.cutoverPid();
  if (pid === null) throw new Error("no cutover runs that could be killed");
  process.kill(pid, "SIGKILL");
}

/** The version by which a release is in the deployments. */
async function versionOf(release: string): Promise<string> {
  const { known, versions } = await trial.read();
  const found = known.find((one) => one.release === release);
  return versions.find(({ tag }) => tag === found?.fingerprint)?.id ?? "";
}

/** Steps that the engine ran, with what became of them. */
function ranSteps({ output }: Ended): string[] {
  const steps =
    /command:\w+:Command (\S+) (?:\*\*)?(created|updated|deleted|replaced|updating failed|creating failed)/g;
  return [...output.matchAll(steps)]
    .map(([, name, became]) => `${name} ${became}`)
    .filter((step, index, all) => all.indexOf(step) === index);
}
