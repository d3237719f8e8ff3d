import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { RecordedBox } from "../support/box/recorded-box.ts";
import { Checkout } from "../support/checkout.ts";
import { RecorderWorld } from "../support/recorder/world.ts";

/**
 * CHR-5, CHR-11: Chrono in production with a vault, the whole program on the real engine. The recorder stands in for
 * AWS, and a host that writes down what it is asked for, for the box; test/box/vault.test.ts has a real one.
 */

let world: RecorderWorld;
let box: RecordedBox;
let checkout: Checkout;

const secrets = {
  "switchyard:fingerprintKey": "0123456789abcdef".repeat(4),
  "chrono:databaseUrl": "postgresql://chrono:pw-Zq81kTrv@127.0.0.1:5432/chrono",
  "chrono:databaseAdminUrl": "postgresql://admin:pw-Hm20xUic@127.0.0.1:5432/chrono",
  "chrono:redisUrl": "redis://127.0.0.1:6379",
  "vault:password": "pw-never lose it",
  "vault:configurationKey": "token-Yb72sWop",
};

beforeAll(async () => {
  world = new RecorderWorld();
  box = await RecordedBox.start();
  checkout = new Checkout({ environment: { ...world.environment, SSH_AUTH_SOCK: box.agent } });
  const config = {
    "chrono:box": box.config,
    "chrono:source": { git: "https://git.example/chrono.git" },
    "chrono:databaseReplicas": 1,
    "chrono:redisPersistence": true,
    "chrono:live": "v1",
    "chrono:releases": { v1: { schema: { provides: 1, needs: 0, change: "expand" } } },
    "vault:bucket": "switchyard-production",
    "vault:region": "eu-central-1",
    "vault:retention": { days: 90, mode: "COMPLIANCE" },
    "vault:configuration": { git: "https://git.example/boxes.git" },
  };
  writeFileSync(join(checkout.directory, "Pulumi.production.yaml"), JSON.stringify({ config }));
  const made = await checkout.pulumi("stack", "init", "--stack", "production");
  expect(made.code, made.output).toBe(0);
  for (const [key, value] of Object.entries(secrets)) {
    const words = ["config", "set", "--stack", "production", "--secret", key];
    const set = await checkout.start(["operations/switchyard.sh", "pulumi", ...words], value).ended;
    expect(set.code, set.output).toBe(0);
  }
});
afterAll(async () => {
  checkout?.remove();
  await box?.stop();
  world?.remove();
});

const up = () =>
  checkout.pulumi("up", "--stack", "production", "--yes", "--skip-preview", "--continue-on-error");

it("does nothing of a release on a box whose vault does not come about", async () => {
  box.answers = (verb) =>
    verb === "vault-prepare chrono" ? new Error("restic init: no such bucket") : undefined;
  const { code, output } = await up();
  expect(code).not.toBe(0);
  expect(output).toContain("restic init: no such bucket");
  expect(box.verbs()).toEqual(["toolkit", "ground", "vault-prepare chrono"]);
});

it("stores nothing before the bucket is whole, and migrates nothing before it is stored", async () => {
  box.asked.length = 0;
  const id = "2026-11-21-09-30-05";
  box.answers = (verb) =>
    verb.startsWith("backup chrono v1 ") ? { id: "local", vault: { id, repository: "2026-11" } } : undefined;
  const { code, output } = await up();
  expect(code, output).toBe(0);
  expect(box.verbs()).toEqual([
    "vault-prepare chrono",
    "policy chrono",
    "preflight chrono v1",
    "backup chrono v1",
    "migrate chrono v1",
    "place chrono v1",
    "gates chrono v1",
    "guarded chrono v1",
    "cutover chrono v1",
  ]);
  const asked = box.asked.find(({ verb }) => verb === "policy chrono");
  expect(JSON.parse(asked?.stdin ?? "{}")).toMatchObject({
    connections: {
      replicas: { declared: 1, key: "chrono:databaseReplicas" },
      persistence: { declared: true, key: "chrono:redisPersistence" },
    },
  });
  const outputs = await checkout.pulumi("stack", "output", "--stack", "production", "--json");
  expect((JSON.parse(outputs.stdout) as { chrono: object }).chrono).toMatchObject({ backups: { v1: id } });
  const ended = world.journal({ package: "aws" }).map(({ ended: at = "" }) => at);
  const began = box.asked.find(({ verb }) => verb === "vault-prepare chrono")?.at.toISOString() ?? "";
  expect(ended.filter((at) => at > began)).toEqual([]);
});

it("is a bucket and one writer, and nothing besides", () => {
  const made = world.steps({ package: "aws" }).map((step) => step.replace("create aws:", ""));
  expect(made.toSorted()).toEqual([
    "iam/accessKey:AccessKey vault-chrono",
    "iam/user:User vault-chrono",
    "iam/userPolicy:UserPolicy vault-chrono",
    "kms/alias:Alias vault-key",
    "kms/key:Key vault-key",
    "s3/bucket:Bucket vault-bucket",
    "s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration vault-lifecycle",
    "s3/bucketObjectLockConfiguration:BucketObjectLockConfiguration vault-lock",
    "s3/bucketOwnershipControls:BucketOwnershipControls vault-ownership",
    "s3/bucketPolicy:BucketPolicy vault-policy",
    "s3/bucketPublicAccessBlock:BucketPublicAccessBlock vault-public-access",
    "s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration vault-encryption",
    "s3/bucketVersioning:BucketVersioning vault-versioning",
  ]);
  const inputs = (match: string) => world.thing({ match }).inputs;
  expect(inputs("vault-bucket")).toMatchObject({
    bucket: "switchyard-production",
    region: "eu-central-1",
    objectLockEnabled: true,
  });
  expect(inputs("vault-lock")).toMatchObject({
    rule: { defaultRetention: { mode: "COMPLIANCE", days: 121 } },
  });
  const policy = JSON.parse(String(inputs("UserPolicy vault-chrono").policy)) as {
    Statement: { Sid: string; Action: unknown; Resource: string }[];
  };
  const allowed = policy.Statement.map(({ Sid, Action, Resource }) => [Sid, Action, Resource]);
  expect(allowed).toContainEqual([
    "ReadAndAdd",
    ["s3:GetObject", "s3:PutObject"],
    "arn:aws:s3:::switchyard-production/chrono/*",
  ]);
  expect(allowed).toContainEqual([
    "Unlock",
    "s3:DeleteObject",
    "arn:aws:s3:::switchyard-production/chrono/*/locks/*",
  ]);
});

it("gives the box what it needs, the key among it, which is nowhere in clear", async () => {
  const asked = box.asked.find(({ verb }) => verb === "vault-prepare chrono");
  const settings = JSON.parse(asked?.stdin ?? "{}") as {
    target: { accessKeyId: string; secretAccessKey: string };
  };
  expect(settings).toMatchObject({
    system: "chrono",
    target: { kind: "s3", bucket: "switchyard-production", region: "eu-central-1" },
    password: secrets["vault:password"],
    database: {
      url: secrets["chrono:databaseUrl"],
      key: "chrono:databaseUrl",
      adminUrl: secrets["chrono:databaseAdminUrl"],
    },
    configuration: {
      git: "https://git.example/boxes.git",
      branch: "main-chrono",
      key: secrets["vault:configurationKey"],
    },
    logDays: 30,
  });
  const { secretAccessKey } = settings.target;
  expect(secretAccessKey.length).toBeGreaterThan(10);
  const exported = await checkout.pulumi("stack", "export", "--stack", "production");
  expect(exported.code).toBe(0);
  const hidden = [secretAccessKey, ...Object.values(secrets)];
  const found = hidden.filter((secret) => exported.stdout.includes(secret));
  expect(found).toEqual([]);
  // Of everything that was asked for, only standard input holds a secret.
  const words = box.asked.map(({ verb }) => verb).join("\n");
  expect(hidden.filter((secret) => words.includes(secret))).toEqual([]);
  const state = JSON.parse(exported.stdout) as {
    deployment: { resources: { urn: string; inputs?: object; protect?: boolean; dependencies?: string[] }[] };
  };
  const { resources } = state.deployment;
  const ofAws = resources.filter(({ urn }) => /[$]aws:/.test(urn));
  expect(ofAws.filter(({ protect }) => protect !== true)).toEqual([]);
  const step = resources.find(({ urn }) => urn.endsWith("Command::chrono-vault"));
  const provider = resources.find(({ urn }) => urn.includes("pulumi:providers:aws::"));
  expect(provider).toMatchObject({ inputs: { region: "eu-central-1" } });
  const waits = ofAws.filter(({ urn }) => step?.dependencies?.includes(urn));
  expect(waits.length).toBe(13);
});
