import { afterAll, beforeAll, expect, test } from "vitest";
import { Kubernetes } from "../support/kubernetes/kubernetes.ts";
import type { Asked, Play } from "../support/kubernetes/pods.ts";
import { ClusterTrial, stepsOf } from "../support/kubernetes/trial.ts";
import { RecorderWorld } from "../support/recorder/world.ts";

/**
 * SAN-3, SAN-4, SAN-5: Sanctum's staging measures a release before it serves, and production takes staging's word. Both
 * stacks on the real engine; the recorder stands in for the vendor's plugin and a played Kubernetes for the API. The
 * gates, their load generator, the verbs and the baker are the real ones, at small numbers.
 */
let world: RecorderWorld;
let kubernetes: Kubernetes;
let trial: ClusterTrial;

const services = ["auth", "directory", "messaging"];
const digest = (character: string) => `sha256:${character.repeat(64)}`;
const entry = (character: string, colour: string) => ({
  colour,
  images: Object.fromEntries(services.map((service) => [service, digest(character)])),
});
/** A process that leaks: each look at it finds 5 % more than the last one. */
let looks = 0;
const leak: Play = ({ path, door }) => {
  if (path !== "/metrics" || door === null) return null;
  looks += 1;
  return { residentBytes: 64_000_000 * 1.05 ** looks };
};

beforeAll(async () => {
  world = new RecorderWorld();
  const contexts = { "sanctum-staging": "staging", "sanctum-production": "production" };
  kubernetes = await Kubernetes.start(world, { contexts });
  trial = new ClusterTrial({ ...world.environment, ...kubernetes.environment, ...kubernetes.names });
  const shared = (stack: string) => ({
    "sanctum:cluster": {
      context: `sanctum-${stack}`,
      namespace: "sanctum",
      bakerImage: `node@${digest("d")}`,
    },
    "sanctum:bake": { healthSeconds: 2 },
    "sanctum:live": "v1",
    "sanctum:releases": { v1: entry("a", "blue"), v2: entry("b", "green") },
  });
  const origin = "http://sanctum-{service}-{colour}.sanctum.sanctum-staging.svc";
  const gates = { targetRps: 10, loadSeconds: 2, soakMinutes: 0.05, origin };
  await trial.make("staging", ["sanctum"], { ...shared("staging"), "sanctum:gates": gates });
  await trial.make("production", ["sanctum"], shared("production"));
});
afterAll(async () => {
  trial?.checkout.remove();
  await kubernetes?.stop();
  world?.remove();
});

async function up(stack: "staging" | "production", ...words: readonly string[]) {
  const ended = await trial.up(stack, ...words);
  return { ...ended, steps: stepsOf(ended) };
}

const serving = (stack: string) =>
  services.map((service) => kubernetes.serving(`sanctum-${stack}`, "sanctum", `sanctum-${service}`));
const all = (release: string) => services.map((service) => `sanctum-${service} → ${release}`);
const since = (from: number) => kubernetes.events.slice(from);

const together = (release: string, names: readonly string[]) =>
  `${names.map((name) => `sanctum-${release}-${name}`).join(", ")} created`;
const of = (kind: string) => services.map((service) => `${kind}-${service}`);
const ground = [
  together("cluster", [
    ...[
      "configmap-baker",
      "configmap-policy",
      ...of("ingress"),
      "namespace",
      "role-baker",
      "rolebinding-baker",
    ],
    ...services.flatMap((name) => [`service-${name}`, `service-${name}-blue`, `service-${name}-green`]),
    "serviceaccount-baker",
  ]),
  "sanctum-cluster-replicas created",
];
const placed = (release: string) => [
  together(release, [
    ...["configmap", ...of("configmap"), ...of("networkpolicy"), ...of("poddisruptionbudget")],
    ...["role-baker", "rolebinding-baker", "serviceaccount"],
  ]),
  together(release, of("deployment")),
  `sanctum-${release}-gates created`,
  `sanctum-${release}-guard created`,
];
const measured = (release: string) =>
  ["load-1KiB", "load-64KiB", "soak"].map((gate) => `sanctum-${release}-${gate}-run created`);

test("production comes before staging: it is placed, asks for evidence in vain, and serves nothing", async () => {
  const { code, output, steps } = await up("production");
  expect(code).not.toBe(0);
  for (const gate of ["load-1KiB", "load-64KiB", "soak"]) {
    expect(output).toContain(
      `✗ ${gate} in staging, with these images: staging has not seen these images (it has evidence of: none)`,
    );
  }
  expect(steps).toEqual([...ground, ...placed("v1"), "sanctum-v1-evidence-run creating failed"]);
  expect(kubernetes.events).toEqual([]);
  expect(serving("production")).toEqual([null, null, null]);
});

test("staging: placed, load at 1 KiB, load at 64 KiB, soak, and only then it serves", async () => {
  const { code, output, steps } = await up("staging");
  expect(code, output).toBe(0);
  expect(steps).toEqual([...ground, ...placed("v1"), ...measured("v1"), "sanctum-cutover created"]);
  expect(kubernetes.events).toEqual(all("v1"));
  expect(await kubernetes.pods("sanctum-staging")).toEqual({
    "auth v1": 2,
    "directory v1": 2,
    "messaging v1": 2,
  });
});

test("production takes staging's word for these images: nothing is placed anew, no load is made", async () => {
  const before = kubernetes.events.length;
  const { code, output, steps } = await up("production");
  expect(code, output).toBe(0);
  expect(steps).toEqual(["sanctum-v1-evidence-run created", "sanctum-cutover created"]);
  expect(since(before)).toEqual(all("v1"));
  expect(await kubernetes.pods("sanctum-production")).toEqual({
    ...{ "auth v1": 3, "directory v1": 3, "messaging v1": 3 },
  });
});

const isLoad = ({ path, door }: Asked) => path === "/" && door?.endsWith("-green");

test.each<{ gate: string; play: Play; steps: readonly string[]; says: RegExp }>([
  {
    gate: "load at 1 KiB",
    play: (asked) => (isLoad(asked) ? { seconds: 1.7 } : null),
    steps: [...placed("v2"), "sanctum-v2-load-1KiB-run creating failed"],
    says: /✗ p95: [1-9]\d{3} ms, allowed < 1500 ms/,
  },
  {
    gate: "load at 64 KiB",
    play: (asked) => (isLoad(asked) && asked.bytes > 60_000 ? 413 : null),
    steps: ["sanctum-v2-load-1KiB-run created", "sanctum-v2-load-64KiB-run creating failed"],
    says: /✗ errors: 100 % \(20 of 20; 20 × 413 [\w ]+\), allowed < 2 %/,
  },
  {
    gate: "the soak",
    play: leak,
    steps: ["sanctum-v2-load-64KiB-run created", "sanctum-v2-soak-run creating failed"],
    says: /✗ (auth|directory|messaging) memory growth: \d+(\.\d+)? %, allowed < 10 %/,
  },
])("v2 stops in staging at $gate: no later gate runs, v1 serves on", async ({ play, steps, says }) => {
  trial.edit("staging", "sanctum", { live: "v2", kept: ["v1"] });
  const before = kubernetes.events.length;
  kubernetes.sicken("v2", play);
  const { code, output, steps: ran } = await up("staging");
  kubernetes.heal();
  expect(code).not.toBe(0);
  expect(output).toMatch(says);
  expect(ran).toEqual(steps);
  expect(since(before)).toEqual([]);
  expect(serving("staging")).toEqual(["v1", "v1", "v1"]);
});

test("production does not take what staging has not let serve", async () => {
  trial.edit("production", "sanctum", { live: "v2", kept: ["v1"] });
  const before = kubernetes.events.length;
  const { code, output, steps } = await up("production");
  expect(code).not.toBe(0);
  expect(output).toMatch(/✗ soak in staging, with these images: .*, allowed passed/);
  expect(steps).toEqual([...placed("v2"), "sanctum-v2-evidence-run creating failed"]);
  expect(since(before)).toEqual([]);
  expect(serving("production")).toEqual(["v1", "v1", "v1"]);
});

test("the soak passed, v2 serves in staging; then in production, by its evidence alone", async () => {
  const before = kubernetes.events.length;
  const staging = await up("staging");
  expect(staging.code, staging.output).toBe(0);
  expect(staging.steps).toEqual(["sanctum-v2-soak-run created", "sanctum-cutover updated"]);
  const production = await up("production");
  expect(production.code, production.output).toBe(0);
  expect(production.steps).toEqual(["sanctum-v2-evidence-run created", "sanctum-cutover updated"]);
  expect(since(before)).toEqual([...all("v2"), ...all("v2")]);
});

test("back to the kept release in production: one step, and nobody is asked for evidence", async () => {
  trial.edit("production", "sanctum", { live: "v1", kept: ["v2"] });
  const before = kubernetes.events.length;
  const position = world.position();
  const { code, output, steps } = await up("production");
  expect(code, output).toBe(0);
  expect(steps).toEqual(["sanctum-cutover updated"]);
  expect(world.steps({ after: position })).toEqual([]);
  expect(since(before)).toEqual(all("v1"));
});
