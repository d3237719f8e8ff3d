import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { Kubernetes } from "../support/kubernetes/kubernetes.ts";
import { ClusterTrial } from "../support/kubernetes/trial.ts";
import { RecorderWorld } from "../support/recorder/world.ts";

/**
 * TRD-1: the testing environment, gone after the run, on the real engine. The recorder stands in for the vendor's plugin
 * and a played Kubernetes for the API.
 */
let world: RecorderWorld;
let kubernetes: Kubernetes;
let trial: ClusterTrial;

const context = "traider-testing";
const digest = (digits: string) => `sha256:${digits.repeat(64).slice(0, 64)}`;

beforeAll(async () => {
  world = new RecorderWorld();
  kubernetes = await Kubernetes.start(world, { contexts: { [context]: "testing" } });
  trial = new ClusterTrial({ ...world.environment, ...kubernetes.environment });
  const changes = {
    "traider:cluster": { context, namespace: context, bakerImage: `node@${digest("d")}` },
    "traider:bake": { seconds: 3, healthSeconds: 2 },
    "traider:integration": { command: ["./integration.sh", "{backend}", "{frontend}"] },
  };
  await trial.make("testing", ["traider"], changes, {
    "traider:jwtSecret": "the-jwt-of-testing",
    "traider:dbPassword": "the-password-of-testing",
    "switchyard:fingerprintKey": "k".repeat(64),
  });
  const script = [
    "#!/bin/sh",
    'echo "$@" >asked.txt',
    "while [ -e hang ]; do sleep 0.2; done",
    "[ ! -e broken ] || { echo '2 failed, 40 passed'; exit 1; }",
    "echo '42 passed'",
    "",
  ];
  writeFileSync(path("integration.sh"), script.join("\n"), { mode: 0o755 });
});

afterAll(async () => {
  trial?.checkout.remove();
  await kubernetes?.stop();
  world?.remove();
});

beforeEach(() => {
  for (const name of ["asked.txt", "broken", "hang"]) rmSync(path(name), { force: true });
});

const path = (name: string) => join(trial.checkout.directory, name);
const images = ["backend", "frontend"].flatMap((name) => ["--image", `${name}=${digest("a")}`]);
const words = (version: string) => ["operations/switchyard.sh", "integration", "traider", version, ...images];
const integration = (version: string) => trial.checkout.start(words(version)).ended;

/** What the engine, the cluster and the stack's file have of any release. */
async function left() {
  const state = JSON.parse(await trial.state("testing")) as { deployment: { resources?: object[] } };
  const { "traider:live": live, "traider:releases": releases } = trial.checkout.readConfig("testing");
  return {
    resources: state.deployment.resources ?? [],
    pods: await kubernetes.pods(context),
    live: live ?? null,
    releases,
  };
}
const moves = (release: string) => ["backend", "frontend"].map((name) => `traider-${name} → ${release}`);
const nothing = { resources: [], pods: {}, live: null, releases: {} };

test("a version is deployed, tested where it answers, and gone", async () => {
  const before = kubernetes.moves.length;
  const { code, output } = await integration("v1");
  expect(code, output).toBe(0);
  expect(kubernetes.moves.slice(before)).toEqual([...moves("v1"), ...moves("nothing")]);
  expect(readFileSync(path("asked.txt"), "utf8")).toBe(
    "https://testing-api.traider.com https://testing-www.traider.com\n",
  );
  expect(output).toContain("42 passed");
  expect(output).toContain("traider: v1 succeeded in testing, and nothing of it is left");
  expect(await left()).toEqual(nothing);
});

test("tests that fail fail the run, and it is gone all the same", async () => {
  writeFileSync(path("broken"), "");
  const { code, output } = await integration("v2");
  expect(code).toBe(1);
  expect(output).toContain("traider: integration tests: exit 1: 2 failed, 40 passed");
  expect(output).toContain("traider: v2 failed in testing, and nothing of it is left");
  expect(await left()).toEqual(nothing);
});

test("a version that never becomes healthy is not tested, and is gone", async () => {
  kubernetes.sicken("v3", ({ path: asked }) => (asked === "/api/health" ? 503 : null));
  const { code, output } = await integration("v3");
  kubernetes.heal();
  expect(code, output).toBe(1);
  expect(output).toMatch(/gate of traider v3: (backend|frontend) is ready/);
  expect(existsSync(path("asked.txt"))).toBe(false);
  expect(await left()).toEqual(nothing);
});

test("what a run that was killed has left goes before the next one begins", async () => {
  writeFileSync(path("hang"), "");
  const running = trial.checkout.start(["setsid", ...words("v4")]);
  await expect.poll(() => existsSync(path("asked.txt")), { timeout: 60_000 }).toBe(true);
  process.kill(-running.child.pid!, "SIGKILL");
  await running.ended;
  expect(await left()).toMatchObject({ live: "v4", pods: { "backend v4": 1 } });
  rmSync(path("hang"));
  const before = kubernetes.moves.length;
  const { code, output } = await integration("v5");
  expect(code, output).toBe(0);
  expect(kubernetes.moves.slice(before)).toEqual([...moves("nothing"), ...moves("v5"), ...moves("nothing")]);
  expect(await left()).toEqual(nothing);
});

test("Ctrl-C in the tests ends them, and it is gone", async () => {
  writeFileSync(path("hang"), "");
  const running = trial.checkout.start(words("v6"));
  await expect.poll(() => existsSync(path("asked.txt")), { timeout: 60_000 }).toBe(true);
  running.child.kill("SIGINT");
  const { code, output } = await running.ended;
  expect(code, output).toBe(130);
  expect(await left()).toEqual(nothing);
});

test("without words for the tests nothing is deployed", async () => {
  const before = kubernetes.events.length;
  trial.checkout.editConfig((document) => document.deleteIn(["config", "traider:integration"]), "testing");
  const { code, output } = await integration("v7");
  expect(code).toBe(1);
  expect(output).toContain("traider:integration.command is missing, the words of its integration tests");
  expect(kubernetes.events.slice(before)).toEqual([]);
});
