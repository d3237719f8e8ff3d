import * as pulumi from "@pulumi/pulumi";
import { beforeEach, expect, test } from "vitest";
import { untouched } from "../../components/rollout/cutover/state.ts";
import type { EnvironmentName } from "../../components/rollout/environment.ts";
import type { Leg } from "../../components/rollout/leg.ts";
import { podSchema } from "../../stacks/pod.config.ts";
import { pod } from "../../stacks/pod.ts";
import type { Site } from "../../stacks/site.ts";
import { until } from "../support/box/processes.ts";

/**
 * POD-6 in POD's own runbook: what it registers, and what waits for the cutover. What publishing does is shown with real
 * registries in test/engine/packages.test.ts.
 */

let registered: string[];
/** Lets the cutover end; until then whatever depends on it is not registered. */
let endCutover: () => void;

beforeEach(async () => {
  registered = [];
  const cutover = new Promise<void>((resolve) => {
    endCutover = resolve;
  });
  await pulumi.runtime.setMocks({
    newResource: async ({ name, inputs }) => {
      registered.push(name.replace(/-[0-9a-f]{12}/, ""));
      if (name === "pod-cutover") await cutover;
      return { id: name, state: inputs };
    },
    call: () => ({}),
  });
});

const packages = [
  { kind: "npm", name: "@pod/sdk", folder: "packages/sdk" },
  { kind: "npm", name: "@pod/cli", folder: "packages/cli" },
  { kind: "cargo", name: "pod-sdk", folder: "packages/sdk-rust" },
];
const publications = [
  "pod-v2-irreversible-publish-npm-pod-sdk",
  "pod-v2-irreversible-publish-npm-pod-cli",
  "pod-v2-irreversible-publish-cargo-pod-sdk",
];
const checks = ["pod-v2-check-npm-pod-sdk", "pod-v2-check-npm-pod-cli", "pod-v2-check-cargo-pod-sdk"];

/** A target that takes whatever it is given: what is asked here is the order of the runbook. */
function leg(name: string): Leg {
  const observed = { ...untouched, known: [], running: false, intact: true, doors: [] };
  return {
    ...{ name, observed, render: (release) => ({ leg: name, release }) },
    address: { kind: "box", system: "pod", location: "local" },
    prepare: (parent) => new pulumi.ComponentResource("test:Leg", `${name}-policy`, {}, { parent }),
    place: (_release, { parent, name: prefix, after }) =>
      new pulumi.ComponentResource("test:Guard", `${prefix}-guard`, {}, { parent, dependsOn: [...after] }),
    cutOver: () => {
      throw new Error("POD has three legs: one of them is not cut over alone");
    },
  };
}

function runbook(environment: EnvironmentName, more: object = {}) {
  const config = podSchema.parse({
    ...{ box: "local", cluster: "local", edge: "local", source: { git: "https://pod.example/pod.git" } },
    ...{ frontend: { content: { folder: "frontend/{version}" } }, packages },
    ...{ live: "v2", releases: { v2: {} } },
    ...more,
  });
  const stack = { environment, fingerprintKey: "k", pod: { ...config, secrets: {} } };
  const site = {
    ...{ stack, newReceipt: "r1", box: async () => ({}) },
    boxLeg: async (_location: unknown, { name = "box" }: { name?: string }) => leg(name),
    edgeLeg: async () => leg("edge"),
  };
  return pod(site as unknown as Site);
}

test("production packs them before anything is placed, and publishes them last: after the cutover, in their order", async () => {
  await runbook("production");
  await until(() => registered.includes("pod-cutover"), 10, "the cutover was never registered", 5);
  const before = registered.slice(
    0,
    registered.findIndex((name) => name.endsWith("-guard")),
  );
  expect(before).toEqual(expect.arrayContaining(checks));
  expect(registered.filter((name) => name.includes("publish"))).toEqual([]);
  endCutover();
  await until(() => registered.includes(publications.at(-1) ?? ""), 10, "they were not published", 5);
  expect(registered.slice(-publications.length)).toEqual(publications);
});

test.each<[EnvironmentName, object]>([
  ["development", {}],
  ["staging", {}],
  ["production", { publish: false }],
])("%s with %o publishes nothing", async (environment, more) => {
  await runbook(environment, more);
  endCutover();
  await pulumi.runtime.disconnect();
  expect(registered).toContain("pod-cutover");
  expect(registered.filter((name) => name.includes("publish"))).toEqual([]);
});
