import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Kubernetes } from "../support/kubernetes/kubernetes.ts";
import type { Asked } from "../support/kubernetes/pods.ts";
import { ClusterTrial, stepsOf } from "../support/kubernetes/trial.ts";
import { RecorderWorld } from "../support/recorder/world.ts";

/**
 * TRD-2, TRD-3, TRD-5, TRD-6, TRD-11: what TRAIDER's production stack asks of its cluster, on the real engine. The
 * recorder stands in for the vendor's plugin and a played Kubernetes for the API; the program, its verbs and the baker
 * are the real ones.
 */
let world: RecorderWorld;
let kubernetes: Kubernetes;
let trial: ClusterTrial;

const context = "traider-production";
const digest = (digits: string) => `sha256:${digits.repeat(64).slice(0, 64)}`;
const entry = (character: string, colour: string) => ({
  colour,
  images: { backend: digest(character), frontend: digest(character), migration: digest(`${character}1`) },
  schema: { provides: 1, needs: 1, change: "expand" },
});

beforeAll(async () => {
  world = new RecorderWorld();
  kubernetes = await Kubernetes.start(world, { contexts: { [context]: "production" } });
  trial = new ClusterTrial({ ...world.environment, ...kubernetes.environment });
  const cluster = { context, namespace: "traider-prod", bakerImage: `node@${digest("d")}` };
  const changes = {
    "traider:cluster": cluster,
    "traider:verify": ["./verify.sh", "{image}"],
    "traider:bake": { seconds: 3, healthSeconds: 2 },
    "traider:vaultImage": `registry.example/vault-backup@${digest("e")}`,
    "traider:live": "v1",
    "traider:releases": { v1: entry("a", "blue"), v2: entry("b", "green"), v3: entry("c", "blue") },
  };
  await trial.make("production", ["traider", "vault"], changes, {
    "traider:jwtSecret": "the-jwt-of-production",
    "traider:dbPassword": "the-password-of-production",
    "traider:databaseUrl": "postgresql://backup:the-reader-of-production@prod-db.traider.com/traider_prod",
    "vault:password": "the-vault-of-production",
    "switchyard:fingerprintKey": "k".repeat(64),
  });
  // Stands for cosign and the like: refuses the images that refused.txt names.
  const verify = [
    "#!/bin/sh",
    'echo "$1" >> verified.txt',
    'case "$1" in *"$(cat refused.txt)"*) echo "no signature of $1" >&2; exit 1 ;; esac',
    "",
  ];
  writeFileSync(join(trial.checkout.directory, "verify.sh"), verify.join("\n"), { mode: 0o755 });
  refuse("none");
});
/** Everything that any update has printed. */
let said = "";

async function up(...words: readonly string[]) {
  const ended = await trial.up("production", ...words);
  said += ended.output;
  return { ...ended, steps: stepsOf(ended) };
}

/** Images whose digest holds that are refused by the verify command. */
function refuse(digits: string): void {
  writeFileSync(join(trial.checkout.directory, "refused.txt"), digits);
}

const serving = () =>
  ["backend", "frontend"].map((name) => kubernetes.serving(context, "traider-prod", `traider-${name}`));
const since = (list: readonly string[], from: number) => list.slice(from);

const taken = (there: string, back: string) =>
  [there, back].flatMap((release) => [`traider-backend → ${release}`, `traider-frontend → ${release}`]);

const together = (release: string, names: readonly string[], what: string) =>
  `${names.map((name) => `traider-${release}-${name}`).join(", ")} ${what}`;
const settings = (release: string, what = "created") =>
  together(
    release,
    [
      ...["configmap", "configmap-backend", "configmap-frontend", "configmap-migration", "configmap-worker"],
      ...["networkpolicy-backend", "networkpolicy-frontend", "networkpolicy-worker"],
      ...["poddisruptionbudget-backend", "poddisruptionbudget-frontend", "role-baker", "rolebinding-baker"],
      ...["secret-backend", "secret-frontend", "secret-migration", "secret-worker", "serviceaccount"],
    ],
    what,
  );
const ground = [
  ...["configmap-baker", "configmap-policy", "ingress-backend", "ingress-frontend", "namespace"],
  ...["role-baker", "rolebinding-baker", "service-backend", "service-backend-blue"],
  ...["service-backend-green", "service-frontend", "service-frontend-blue", "service-frontend-green"],
  "serviceaccount-baker",
];
/** The vault's timer and what it runs with. */
const timer = ["configmap", "cronjob", "networkpolicy", "secret", "serviceaccount"].map(
  (kind) => `vault-${kind}`,
);
const workloads = (release: string, what = "created") =>
  together(release, ["deployment-backend", "deployment-frontend", "statefulset-worker"], what);

afterAll(async () => {
  trial?.checkout.remove();
  await kubernetes?.stop();
  world?.remove();
});

test("the first release: ground, images verified, backup, migration, pods, gates; then it serves, and its worker trades", async () => {
  const { code, output, steps } = await up();
  expect(code, output).toBe(0);
  expect(steps).toEqual([
    `${[...ground.map((name) => `traider-cluster-${name}`), ...timer.map((name) => `traider-${name}`)].join(", ")} created`,
    "traider-cluster-replicas created",
    "traider-v1-verify created",
    settings("v1"),
    "traider-v1-backup created",
    "traider-v1-migrate created",
    workloads("v1"),
    "traider-v1-gates created",
    "traider-v1-guard created",
    "traider-cutover created",
  ]);
  expect(kubernetes.events).toEqual([
    "job backup v1",
    "job apply v1",
    "job verify v1",
    "traider-backend → v1",
    "traider-frontend → v1",
    "traider-worker v1 begins",
  ]);
  expect(await kubernetes.pods(context)).toEqual({ "backend v1": 3, "frontend v1": 3, "worker v1": 1 });
  const answers = ["backend", "frontend"].map(async (service) => {
    const origin = await kubernetes.origin(context, "traider-prod", `traider-${service}`);
    return (await (await fetch(`${origin}/`)).json()) as { release: string };
  });
  expect((await Promise.all(answers)).map(({ release }) => release)).toEqual(["v1", "v1"]);
});

test("it is what production is: live trading, images by digest, a whole bake however short the config's, hosts", () => {
  const [backend] = world.things({ match: "Deployment traider-v1", stack: "production" });
  expect(backend?.inputs.spec).toMatchObject({
    replicas: 3,
    template: {
      spec: {
        containers: [
          {
            image: `registry.example/traider-backend@${digest("a")}`,
            resources: { limits: { cpu: "2000m", memory: "2Gi" }, requests: { cpu: "2000m", memory: "2Gi" } },
          },
        ],
      },
    },
  });
  const settled = world
    .things({ match: "core/v1:ConfigMap" })
    .find(({ name }) => name.endsWith("configmap-backend"));
  expect(settled?.inputs.data).toEqual({
    ENVIRONMENT: "production",
    HOST: "0.0.0.0",
    LIVE_TRADING: "true",
    DEBUG_MODE: "false",
    DATABASE_HOST: "prod-db.traider.com",
    DATABASE_NAME: "traider_prod",
    DATABASE_PORT: "5432",
    LOG_LEVEL: "warn",
  });
  const policy =
    kubernetes.object(context, "traider-prod", "ConfigMap", "traider-policy")?.data?.policy ?? "{}";
  expect(JSON.parse(policy)).toMatchObject({ bakeSeconds: 305, replicas: { backend: 3, frontend: 3 } });
  const ingresses = world.things({ match: "Ingress" }).map(({ inputs }) => inputs.spec as unknown as Ingress);
  expect(ingresses.flatMap(({ rules }) => rules.map((rule) => rule.host))).toEqual([
    ...["api.traider.com", "blue-api.traider.com", "green-api.traider.com"],
    ...["www.traider.com", "blue-www.traider.com", "green-www.traider.com"],
  ]);
  const worker = world.thing({ match: "StatefulSet traider-v1" }).inputs.spec;
  expect(JSON.stringify(worker)).toContain(`"registry.example/traider-backend@${digest("a")}"`);
  // What has the database's password was verified too.
  expect(verified()).toEqual([
    `registry.example/traider-backend@${digest("a1")}`,
    `registry.example/traider-backend@${digest("a")}`,
    `registry.example/traider-frontend@${digest("a")}`,
  ]);
});

test("nothing changed: nothing runs", async () => {
  const { code, output } = await up("--expect-no-changes");
  expect(code, output).toBe(0);
});

test("a preview of a release names its steps and runs none of them", async () => {
  trial.edit("production", "traider", { live: "v2", kept: ["v1"] });
  const [position, before] = [world.position(), kubernetes.events.length];
  const { code, output } = await trial.checkout.pulumi("preview", "--stack", "production");
  said += output;
  expect(code, output).toBe(0);
  expect(output).toMatch(/traider-v2-[0-9a-f]{12}-gates create/);
  expect(output).toMatch(/traider-cutover update/);
  expect(world.steps({ after: position })).toEqual([]);
  expect(since(kubernetes.events, before)).toEqual([]);
});

/** Its migration is done, and its objects are there: only what has not been passed runs again. */
const again = [
  ...["traider-v2-verify updated", "traider-v2-backup updated", "traider-v2-migrate updated"],
  "traider-v2-gates creating failed",
];
const isDetailed = ({ path }: Asked) => path === "/api/health/detailed";

test.each([
  {
    gate: "an image that is not accepted",
    arrange: () => refuse("b".repeat(64)),
    steps: ["traider-v2-verify creating failed"],
    jobs: [],
    says: /verify\.sh does not accept registry\.example\/traider-backend@sha256:b+: no signature of .*Nothing of the release was placed/,
  },
  {
    gate: "the backup before the migration",
    arrange: () => kubernetes.failJob("backup v2", "the disk is full"),
    steps: ["traider-v2-verify created", settings("v2"), "traider-v2-backup creating failed"],
    jobs: ["job backup v2 failed"],
    says: "the backup of traider before its migration failed: the disk is full. Nothing was changed.",
  },
  {
    gate: "the migration",
    arrange: () => kubernetes.failJob("apply v2", "column does not exist"),
    steps: ["traider-v2-verify updated", "traider-v2-backup created", "traider-v2-migrate creating failed"],
    jobs: ["job backup v2", "job apply v2 failed", "job revert v2"],
    says: /the migration of traider v2 failed \(apply\): column does not exist\n\s*It was rolled back\. The backup is at: done: backup v2/,
  },
  {
    gate: "what verifies the migration",
    arrange: () => kubernetes.failJob("verify v2", "3 rows are missing"),
    steps: ["traider-v2-verify updated", "traider-v2-backup updated", "traider-v2-migrate creating failed"],
    jobs: ["job backup v2", "job apply v2", "job verify v2 failed", "job revert v2"],
    says: /the migration of traider v2 failed \(verify\): 3 rows are missing\n\s*It was rolled back/,
  },
  {
    gate: "pods that never become ready",
    arrange: () => kubernetes.sicken("v2", ({ path }) => (path === "/api/health" ? 503 : null)),
    steps: [
      ...["traider-v2-verify updated", "traider-v2-backup updated", "traider-v2-migrate created"],
      ...[workloads("v2"), "traider-v2-gates creating failed"],
    ],
    jobs: ["job backup v2", "job apply v2", "job verify v2"],
    says: /gate of traider v2: (backend|frontend) is ready within 2 s\s+measured: 0 ready; .*\s+allowed: 3 ready pods/,
  },
  {
    gate: "a check of a pod",
    arrange: () => kubernetes.sicken("v2", ({ path }) => (path === "/api/auth/csrf" ? 500 : null)),
    steps: again,
    jobs: [],
    says: /gate of traider v2: backend answers 2xx on \/api\/auth\/csrf \(pod traider-backend-\S+\)\s+measured: 500/,
  },
  {
    gate: "a check of its colour",
    arrange: () =>
      kubernetes.sicken("v2", (asked) =>
        asked.door === "traider-frontend-green" && isDetailed(asked) ? { database: "read-only" } : null,
      ),
    steps: again,
    jobs: [],
    says: /gate of traider v2: frontend says database\.status on \/api\/health\/detailed \(green\)\s+measured: read-only\s+allowed: healthy/,
  },
])("v2 stops at $gate: nothing of it runs after that, and v1 serves on as it was", async ({
  arrange,
  steps,
  jobs,
  says,
}) => {
  trial.edit("production", "traider", { live: "v2", kept: ["v1"] });
  const before = kubernetes.events.length;
  const v1 = await untouched();
  arrange();
  const { code, output, steps: ran } = await up();
  refuse("none");
  kubernetes.heal();
  expect(code).not.toBe(0);
  expect(output).toMatch(says);
  expect(ran).toEqual(steps);
  expect(since(kubernetes.events, before)).toEqual(jobs);
  expect(serving()).toEqual(["v1", "v1"]);
  expect(await untouched()).toEqual(v1);
});

test("a bake that goes bad takes traffic back, trading goes back too, and the release loses its pods", async () => {
  const before = kubernetes.events.length;
  // Well when it is asked from outside; what comes after that is the bake's.
  let asked = 0;
  kubernetes.sicken("v2", ({ path, door }) => {
    if (path !== "/api/auth/csrf" || door !== "traider-backend") return null;
    asked += 1;
    return asked > 1 ? 500 : null;
  });
  const { code, output, steps } = await up();
  kubernetes.heal();
  expect(code).not.toBe(0);
  expect(steps).toEqual([
    ...["traider-v2-verify updated", "traider-v2-backup updated", "traider-v2-migrate updated"],
    ...["traider-v2-gates created", "traider-v2-guard created", "traider-cutover updating failed"],
  ]);
  expect(output).toMatch(
    /traider v2 did not hold \(bake\): errorRate > 5 % for .*\s+measured: [\d.]+ %, \d+ of \d+ requests \(backend/,
  );
  expect(since(kubernetes.events, before)).toEqual([
    ...[
      "traider-worker v1 ended",
      "traider-backend → v2",
      "traider-frontend → v2",
      "traider-worker v2 begins",
    ],
    ...[
      "traider-backend → v1",
      "traider-frontend → v1",
      "traider-worker v2 ended",
      "traider-worker v1 begins",
    ],
  ]);
  expect(await kubernetes.pods(context)).toEqual({ "backend v1": 3, "frontend v1": 3, "worker v1": 1 });
});

test("one that is well everywhere but behind the stable Service is taken back before its bake", async () => {
  const before = kubernetes.moves.length;
  kubernetes.sicken("v2", (asked) =>
    asked.door === "traider-frontend" && isDetailed(asked) ? { database: "read-only" } : null,
  );
  const { code, output, steps } = await up();
  kubernetes.heal();
  expect(code).not.toBe(0);
  expect(steps).toEqual(["traider-cutover updating failed"]);
  expect(output).toMatch(
    /traider v2 did not hold \(verify\): \/api\/health\/detailed of the live frontend: GET \S+\s+measured: database\.status is "read-only"/,
  );
  expect(since(kubernetes.moves, before)).toEqual(taken("v2", "v1"));
});

test("an emergency stop in the middle of a bake takes traffic back at once, and the update says who and why", async () => {
  const before = kubernetes.moves.length;
  kubernetes.policy = { ...kubernetes.policy, bakeSeconds: 300 };
  const update = up();
  await expect.poll(() => since(kubernetes.moves, before), { timeout: 60_000 }).toHaveLength(2);
  const words = ["operations/switchyard.sh", "stop", "traider", "--stack", "production"];
  const stopped = await trial.checkout.start([...words, "--reason", "orders are doubled"]).ended;
  expect(stopped.code, stopped.output).toBe(0);
  expect(stopped.stdout).toContain("traider: stopped, what serves: v1, confirmed");
  const { code, output } = await update;
  kubernetes.policy = { ...kubernetes.policy, bakeSeconds: 3 };
  expect(code).not.toBe(0);
  expect(output).toMatch(
    /traider v2 did not hold \((verify|bake)\): emergencyStop\s+measured: orders are doubled \(\S+\)/,
  );
  expect(since(kubernetes.moves, before)).toEqual(taken("v2", "v1"));
});

test("the same pins try again from the cutover: v2 gets its pods, serves, and only one worker ever trades", async () => {
  const before = kubernetes.events.length;
  const { code, output, steps } = await up();
  expect(code, output).toBe(0);
  expect(steps).toEqual(["traider-cutover updated"]);
  expect(since(kubernetes.events, before)).toEqual([
    ...[
      "traider-worker v1 ended",
      "traider-backend → v2",
      "traider-frontend → v2",
      "traider-worker v2 begins",
    ],
  ]);
  expect(await kubernetes.pods(context)).toEqual({
    ...{ "backend v1": 3, "frontend v1": 3 },
    ...{ "backend v2": 3, "frontend v2": 3, "worker v2": 1 },
  });
});

test("back to the kept release: one step, no object of any release is touched", async () => {
  const before = kubernetes.events.length;
  const position = world.position();
  trial.edit("production", "traider", { live: "v1", kept: ["v2"] });
  const { code, output, steps } = await up();
  expect(code, output).toBe(0);
  expect(steps).toEqual(["traider-cutover updated"]);
  expect(world.steps({ after: position })).toEqual([]);
  expect(since(kubernetes.events, before)).toEqual([
    ...[
      "traider-worker v2 ended",
      "traider-backend → v1",
      "traider-frontend → v1",
      "traider-worker v1 begins",
    ],
  ]);
});

test("the password is another one: a release takes it up beside the old; what is kept no longer is deleted last", async () => {
  const before = kubernetes.moves.length;
  const old = secretOfV1();
  const [fingerprint = ""] = /[0-9a-f]{12}$/.exec(old?.metadata.name ?? "") ?? [];
  await trial.setSecrets("production", { "traider:dbPassword": "another-password-of-production" });
  // As the command line pins it: what is placed keeps the password it was placed with.
  trial.edit("production", "traider", {
    live: "v3",
    kept: ["v1"],
    releases: { v1: { ...entry("a", "blue"), fingerprint }, v3: entry("c", "green") },
  });
  const { code, output, steps } = await up();
  expect(code, output).toBe(0);
  const created = steps.indexOf("traider-cutover updated");
  expect(steps.slice(0, created)).toEqual([
    ...[
      "traider-v3-verify created",
      settings("v3"),
      "traider-v3-backup created",
      "traider-v3-migrate created",
    ],
    ...[workloads("v3"), "traider-v3-gates created", "traider-v3-guard created"],
  ]);
  expect(steps.slice(created + 1)).toEqual([
    ...["traider-v2-guard deleted", "traider-v2-gates deleted", workloads("v2", "deleted")],
    ...["traider-v2-migrate deleted", "traider-v2-backup deleted", settings("v2", "deleted")],
    "traider-v2-verify deleted",
  ]);
  expect(since(kubernetes.moves, before)).toEqual(["traider-backend → v3", "traider-frontend → v3"]);
  expect(passwords("v3")).not.toEqual(passwords("v1"));
  expect(secretOfV1()).toEqual(old);
  expect(await kubernetes.pods(context)).toEqual({
    ...{ "backend v1": 3, "frontend v1": 3 },
    ...{ "backend v3": 3, "frontend v3": 3, "worker v3": 1 },
  });
});

test("what serves cannot be destroyed before somebody has armed it", async () => {
  const words = ["destroy", "--stack", "production", "--yes", "--skip-preview"];
  const position = world.position();
  const before = kubernetes.events.length;
  const { code, output } = await trial.checkout.pulumi(...words);
  said += output;
  expect(code).not.toBe(0);
  expect(output).toContain("traider serves, and destroying it is not armed");
  expect(since(kubernetes.events, before)).toEqual([]);
  expect(serving()).toEqual(["v3", "v3"]);
  expect(world.steps({ after: position })).toEqual([]);
});

test("its secrets are nowhere in clear: not in the state, not in what was printed, not in any input", async () => {
  const journal = world.journal({ operations: ["create", "update", "delete", "read"] });
  const everywhere = { state: await trial.state("production"), said, journal: JSON.stringify(journal) };
  for (const [where, text] of Object.entries(everywhere)) {
    for (const secret of [
      "the-jwt-of-production",
      "the-password-of-production",
      "another-password-of-production",
      ...["the-reader-of-production", "the-vault-of-production"],
    ]) {
      expect(text.includes(secret), `${secret} in ${where}`).toBe(false);
      const encoded = Buffer.from(secret).toString("base64");
      expect(text.includes(encoded), `${encoded} in ${where}`).toBe(false);
    }
  }
});

interface Ingress {
  readonly rules: readonly { readonly host: string }[];
}

function verified(): string[] {
  const text = readFileSync(join(trial.checkout.directory, "verified.txt"), "utf8");
  return [...new Set(text.trim().split("\n"))].toSorted();
}

/** Every object of v1 as the cluster has it, and its pods. */
async function untouched(): Promise<object> {
  const things = world.things({ stack: "production" }).filter(({ name }) => /-v1-[0-9a-f]{12}/.test(name));
  const objects = things.map(({ type, inputs }) => {
    const { name } = inputs.metadata as { name: string };
    return kubernetes.object(context, "traider-prod", type.split(":").at(-1) ?? "", name);
  });
  const {
    "backend v1": backend,
    "frontend v1": frontend,
    "worker v1": worker,
  } = await kubernetes.pods(context);
  return { objects, backend, frontend, worker };
}

/** Revision of the database's password in each service of a release. */
function passwords(release: string): (string | undefined)[] {
  const records = world.things({ match: `core/v1:ConfigMap traider-${release}`, stack: "production" });
  const manifest =
    records.flatMap(({ inputs }) => (inputs.data as { manifest?: string }).manifest ?? [])[0] ?? "{}";
  const { services } = JSON.parse(manifest) as { services: { secrets: Record<string, string> }[] };
  return services.map(({ secrets }) => secrets.DATABASE_PASSWORD);
}

function secretOfV1() {
  const [secret] = world.things({ match: "core/v1:Secret traider-v1", stack: "production" });
  const { name = "" } = (secret?.inputs.metadata ?? {}) as { name?: string };
  return kubernetes.object(context, "traider-prod", "Secret", name);
}
