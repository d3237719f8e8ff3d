import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { checkout } from "../../engine/checkout.ts";
import { secret, unknown } from "../../engine/plugins/protocol/values.ts";
import { kinds as awsKinds } from "../../engine/plugins/recorder/aws.ts";
import type { Kind } from "../../engine/plugins/recorder/catalog.ts";
import { kinds as cloudflareKinds } from "../../engine/plugins/recorder/cloudflare.ts";
import { type Faults, strikes } from "../../engine/plugins/recorder/faults.ts";
import { hidden } from "../../engine/plugins/recorder/hide.ts";
import { Journal, type Placed } from "../../engine/plugins/recorder/journal.ts";
import { modelNamed } from "../../engine/plugins/recorder/models.ts";
import { RecorderWorld } from "../support/recorder/world.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "switchyard-recorder-unit-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const operation = (name: string, more: Partial<Placed> = {}) => ({
  package: "kubernetes",
  operation: "create" as const,
  preview: false,
  urn: `urn:pulumi:staging::p::kubernetes:apps/v1:Deployment::${name}`,
  type: "kubernetes:apps/v1:Deployment",
  name,
  inputs: {},
  ...more,
});

describe("the catalogues", () => {
  const files = (owner: string) =>
    new Map(
      readdirSync(join(checkout, "node_modules", "@pulumi", owner)).map((name) => [name.toLowerCase(), name]),
    );
  const source = (owner: string, type: string): string => {
    const [path = ""] = type.replace("index/", "").split(":");
    const file = `${path}.js`;
    return readFileSync(
      join(checkout, "node_modules", "@pulumi", owner, files(owner).get(file.toLowerCase()) ?? file),
      "utf8",
    );
  };
  const all: [string, string, Kind][] = [
    ...Object.entries(awsKinds).map(([type, kind]): [string, string, Kind] => ["aws", type, kind]),
    ...Object.entries(cloudflareKinds).map(([type, kind]): [string, string, Kind] => [
      "cloudflare",
      type,
      kind,
    ]),
  ];

  it.each(
    all,
  )("%s:%s is a type of the SDK, and names inputs and outputs that it has", (owner, type, kind) => {
    const text = source(owner, type);
    expect(text).toContain(`__pulumiType = '${owner}:${type}'`);
    const inputs = [...(kind.replaces === "all" ? [] : kind.replaces), kind.named].filter(
      (name) => name !== undefined,
    );
    // Some older resources lack an input that their newer siblings share.
    const missing = inputs.filter((name) => !text.includes(`args?.${name}`));
    expect(missing.filter((name) => !["expectedBucketOwner"].includes(name))).toEqual([]);
    const known = { stack: "s", inputs: {}, id: "id", was: {}, time: "now", settings: {} };
    const outputs = Object.keys(kind.outputs?.(known) ?? {});
    expect(outputs.filter((name) => !text.includes(`resourceInputs["${name}"]`))).toEqual([]);
  });
});

describe("models", () => {
  it.each([
    ["kubernetes:apps/v1:Deployment", ["spec", "selector", "matchLabels", "app"], true],
    ["kubernetes:apps/v1:Deployment", ["spec", "template", "spec"], false],
    ["kubernetes:apps/v1:Deployment", ["metadata", "name"], true],
    ["kubernetes:apps/v1:Deployment", ["metadata", "namespace"], true],
    ["kubernetes:apps/v1:Deployment", ["metadata", "labels", "app"], false],
    ["kubernetes:apps/v1:StatefulSet", ["spec", "serviceName"], true],
    ["kubernetes:apps/v1:StatefulSet", ["spec", "replicas"], false],
    ["kubernetes:batch/v1:Job", ["spec", "template", "spec", "containers", 0, "image"], true],
    ["kubernetes:batch/v1:CronJob", ["spec", "jobTemplate"], false],
    ["kubernetes:core/v1:Service", ["spec", "clusterIP"], true],
    ["kubernetes:core/v1:Service", ["spec", "selector", "app"], false],
    ["kubernetes:core/v1:Secret", ["data"], true],
    ["kubernetes:core/v1:ConfigMap", ["data", "key"], true],
    ["kubernetes:policy/v1:PodDisruptionBudget", ["spec", "minAvailable"], false],
    ["kubernetes:rbac.authorization.k8s.io/v1:RoleBinding", ["roleRef", "name"], true],
    ["kubernetes:rbac.authorization.k8s.io/v1:RoleBinding", ["subjects", 0], false],
    ["aws:s3/bucket:Bucket", ["bucket"], true],
    ["aws:s3/bucket:Bucket", ["tags", "a"], false],
    ["cloudflare:index/workerVersion:WorkerVersion", ["annotations", "message"], true],
    ["cloudflare:index/workersDeployment:WorkersDeployment", ["versions", 0, "percentage"], true],
    ["cloudflare:index/workersRoute:WorkersRoute", ["zoneId"], true],
    ["cloudflare:index/workersRoute:WorkersRoute", ["pattern"], false],
    ["cloudflare:index/ruleset:Ruleset", ["rules", 0, "action"], false],
  ])("%s: %j replaces: %s", async (type, path, replaces) => {
    const model = await modelNamed(type.split(":")[0] ?? "");
    expect(model.replaces(type, {})(path)).toBe(replaces);
  });

  it("a ConfigMap and a Secret change in place where the provider is told so, unless they are immutable", async () => {
    const model = await modelNamed("kubernetes");
    model.configure({ enableConfigMapMutable: true, enableSecretMutable: "true" });
    const data = (kind: string, immutable: boolean) =>
      model.replaces(`kubernetes:core/v1:${kind}`, { immutable })(["data", "a"]);
    expect([data("ConfigMap", false), data("Secret", false)]).toEqual([false, false]);
    expect([data("ConfigMap", true), data("Secret", true)]).toEqual([true, true]);
  });

  it.each([
    "kubernetes:helm.sh/v3:Release",
    "kubernetes:yaml/v2:ConfigFile",
    "kubernetes:apps/v1:DeploymentPatch",
    "kubernetes:core/v1:PodList",
    "aws:sns/topic:Topic",
    "cloudflare:index/pagesProject:PagesProject",
  ])("%s is refused by its name", async (type) => {
    const model = await modelNamed(type.split(":")[0] ?? "");
    expect(() => model.check({ urn: "", stack: "", type, name: "a" }, undefined, {}, () => false)).toThrow(
      `the recorder has no ${type}`,
    );
  });

  it.each([
    "kubernetes",
    "aws",
    "cloudflare",
  ])("a function that %s does not have here is named", async (name) => {
    const model = await modelNamed(name);
    expect(() => model.invoke(`${name}:a:b`, {})).toThrow(`the recorder has no function ${name}:a:b`);
  });
});

it("what is written down holds no secret, nothing unknown, and no long text", () => {
  expect(
    hidden({ a: secret({ b: "c" }), list: [secret("x"), unknown], long: "y".repeat(5_000), short: 1 }),
  ).toEqual({
    a: "[secret]",
    list: ["[secret]", "[unknown]"],
    long: expect.stringMatching(/^\[5000 characters, sha256 [0-9a-f]{12}\]$/),
    short: 1,
  });
});

describe("the journal", () => {
  it("numbers the operations of several processes in the order in which they wrote", () => {
    const [one, other] = [new Journal(folder), new Journal(folder)];
    const sequences = [one.begin(operation("a")), other.begin(operation("b")), other.begin(operation("c"))];
    sequences.push(one.begin(operation("d")));
    expect(sequences.map(({ sequence }) => sequence)).toEqual([1, 2, 3, 4]);
    expect(one.begun().map(({ name }) => name)).toEqual(["a", "b", "c", "d"]);
  });
});

describe("faults", () => {
  const hit = (faults: Faults, operations: readonly ReturnType<typeof operation>[], since = 0): string[] => {
    writeFileSync(join(folder, "faults.json"), JSON.stringify({ since, ...faults }));
    const journal = new Journal(folder);
    return operations.flatMap((one) => {
      const begun = journal.begin(one);
      const { fail, die, milliseconds } = strikes(folder, journal.begun(), begun);
      const found = [fail?.message, die?.when, milliseconds > 0 ? String(milliseconds) : undefined];
      return found
        .filter((text) => text !== undefined)
        .map((text) => `${one.operation} ${one.name}: ${text}`);
    });
  };
  const [a, b] = [operation("web-a"), operation("web-b")];

  it("strike what they match, each time or the nth time", () => {
    expect(hit({ fail: [{ match: "Deployment web-b", message: "no" }] }, [a, b, b])).toEqual([
      "create web-b: no",
      "create web-b: no",
    ]);
    rmSync(join(folder, "journal.jsonl"));
    expect(
      hit({ die: [{ nth: 2, when: "after" }], slow: [{ match: "web", nth: 3, milliseconds: 5 }] }, [a, b, a]),
    ).toEqual(["create web-b: after", "create web-a: 5"]);
  });

  it("leave reads and previews alone, unless they are meant", () => {
    const preview = operation("web-a", { preview: true });
    const read = operation("web-a", { operation: "read" as never });
    expect(hit({ fail: [{ nth: 1, message: "no" }] }, [preview, read, a])).toEqual(["create web-a: no"]);
    rmSync(join(folder, "journal.jsonl"));
    const meant = {
      fail: [
        { operation: "read" as const, message: "gone" },
        { preview: true, message: "seen" },
      ],
    };
    expect(hit(meant, [preview, read, a])).toEqual(["create web-a: seen", "read web-a: gone"]);
  });

  it("count from when they were set", () => {
    const world = new RecorderWorld();
    try {
      const journal = new Journal(world.folder);
      journal.begin(a);
      world.setFaults({ fail: [{ nth: 1, message: "no" }] });
      const next = journal.begin(b);
      expect(strikes(world.folder, journal.begun(), next).fail?.message).toBe("no");
    } finally {
      world.remove();
    }
  });

  it("that cannot be read stop every operation with the file's name", () => {
    writeFileSync(join(folder, "faults.json"), "{");
    const journal = new Journal(folder);
    const begun = journal.begin(a);
    expect(() => strikes(folder, journal.begun(), begun)).toThrow(/faults\.json is no JSON/);
  });
});
