import * as pulumi from "@pulumi/pulumi";
import { beforeEach, describe, expect, it } from "vitest";
import type { ClusterLegArgs } from "../../../components/cluster/leg.ts";
import type { ClusterManifest } from "../../../components/cluster/manifest.ts";
import type { LegRelease } from "../../../components/rollout/leg.ts";
import { manifestOf, policy } from "./releases.ts";

/** What the leg registers with the engine. That the engine brings it about is shown on a real node. */
interface Registered {
  readonly type: string;
  readonly name: string;
  readonly inputs: Record<string, unknown>;
}

let registered: Registered[];
beforeEach(async () => {
  registered = [];
  await pulumi.runtime.setMocks({
    newResource: ({ type, name, inputs }) => {
      registered.push({ type, name, inputs });
      return { id: name, state: inputs };
    },
    call: () => ({}),
  });
});

const args: Omit<ClusterLegArgs, "render"> = {
  system: "shop",
  environment: "production",
  address: { kind: "cluster", system: "shop", namespace: "shop-prod", context: "prod" },
  observed: null,
  doors: [{ service: "api", port: 80 }],
  policy,
  secrets: { TOKEN: "s3cret" },
  bakerImage: "node@sha256:0",
  bakerProgram: "run()",
};

const release = (more: Partial<LegRelease<ClusterManifest>> = {}): LegRelease<ClusterManifest> => ({
  name: "v1",
  fingerprint: "abcdef012345",
  colour: "blue",
  manifest: manifestOf("v1"),
  receipt: "r1",
  frozen: false,
  ...more,
});

/** Prepares, places and cuts over, as the rollout does; resolves when everything is registered. */
async function rollOut(part: LegRelease<ClusterManifest>, more: Partial<ClusterLegArgs> = {}): Promise<void> {
  const { ClusterLeg } = await import("../../../components/cluster/leg.ts");
  const leg = new ClusterLeg({ ...args, render: (name) => manifestOf(name), ...more });
  const parent = new pulumi.ComponentResource("test:parent", "shop");
  const prepared = leg.prepare(parent);
  const name = `shop-${part.name}-${part.fingerprint}`;
  const guard = leg.place(part, { parent, name, after: [prepared], kept: [] });
  const last = leg.cutOver(part, {
    parent,
    name: "shop-cutover",
    after: [guard],
    receipt: "r1",
    unanswered: false,
  });
  await new Promise((resolve) => (last.urn as pulumi.Output<string>).apply(resolve));
}

const named = (name: string) => {
  const found = registered.find((one) => one.name === name);
  if (!found) throw new Error(`no ${name} among ${registered.map((one) => one.name).join(", ")}`);
  return found.inputs;
};
/** A secret arrives in an envelope; anything else there would be in clear in the state. */
const secretOf = (stdin: unknown) => (stdin as { readonly value: string }).value;
const short = ({ type, name }: Registered) => `${type.split(":").at(-1)} ${name}`;

describe("what a leg on a cluster registers", () => {
  it("is exactly this, every resource of the release under its fingerprint", async () => {
    await rollOut(release());
    const own = registered.map(short).filter((text) => text.includes("abcdef012345"));
    const prefix = "shop-v1-abcdef012345";
    expect(own.sort()).toEqual(
      [
        `ConfigMap ${prefix}-configmap`,
        `ServiceAccount ${prefix}-serviceaccount`,
        `Role ${prefix}-role-baker`,
        `RoleBinding ${prefix}-rolebinding-baker`,
        `ConfigMap ${prefix}-configmap-api`,
        `Secret ${prefix}-secret-api`,
        `NetworkPolicy ${prefix}-networkpolicy-api`,
        `PodDisruptionBudget ${prefix}-poddisruptionbudget-api`,
        `ConfigMap ${prefix}-configmap-web`,
        `NetworkPolicy ${prefix}-networkpolicy-web`,
        `PodDisruptionBudget ${prefix}-poddisruptionbudget-web`,
        `ConfigMap ${prefix}-configmap-worker`,
        `NetworkPolicy ${prefix}-networkpolicy-worker`,
        `Deployment ${prefix}-deployment-api`,
        `Deployment ${prefix}-deployment-web`,
        `StatefulSet ${prefix}-statefulset-worker`,
        `Command ${prefix}-gates`,
        `Command ${prefix}-guard`,
      ].sort(),
    );
    const others = registered.map(short).filter((text) => !text.includes("abcdef012345"));
    expect(others.sort()).toEqual(
      [
        "kubernetes shop-cluster",
        "parent shop",
        "Namespace shop-cluster-namespace",
        "ConfigMap shop-cluster-configmap-policy",
        "ConfigMap shop-cluster-configmap-baker",
        "ServiceAccount shop-cluster-serviceaccount-baker",
        "Role shop-cluster-role-baker",
        "RoleBinding shop-cluster-rolebinding-baker",
        "Service shop-cluster-service-api",
        "Service shop-cluster-service-api-blue",
        "Service shop-cluster-service-api-green",
        "Command shop-cluster-replicas",
        "Command shop-cutover",
      ].sort(),
    );
  });

  it("speaks to the cluster by name, with no credentials and no secret in any command", async () => {
    await rollOut(release());
    const commands = registered.filter(({ type }) => type === "command:local:Command");
    for (const { inputs } of commands) {
      expect(String(inputs.create)).toMatch(
        /^engine\/node\.sh components\/cluster\/main\.ts .* --namespace shop-prod --context prod$/,
      );
      expect(`${inputs.create} ${inputs.delete}`).not.toContain("s3cret");
      expect(inputs.logging).toBe("none");
    }
    expect(named("shop-cutover")).toMatchObject({
      create: expect.stringContaining("main.ts cutover shop v1 abcdef012345 "),
      delete: expect.stringContaining("main.ts withdraw shop "),
      stdin: '{"receipt":"r1"}',
    });
    expect(named("shop-v1-abcdef012345-guard")).toMatchObject({
      create: expect.stringContaining("main.ts guarded shop v1 abcdef012345 "),
      delete: expect.stringContaining("main.ts guard shop v1 abcdef012345 "),
    });
  });

  it("looks at the images first and migrates before anything runs, where the config says so", async () => {
    const migration = {
      ...{ image: "m@sha256:1", backup: ["b"], apply: ["a"], verify: ["v"], revert: ["r"] },
      ...{ environment: {}, secrets: {}, seconds: 60 },
    };
    await rollOut(release({ manifest: manifestOf("v1", { migration }) }), {
      verify: ["cosign", "verify", "{image}"],
    });
    const steps = registered.filter(
      ({ type, name }) => type === "command:local:Command" && name.includes("abcdef"),
    );
    const verbs = steps.map(({ inputs }) => String(inputs.create).split(" ")[2]);
    expect(verbs).toEqual(["verify", "backup", "migrate", "gates", "guarded"]);
    expect(JSON.parse(secretOf(named("shop-v1-abcdef012345-verify").stdin))).toMatchObject({
      command: ["cosign", "verify", "{image}"],
      images: [
        "m@sha256:1",
        ...["api", "web", "worker"].map((name) => `registry.example/shop-${name}@sha256:${"a".repeat(64)}`),
      ],
    });
  });

  it("is told which cluster it is by the context's name, not by where its kubeconfig lies", async () => {
    await rollOut(release());
    expect(named("shop-cluster")).toMatchObject({
      context: "prod",
      clusterIdentifier: "prod",
      enableConfigMapMutable: "true",
      enableSecretMutable: "true",
    });
  });
});
