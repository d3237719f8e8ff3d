import { execFile } from "node:child_process";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { engineEnvironment } from "../../engine/environment.ts";
import { markerFile } from "../../engine/plugins/recorder/place.ts";
import { standInFolder } from "../../engine/plugins.ts";
import { Trial } from "../support/recorder/trial.ts";

/** The real engine, in a stack named production, with no plugin but the recorder. */
let trial: Trial;
beforeEach(async () => {
  trial = await Trial.create();
});
afterEach(() => trial.remove());

/** A Deployment's arguments. */
const web = ({ label = "web", image = "web:1", name = "web" } = {}) => `{
  metadata: { name: "${name}" },
  spec: {
    replicas: 3,
    selector: { matchLabels: { app: "${label}" } },
    template: { metadata: { labels: { app: "${label}" } }, spec: { containers: [{ name: "web", image: "${image}" }] } },
  },
}`;

describe("what it answers for", () => {
  it("objects of Kubernetes, with what a cluster adds to them", async () => {
    const run = await trial.up(`
      const namespace = new k8s.core.v1.Namespace("space", { metadata: { name: "trial" } });
      const metadata = (name) => ({ name, namespace: namespace.metadata.name });
      const of = { labels: { app: "web" } };
      const pod = { metadata: of, spec: { containers: [{ name: "web", image: "web:1" }] } };
      const selector = { matchLabels: { app: "web" } };
      const deployment = new k8s.apps.v1.Deployment("deployment",
        { metadata: metadata("web"), spec: { replicas: 3, selector, template: pod } });
      const service = new k8s.core.v1.Service("service",
        { metadata: metadata("web"), spec: { selector: { app: "web" }, ports: [{ port: 80 }] } });
      new k8s.core.v1.ServiceAccount("account", { metadata: metadata("web") });
      new k8s.core.v1.ConfigMap("map", { metadata: metadata("web"), data: { a: "b" } });
      const job = new k8s.batch.v1.Job("job", { metadata: metadata("once"), spec: { template: pod } });
      new k8s.batch.v1.CronJob("cron",
        { metadata: metadata("nightly"), spec: { schedule: "0 3 * * *", jobTemplate: { spec: { template: pod } } } });
      new k8s.policy.v1.PodDisruptionBudget("budget", { metadata: metadata("web"), spec: { minAvailable: 1, selector } });
      new k8s.networking.v1.NetworkPolicy("policy", { metadata: metadata("web"), spec: { podSelector: {} } });
      const ingress = new k8s.networking.v1.Ingress("ingress",
        { metadata: metadata("web"), spec: { defaultBackend: { service: { name: "web", port: { number: 80 } } } } });
      new k8s.rbac.v1.Role("role", { metadata: metadata("web"), rules: [] });
      new k8s.rbac.v1.RoleBinding("binding", { metadata: metadata("web"),
        roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: "web" } });
      new k8s.coordination.v1.Lease("lease", { metadata: metadata("web"), spec: { holderIdentity: "nobody" } });
      export const seen = {
        available: deployment.status.availableReplicas, id: deployment.id, generation: deployment.metadata.generation,
        address: service.spec.clusterIP, done: job.status.succeeded, at: ingress.status.loadBalancer.ingress[0].ip };
    `);
    expect(run.messages).toContain("Switchyard's recorder answers for kubernetes: a stand-in for tests");
    expect(run.outputs.seen).toEqual({
      available: 3,
      id: "trial/web",
      generation: 1,
      address: expect.stringMatching(/^10\.96\.\d+\.\d+$/),
      done: 1,
      at: "192.0.2.10",
    });
    expect(trial.world.things().map(({ type, id }) => `${type} ${id}`)).toEqual([
      "kubernetes:apps/v1:Deployment trial/web",
      "kubernetes:batch/v1:CronJob trial/nightly",
      "kubernetes:batch/v1:Job trial/once",
      "kubernetes:coordination.k8s.io/v1:Lease trial/web",
      "kubernetes:core/v1:ConfigMap trial/web",
      "kubernetes:core/v1:Namespace trial",
      "kubernetes:core/v1:Service trial/web",
      "kubernetes:core/v1:ServiceAccount trial/web",
      "kubernetes:networking.k8s.io/v1:Ingress trial/web",
      "kubernetes:networking.k8s.io/v1:NetworkPolicy trial/web",
      "kubernetes:policy/v1:PodDisruptionBudget trial/web",
      "kubernetes:rbac.authorization.k8s.io/v1:Role trial/web",
      "kubernetes:rbac.authorization.k8s.io/v1:RoleBinding trial/web",
    ]);
  });

  const clouds = (arg = "first") => `
    const key = new aws.kms.Key("key", { description: "${arg}" });
    new aws.kms.Alias("alias", { name: "alias/vault", targetKeyId: key.keyId });
    const bucket = new aws.s3.Bucket("vault", { bucket: "vault", objectLockEnabled: true });
    new aws.s3.BucketVersioning("versioning", { bucket: bucket.id, versioningConfiguration: { status: "Enabled" } });
    const document = aws.iam.getPolicyDocumentOutput({
      statements: [{ actions: ["s3:PutObject"], resources: [pulumi.interpolate\`\${bucket.arn}/*\`] }] });
    new aws.s3.BucketPolicy("tls", { bucket: bucket.id, policy: document.json });
    const user = new aws.iam.User("writer", { name: "writer" });
    new aws.iam.UserPolicy("add-only", { user: user.name, policy: document.json });
    const access = new aws.iam.AccessKey("access", { user: user.name });
    const worker = new cf.Worker("worker", { accountId: "account", name: "pod" });
    const version = new cf.WorkerVersion("version", { accountId: "account", workerId: worker.id, mainModule: "main.js",
      modules: [{ name: "main.js", contentType: "application/javascript+module", contentBase64: btoa("${arg}") }] });
    new cf.WorkersDeployment("deployment", { accountId: "account", scriptName: worker.name, strategy: "percentage",
      versions: [{ versionId: version.id, percentage: 100 }] });
    new cf.WorkersRoute("route", { zoneId: "zone", pattern: "${arg}.example.com/*", script: worker.name });
    new cf.WorkersCustomDomain("domain", { accountId: "account", hostname: "pod.example.com", service: worker.name,
      zoneId: "zone" });
    new cf.Ruleset("rules", { zoneId: "zone", kind: "zone", phase: "http_ratelimit", name: "limits",
      rules: [{ action: "block", expression: "${arg}" }] });
    const who = await aws.getCallerIdentity();
    export const seen = { key: key.arn, bucket: bucket.arn, secret: access.secret, who: who.accountId,
      version: version.id, worker: worker.id, domain: bucket.bucketRegionalDomainName, policy: document.json };
  `;

  it("a vault in AWS and a Worker at Cloudflare; what cannot change is replaced", async () => {
    const first = await trial.up(clouds());
    expect(first.ok, first.messages).toBe(true);
    expect(first.outputs.seen).toEqual({
      key: expect.stringMatching(/^arn:aws:kms:eu-central-1:123456789012:key\/[0-9a-f-]{36}$/),
      bucket: "arn:aws:s3:::vault",
      secret: expect.objectContaining({ ciphertext: "[secret]" }),
      who: "123456789012",
      version: expect.stringMatching(/^[0-9a-f-]{36}$/),
      worker: expect.stringMatching(/^[0-9a-f]{32}$/),
      domain: "vault.s3.eu-central-1.amazonaws.com",
      policy: expect.stringContaining('"Resource": "arn:aws:s3:::vault/*"'),
    });
    expect((await trial.up(clouds())).steps).toEqual([]);

    const second = await trial.up(clouds("second"));
    const replaced = (name: string) => ["create-replacement", "replace"].map((op) => `${op} ${name}`);
    const expected = [
      "update Key key",
      "update WorkersRoute route",
      "update Ruleset rules",
      ...replaced("WorkerVersion version"),
      ...replaced("WorkersDeployment deployment"),
      "delete-replaced WorkerVersion version",
      "delete-replaced WorkersDeployment deployment",
    ];
    expect(second.steps.toSorted()).toEqual(expected.toSorted());
    // Deleting a version or a deployment takes nothing away at Cloudflare.
    const deployments = { match: "WorkersDeployment" };
    expect(trial.world.things(deployments)).toHaveLength(1);
    expect(trial.world.things(deployments, true)).toHaveLength(2);
  });

  it("nothing it does not know, which it names", async () => {
    const topic = await trial.up('new aws.sns.Topic("topic");');
    expect(topic.ok).toBe(false);
    expect(topic.messages).toContain("the recorder has no aws:sns/topic:Topic");
  });
});

describe("the life of a resource", () => {
  const deployment = (args?: Parameters<typeof web>[0], options = "{}") =>
    `new k8s.apps.v1.Deployment("web", ${web(args)}, ${options});`;

  it("goes through create, update, replacement and delete, and the journal tells all with their inputs", async () => {
    expect((await trial.up(deployment())).steps).toEqual(["create Deployment web"]);
    expect((await trial.up(deployment({ image: "web:2" }))).steps).toEqual(["update Deployment web"]);
    expect((await trial.state("web")).outputs).toMatchObject({
      metadata: { generation: 2, resourceVersion: "2" },
      spec: { template: { spec: { containers: [{ image: "web:2" }] } } },
    });
    // The name is the program's own: the old one must go first.
    expect((await trial.up(deployment({ label: "other" }))).steps).toEqual([
      "delete-replaced Deployment web",
      "replace Deployment web",
      "create-replacement Deployment web",
    ]);
    expect((await trial.up(deployment({ label: "other", name: "renamed" }))).steps).toEqual([
      "create-replacement Deployment web",
      "replace Deployment web",
      "delete-replaced Deployment web",
    ]);
    expect((await trial.destroy()).steps).toEqual(["delete Deployment web"]);
    const type = "kubernetes:apps/v1:Deployment";
    expect(trial.world.steps()).toEqual(
      ["create", "update", "delete", "create", "create", "delete", "delete"].map((op) => `${op} ${type} web`),
    );
    const [create, update] = trial.world.journal();
    expect(create).toMatchObject({
      sequence: 1,
      package: "kubernetes",
      operation: "create",
      urn: `urn:pulumi:production::recorded::${type}::web`,
      preview: false,
      outcome: "done",
      inputs: { metadata: { name: "web", namespace: "default" }, spec: { replicas: 3 } },
    });
    expect(Date.parse(create?.ended ?? "")).toBeGreaterThanOrEqual(Date.parse(create?.time ?? ""));
    expect(update?.inputs).toMatchObject({
      spec: { template: { spec: { containers: [{ image: "web:2" }] } } },
    });
  });

  it("keeps a name it was given by itself, and gets another one with its replacement", async () => {
    const map = (data: string) =>
      `const map = new k8s.core.v1.ConfigMap("settings", { data: { a: "${data}" } }); export const name = map.metadata.name;`;
    const previewed = await trial.preview(map("1"));
    const first = await trial.up(map("1"));
    expect(first.outputs.name).toMatch(/^settings-[0-9a-f]{8}$/);
    expect(previewed.outputs.name).toBe(first.outputs.name);
    expect(trial.world.journal({ previews: true })).toMatchObject([{ operation: "create", preview: true }]);
    const second = await trial.up(map("2"));
    expect(second.steps).toEqual([
      "create-replacement ConfigMap settings",
      "replace ConfigMap settings",
      "delete-replaced ConfigMap settings",
    ]);
    expect(second.outputs.name).toMatch(/^settings-[0-9a-f]{8}$/);
    expect(second.outputs.name).not.toBe(first.outputs.name);
    expect(trial.world.thing({ match: "ConfigMap" }).outputs).toMatchObject({ data: { a: "2" } });
  });

  it("is left alone with ignoreChanges, and cannot be deleted when protected", async () => {
    const frozen = '{ ignoreChanges: ["*"], protect: true }';
    await trial.up(deployment({}, frozen));
    expect((await trial.up(deployment({ image: "web:2", label: "other" }, frozen))).steps).toEqual([]);
    const gone = await trial.up("");
    expect(gone.ok).toBe(false);
    expect(gone.messages).toContain("protected");
    expect(trial.world.steps()).toEqual(["create kubernetes:apps/v1:Deployment web"]);
  });

  it("waits for what it depends on, across packages and commands, and is deleted before it", async () => {
    const chain = `
      const bucket = new aws.s3.Bucket("a", { bucket: "a" });
      const command = new local.Command("b", { create: "true" }, { dependsOn: bucket });
      const worker = new cf.Worker("c", { accountId: "account", name: "c" }, { dependsOn: command });
      new k8s.apps.v1.Deployment("d", ${web()}, { dependsOn: worker });
    `;
    const run = await trial.up(chain);
    expect(run.steps).toEqual([
      "create Bucket a",
      "create Command b",
      "create Worker c",
      "create Deployment d",
    ]);
    await trial.destroy();
    const order = [
      "aws:s3/bucket:Bucket a",
      "cloudflare:index/worker:Worker c",
      "kubernetes:apps/v1:Deployment d",
    ];
    expect(trial.world.steps()).toEqual([
      ...order.map((one) => `create ${one}`),
      ...order.toReversed().map((one) => `delete ${one}`),
    ]);
  });

  it("keeps its secrets: in the state, the journal and the world", async () => {
    const run = await trial.up(`
      new k8s.core.v1.Secret("keys", { metadata: { name: "keys" }, stringData: { token: "very-secret-token" } });
      new k8s.core.v1.ConfigMap("map", { metadata: { name: "map" }, data: { url: pulumi.secret("very-secret-url") } });
      const user = new aws.iam.User("writer", { name: "writer" });
      new aws.iam.AccessKey("access", { user: user.name });
    `);
    expect(run.ok, run.messages).toBe(true);
    expect(trial.stored()).not.toMatch(/very-secret|recorded-secret/);
    expect(trial.world.journal({ match: "Secret" })).toMatchObject([{ inputs: { stringData: "[secret]" } }]);
    expect(trial.world.thing({ match: "AccessKey" }).outputs).toMatchObject({ secret: "[secret]" });
    expect((await trial.state("access")).outputs.secret).toMatchObject({
      plaintext: expect.stringContaining("recorded-secret-"),
    });
  });

  it("in a preview knows what is known: names, and outputs that an update leaves", async () => {
    const program = (image: string) => `
      const web = new k8s.apps.v1.Deployment("web", ${web({ image: "IMAGE" }).replace("IMAGE", image)});
      export const seen = { name: web.metadata.name, uid: web.metadata.uid, ready: web.status.readyReplicas };
    `;
    const unknown = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";
    const before = await trial.preview(program("web:1"));
    expect(before.steps).toEqual(["create Deployment web"]);
    expect(before.outputs.seen).toEqual({ name: "web", uid: unknown, ready: unknown });
    expect(trial.world.things()).toEqual([]);
    const made = await trial.up(program("web:1"));
    const changed = await trial.preview(program("web:2"));
    expect(changed.steps).toEqual(["update Deployment web"]);
    expect(changed.outputs.seen).toEqual(made.outputs.seen);
  });
});

describe("the world", () => {
  it("has one thing a name, and nothing in a namespace that is not there", async () => {
    const taken = await trial.up(`
      const one = new aws.s3.Bucket("one", { bucket: "same" });
      new aws.s3.Bucket("two", { bucket: "same" }, { dependsOn: one });
    `);
    expect(taken.messages).toContain('aws:s3/bucket:Bucket "same" already exists, made as one');
    const homeless =
      'new k8s.core.v1.ServiceAccount("a", { metadata: { name: "a", namespace: "nowhere" } });';
    expect((await trial.up(homeless)).messages).toContain('namespaces "nowhere" not found');
    trial.world.give({ stack: "production", type: "kubernetes:core/v1:Namespace", id: "nowhere" });
    expect((await trial.up(homeless)).steps).toEqual(["create ServiceAccount a", "delete Bucket one"]);
  });

  it("may lose something: a refresh finds out, and the next update makes it again", async () => {
    const body = `new k8s.apps.v1.Deployment("web", ${web()});`;
    await trial.up(body);
    trial.world.lose({ match: "Deployment web" });
    expect((await trial.refresh()).ok).toBe(true);
    expect((await trial.up(body)).steps).toEqual(["create Deployment web"]);
  });
});

describe("faults", () => {
  const two = `
    const one = new k8s.core.v1.ConfigMap("one", { metadata: { name: "one" }, data: { a: "b" } });
    const web = new k8s.apps.v1.Deployment("web", ${web()}, { dependsOn: one });
    new k8s.core.v1.ConfigMap("after", { metadata: { name: "after" } }, { dependsOn: web });
  `;
  const names = () => trial.world.things().map(({ name }) => name);

  it("an operation fails, and what depends on it does not run; without the fault it goes on", async () => {
    trial.world.setFaults({ fail: [{ match: "Deployment web", nth: 1, message: "no quota left" }] });
    const failed = await trial.up(two);
    expect(failed.ok).toBe(false);
    expect(failed.messages).toContain("no quota left");
    expect(trial.world.steps()).toEqual([
      "create kubernetes:core/v1:ConfigMap one",
      "create kubernetes:apps/v1:Deployment web failed",
    ]);
    expect(names()).toEqual(["one"]);
    const position = trial.world.position();
    expect((await trial.up(two)).ok).toBe(true);
    expect(trial.world.steps({ after: position })).toEqual([
      "create kubernetes:apps/v1:Deployment web",
      "create kubernetes:core/v1:ConfigMap after",
    ]);
  });

  it("what was made and failed all the same is in the state, and tried again as an update", async () => {
    trial.world.setFaults({
      fail: [{ match: "Deployment web", message: "0 of 3 replicas ready", made: true }],
    });
    const failed = await trial.up(two);
    expect(failed.ok).toBe(false);
    expect(failed.messages).toContain("0 of 3 replicas ready");
    expect(names()).toEqual(["web", "one"]);
    expect((await trial.state("web")).id).toBe("default/web");
    trial.world.clearFaults();
    expect((await trial.up(two)).steps).toEqual(["update Deployment web", "create ConfigMap after"]);
  });

  it("an operation is slow, and its own time limit ends it", async () => {
    trial.world.setFaults({ slow: [{ match: "Deployment web", milliseconds: 600 }] });
    expect((await trial.up(two)).ok).toBe(true);
    const [, slow] = trial.world.journal();
    expect(Date.parse(slow?.ended ?? "") - Date.parse(slow?.time ?? "")).toBeGreaterThanOrEqual(590);
    await trial.destroy();
    trial.world.setFaults({ slow: [{ match: "Deployment web", milliseconds: 60_000 }] });
    const limited = `new k8s.apps.v1.Deployment("web", ${web()}, { customTimeouts: { create: "1s" } });`;
    expect((await trial.up(limited)).messages).toContain("timed out after 1 s");
  });

  it.each([
    ["before", []],
    ["after", ["web"]],
  ] as const)("the process dies %s doing the second operation", async (when, made) => {
    trial.world.setFaults({ die: [{ nth: 2, when }] });
    const died = await trial.up(two);
    expect(died.ok).toBe(false);
    expect(trial.world.steps()).toEqual([
      "create kubernetes:core/v1:ConfigMap one",
      "create kubernetes:apps/v1:Deployment web never ended",
    ]);
    expect(names()).toEqual([...made, "one"]);
    // The engine has heard nothing of it: what was made stands in the way of the next update.
    const again = await trial.up(two);
    expect(again.ok).toBe(when === "before");
    if (when === "after") expect(again.messages).toContain('"default/web" already exists, made as web');
  });
});

describe("where it refuses", () => {
  const body = 'new k8s.core.v1.ConfigMap("map", { metadata: { name: "map" } });';
  const run = promisify(execFile);
  const started = (env: NodeJS.ProcessEnv) =>
    run(join(standInFolder("kubernetes"), "pulumi-resource-kubernetes"), [], {
      env: { PATH: process.env.PATH, ...env },
      timeout: 20_000,
    }).then(
      () => "started",
      (error: { stderr: string }) => error.stderr,
    );

  it("a folder that no test has made stops the engine before it starts", async () => {
    rmSync(join(trial.world.folder, markerFile));
    const refusal =
      /SWITCHYARD_RECORDER is .*, which is no folder that a test has made.*unset SWITCHYARD_RECORDER/;
    await expect(trial.world.engine("production")).rejects.toThrow(refusal);
    expect(await started(trial.world.environment)).toMatch(refusal);
    const run = await trial.up(body);
    expect(run.ok).toBe(false);
    expect(trial.world.things()).toEqual([]);
  });

  it("a state that is elsewhere is not touched", async () => {
    const elsewhere = { ...trial.world.environment, PULUMI_BACKEND_URL: "s3://ours" };
    const refusal =
      "the recorder writes only to a state of its own: PULUMI_BACKEND_URL is s3://ours, expected file://";
    expect(await started(elsewhere)).toContain(refusal);
    await expect(
      engineEnvironment({ stack: "staging", env: { ...process.env, ...elsewhere } }),
    ).rejects.toThrow(refusal);
  });

  it("nobody who did not ask for it gets it, even from PATH", async () => {
    expect(await started({})).toMatch(
      /stand-in for tests.*SWITCHYARD_RECORDER is not set.*pulumi plugin install/s,
    );
    const { SWITCHYARD_RECORDER: _, ...rest } = process.env;
    const PATH = `${standInFolder("aws")}:${process.env.PATH}`;
    for (const stack of ["development", "staging", "production"]) {
      const { environment, standIns } = await engineEnvironment({ stack, env: { ...rest, PATH } });
      expect(environment.PATH).not.toContain(standInFolder("aws"));
      expect(standIns.filter(({ source }) => source === "recorder")).toEqual([]);
    }
  });

  it("in a recorded test it comes before a vendor's plugin, and brings its own command plugin: the bundled one refuses", async () => {
    for (const stack of ["development", "staging", "production"]) {
      const { environment, standIns } = await trial.world.engine(stack);
      const path = environment.PATH?.split(":") ?? [];
      expect(path[0]).toBe(standInFolder("kubernetes"));
      expect(path).not.toContain(standInFolder("command"));
      expect(standIns.map(({ name, source, version }) => `${name} ${source} ${version}`)).toEqual([
        "kubernetes recorder 4.34.2",
        "aws recorder 7.48.0",
        "cloudflare recorder 6.22.1",
      ]);
    }
  });
});
