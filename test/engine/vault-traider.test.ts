import { afterAll, beforeAll, expect, it } from "vitest";
import { Kubernetes } from "../support/kubernetes/kubernetes.ts";
import { ClusterTrial, stepsOf } from "../support/kubernetes/trial.ts";
import { RecorderWorld } from "../support/recorder/world.ts";

/**
 * CHR-11: TRAIDER in production with a vault, the whole program on the real engine. The recorder stands in for AWS and
 * for the vendor's Kubernetes, whose pods are played; test/cluster/vault.test.ts has the CronJob on a real node.
 */

let world: RecorderWorld;
let kubernetes: Kubernetes;
let trial: ClusterTrial;

const context = "traider-production";
const digest = (character: string) => `sha256:${character.repeat(64)}`;
const image = `registry.example/vault-backup@${digest("e")}`;
const url = (password: string) => `postgresql://backup:${password}@prod-db.traider.com/traider_prod`;
/** Everything that any update has printed. */
let said = "";

beforeAll(async () => {
  world = new RecorderWorld();
  kubernetes = await Kubernetes.start(world, { contexts: { [context]: "production" } });
  trial = new ClusterTrial({ ...world.environment, ...kubernetes.environment });
  const changes = {
    "traider:cluster": { context, namespace: "traider-prod", bakerImage: `node@${digest("d")}` },
    "traider:vaultImage": image,
    "traider:bake": { seconds: 3, healthSeconds: 2 },
    "traider:live": "v1",
    "traider:releases": { v1: { images: { backend: digest("a"), frontend: digest("b") } } },
  };
  await trial.make("production", ["traider", "vault"], changes, {
    "traider:jwtSecret": "jwt-Zq81kTrv",
    "traider:dbPassword": "pw-Hm20xUic",
    "traider:databaseUrl": url("pw-Kp20aTeb"),
    "vault:password": "pw-never-lose-it",
    "switchyard:fingerprintKey": "k".repeat(64),
  });
});
afterAll(async () => {
  trial?.checkout.remove();
  await kubernetes?.stop();
  world?.remove();
});

async function up() {
  const ended = await trial.up("production", "--continue-on-error");
  said += ended.output;
  return { ...ended, steps: stepsOf(ended) };
}

const timer = ["configmap", "cronjob", "networkpolicy", "secret", "serviceaccount"].map(
  (kind) => `traider-vault-${kind}`,
);
const ofTimer = (steps: readonly string[]) => steps.join("\n").match(/traider-vault-\w+/g) ?? [];

it("has neither a timer nor a release on a cluster while the bucket is not closed", async () => {
  world.setFaults({ fail: [{ match: "vault-policy", message: "AccessDenied: PutBucketPolicy" }] });
  const { code, output, steps } = await up();
  world.clearFaults();
  expect(code).not.toBe(0);
  expect(output).toContain("AccessDenied: PutBucketPolicy");
  expect(ofTimer(steps)).toEqual([]);
  expect(steps).toHaveLength(1);
  expect(steps[0]).toMatch(/^traider-cluster-configmap-baker, .* created$/);
  expect(kubernetes.events).toEqual([]);
});

it("gets its timer, whole, and then the first release", async () => {
  const { code, output, steps } = await up();
  expect(code, output).toBe(0);
  expect(steps.slice(0, 2)).toEqual([`${timer.join(", ")} created`, "traider-cluster-replicas created"]);
  expect(steps.at(-1)).toBe("traider-cutover created");
  const objects = world.things({ match: " traider-vault-", package: "kubernetes" });
  expect(objects.map(({ name }) => name).toSorted()).toEqual(timer);
  for (const { inputs } of objects) {
    expect(inputs.metadata).toMatchObject({ name: "traider-vault", namespace: "traider-prod" });
  }
  const resources = await resourcesOf();
  const ofAws = resources.filter(({ urn }) => /[$]aws:/.test(urn));
  expect(ofAws.filter(({ protect }) => protect !== true)).toEqual([]);
  const cronJob = resources.find(({ urn }) => urn.endsWith("::traider-vault-cronjob"));
  expect(ofAws.filter(({ urn }) => cronJob?.dependencies?.includes(urn))).toHaveLength(13);
});

it("backs up every six hours, without a token, in the image of the config, as a writer of TRAIDER's own", async () => {
  const { schedule, jobTemplate } = world.thing({ match: "traider-vault-cronjob" }).inputs
    .spec as unknown as CronJob;
  expect(schedule).toBe("10 */6 * * *");
  const { serviceAccountName, automountServiceAccountToken, containers } = jobTemplate.spec.template.spec;
  expect({ serviceAccountName, automountServiceAccountToken }).toEqual({
    serviceAccountName: "traider-vault",
    automountServiceAccountToken: false,
  });
  expect(containers.map((container) => container.image)).toEqual([image]);
  expect(await settings()).toEqual({
    system: "traider",
    target: {
      kind: "s3",
      bucket: "switchyard-vault-production",
      region: "eu-central-1",
      accessKeyId: expect.stringMatching(/./),
      secretAccessKey: expect.stringMatching(/.{10}/),
    },
    password: "pw-never-lose-it",
    database: { url: url("pw-Kp20aTeb"), key: "traider:databaseUrl", adminUrl: null },
    configuration: null,
    logDays: 0,
  });
  expect(world.things({ match: "AccessKey" }).map(({ name }) => name)).toEqual(["vault-traider"]);
  const policy = JSON.parse(String(world.thing({ match: "UserPolicy vault-traider" }).inputs.policy)) as {
    Statement: { Sid: string; Action: unknown; Resource: string }[];
  };
  const adds = policy.Statement.find(({ Sid }) => Sid === "ReadAndAdd");
  expect(adds?.Resource).toBe("arn:aws:s3:::switchyard-vault-production/traider/*");
});

it("takes another password of its role up in place, for the next run; no release is touched", async () => {
  const [position, before] = [world.position(), kubernetes.events.length];
  await trial.setSecrets("production", { "traider:databaseUrl": url("pw-Wb51other") });
  const { code, output, steps } = await up();
  expect(code, output).toBe(0);
  expect(steps).toEqual(["traider-vault-secret updated"]);
  expect(world.steps({ after: position })).toEqual(["update kubernetes:core/v1:Secret traider-vault-secret"]);
  expect(kubernetes.events.slice(before)).toEqual([]);
  expect(await settings()).toMatchObject({ database: { url: url("pw-Wb51other") } });
  const again = await up();
  expect(again.steps).toEqual([]);
});

it("has no secret in clear in the state, in what previews and updates print, nor in any input", async () => {
  trial.edit("production", "traider", { vaultImage: `registry.example/vault-backup@${digest("f")}` });
  const preview = await trial.checkout.pulumi("preview", "--stack", "production", "--diff");
  expect(preview.code, preview.output).toBe(0);
  expect(preview.output).toContain("traider-vault-cronjob");
  const { target } = (await settings()) as { target: { secretAccessKey: string } };
  const seen = [said, preview.output, await trial.state("production"), JSON.stringify(world.journal())];
  const secrets = ["pw-Kp20aTeb", "pw-Wb51other", "pw-never-lose-it", target.secretAccessKey];
  for (const secret of [...secrets, ...secrets.map((one) => Buffer.from(one).toString("base64"))]) {
    expect(seen.findIndex((text) => text.includes(secret))).toBe(-1);
  }
});

interface CronJob {
  readonly schedule: string;
  readonly jobTemplate: {
    readonly spec: {
      readonly template: {
        readonly spec: {
          readonly serviceAccountName: string;
          readonly automountServiceAccountToken: boolean;
          readonly containers: readonly { readonly image: string }[];
        };
      };
    };
  };
}

interface Resource {
  readonly urn: string;
  readonly protect?: boolean;
  readonly dependencies?: readonly string[];
  readonly inputs?: { readonly stringData?: { readonly plaintext: string } };
}

async function resourcesOf(...words: readonly string[]): Promise<readonly Resource[]> {
  const { stdout } = await trial.checkout.pulumi("stack", "export", "--stack", "production", ...words);
  return (JSON.parse(stdout) as { deployment: { resources: Resource[] } }).deployment.resources;
}

/** What the Job is told, in clear: only whoever has the passphrase of the state sees that. */
async function settings(): Promise<unknown> {
  const resources = await resourcesOf("--show-secrets");
  const secret = resources.find(({ urn }) => urn.endsWith("::traider-vault-secret"));
  const data = JSON.parse(secret?.inputs?.stringData?.plaintext ?? "{}") as Record<string, string>;
  return JSON.parse(data["settings.json"] ?? "null");
}
