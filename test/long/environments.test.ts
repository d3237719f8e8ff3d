import { afterAll, beforeAll, expect, it } from "vitest";
import type { Box } from "../support/box/box.ts";
import { must } from "../support/box/must.ts";
import { describeOnBox } from "../support/box/suite.ts";
import type { Ended } from "../support/checkout.ts";
import { makeCertificate } from "../support/deia.ts";
import type { Release, StackName } from "../support/environment/config.ts";
import {
  type EnvironmentStack,
  EnvironmentTrial,
  passwords,
  systems,
} from "../support/environment/environment.ts";
import { databasePassword } from "../support/environment/machine.ts";
import { groundOf, orderOf, type Steps, stepsBySystem } from "../support/environment/steps.ts";

/**
 * The five systems of staging and of production as their files are committed, each environment by one update of one
 * stack. Boxes, databases and the S3 server are real; kubernetes, aws and cloudflare are the recorder's, pods and Workers
 * are played, POD's containers are the stand-in engine's (see test/support/environment/environment.ts).
 */
let trial: EnvironmentTrial;
const stacks: Partial<Record<StackName, EnvironmentStack>> = {};
/** Everything that any update has printed. */
let said = "";

/** What a stack's pins are, and what they were when an update of it last succeeded. */
const pinned: Partial<Record<StackName, string>> = {};
const brought: Partial<Record<StackName, string | undefined>> = {};

async function up(stack: StackName): Promise<Ended & { readonly steps: Steps }> {
  const ended = await trial.up(stack, "--continue-on-error");
  said += ended.output;
  brought[stack] = ended.code === 0 ? pinned[stack] : undefined;
  return { ...ended, steps: stepsBySystem(ended) };
}

function pinAll(stack: StackName, live: Release, kept: readonly Release[]): void {
  pinned[stack] = JSON.stringify({ live, kept });
  trial.pin(stack, Object.fromEntries(systems.map((system) => [system, { live, kept }])));
}

/** The environment with exactly these releases, all well: what an earlier test has left otherwise is put right first. */
async function startFrom(
  stack: StackName,
  live: Release,
  kept: readonly Release[],
): Promise<EnvironmentStack> {
  const environment = await made(stack);
  trial.heal();
  pinAll(stack, live, kept);
  if (brought[stack] !== pinned[stack]) {
    const { code, output } = await up(stack);
    expect(code, output).toBe(0);
  }
  expect(await trial.serving(environment)).toEqual(everywhere(live));
  return environment;
}

/** The stack, with nothing deployed where no test has yet. */
async function made(stack: StackName): Promise<EnvironmentStack> {
  const known = stacks[stack] ?? (await trial.make(stack));
  stacks[stack] = known;
  return known;
}

/** Every front door of an environment leads there. */
const everywhere = (release: string) => Object.fromEntries(doors.map((door) => [door, release]));
const doors = [
  ...["chrono api", "chrono dashboard", "chrono workers"],
  ...["sanctum auth", "sanctum directory", "sanctum messaging"],
  ...["pod api", "pod mcp", "pod frontend"],
  ...["traider backend", "traider frontend", "deia controller"],
];

const line = (release: string, names: readonly string[], what = "created") =>
  `${names.map((name) => `${release}-${name}`).join(", ")} ${what}`;
const each = (kind: string, services: readonly string[]) => services.map((service) => `${kind}-${service}`);
const inOrder = (release: string, steps: readonly string[]) =>
  steps.map((step) => `${release}-${step} created`);
const sanctum = ["auth", "directory", "messaging"];

/** A release of each system up to its cutover, exactly, in the order of its document. */
const placed = {
  chrono: (release: string) => [
    ...inOrder(release, ["box-preflight", "box-place", "box-gates", "box-guard"]),
    ...inOrder(release, ["edge-preflight", "edge-version", "edge-gates", "edge-guard"]),
  ],
  sanctum: (release: string) => [
    line(release, [
      ...["configmap", ...each("configmap", sanctum), ...each("deployment", sanctum)],
      ...[...each("networkpolicy", sanctum), ...each("poddisruptionbudget", sanctum)],
      ...["role-baker", "rolebinding-baker", "serviceaccount"],
    ]),
    ...inOrder(release, ["gates", "guard"]),
  ],
  pod: (release: string) => [
    ...inOrder(release, ["box-preflight", "box-place", "box-gates", "box-guard"]),
    line(release, [
      ...[
        "cluster-configmap",
        "cluster-configmap-mcp",
        "cluster-deployment-mcp",
        "cluster-networkpolicy-mcp",
      ],
      ...["cluster-poddisruptionbudget-mcp", "cluster-role-baker", "cluster-rolebinding-baker"],
      "cluster-serviceaccount",
    ]),
    ...inOrder(release, ["cluster-gates", "cluster-guard"]),
    ...inOrder(release, ["edge-preflight", "edge-version", "edge-gates", "edge-guard"]),
  ],
  traider: (release: string) => {
    const all = ["backend", "frontend", "worker"];
    const migrates = release === "v2" || release === "v3";
    const configured = migrates ? ["backend", "frontend", "migration", "worker"] : all;
    const objects = [
      ...["configmap", ...each("configmap", configured)],
      ...(migrates ? [] : ["deployment-backend", "deployment-frontend"]),
      ...[...each("networkpolicy", all), "poddisruptionbudget-backend", "poddisruptionbudget-frontend"],
      ...["role-baker", "rolebinding-baker", ...each("secret", configured), "serviceaccount"],
      ...(migrates ? [] : ["statefulset-worker"]),
    ];
    const workloads = ["deployment-backend", "deployment-frontend", "statefulset-worker"];
    return [
      line(release, objects),
      ...(migrates ? [...inOrder(release, ["backup", "migrate"]), line(release, workloads)] : []),
      ...inOrder(release, ["gates", "guard"]),
    ];
  },
  deia: (release: string) => inOrder(release, ["preflight", "place", "gates", "guard"]),
};

/** What each system's release is, whole, in an environment. */
function whole(stack: StackName, release: string, cutover: "created" | "updated") {
  const asked = [
    "certificate-run",
    "database-run",
    ...(stack === "production" ? ["evidence-run"] : []),
    "scan-run",
  ];
  const proved = stack === "production" ? ["evidence-run"] : ["load-1KiB-run", "load-64KiB-run", "soak-run"];
  const turned = `cutover ${cutover}`;
  return {
    chrono: [...placed.chrono(release), turned],
    sanctum: [...placed.sanctum(release), ...inOrder(release, proved), turned],
    pod: [...inOrder(release, asked), ...placed.pod(release), turned, `${release}-verified-run created`],
    traider: [...placed.traider(release), turned],
    deia: [...placed.deia(release), turned],
  };
}

const orders = (steps: Steps, release: string) =>
  Object.fromEntries(systems.map((system) => [system, orderOf(steps[system], release)]));

describeOnBox("staging and production, whole", () => {
  beforeAll(async () => {
    trial = await EnvironmentTrial.start();
    await made("staging");
  });
  afterAll(() => trial?.stop(), 60_000);

  it("staging: the first deployment, each system in its document's order, none waiting for another", async () => {
    const staging = await made("staging");
    pinAll("staging", "v1", []);
    const { code, output, steps } = await up("staging");
    expect(code, output).toBe(0);
    expect(orders(steps, "v1")).toEqual(whole("staging", "v1", "created"));
    expect(steps.vault).toEqual([
      "bucket, chrono, deia, encryption, key, lifecycle, lock, ownership, pod, policy, public-access, traider, versioning created",
    ]);
    expect(groundOf(steps.box)).toEqual([
      ...["gateway.hayven.xyz-ground", "gateway.hayven.xyz-toolkit", "staging.deia.example-ground"],
      ...[
        "staging.deia.example-toolkit",
        "staging.pod-protocol.com-ground",
        "staging.pod-protocol.com-toolkit",
      ],
    ]);
    expect(groundOf(steps.chrono)).toEqual(["edge-ground", "edge-worker", "policy", "vault"]);
    expect(groundOf(steps.deia)).toEqual(["policy", "vault"]);
    expect(groundOf(steps.traider).filter((name) => name.startsWith("vault"))).toEqual(
      ["configmap", "cronjob", "networkpolicy", "secret", "serviceaccount"].map((kind) => `vault-${kind}`),
    );
    expect(await trial.serving(staging)).toEqual(everywhere("v1"));
  });

  it("staging: a release of every system, and nothing of the old ones is touched", async () => {
    const staging = await startFrom("staging", "v1", []);
    pinAll("staging", "v2", ["v1"]);
    const { code, output, steps } = await trial.measureWhile(staging, () => up("staging"));
    expect(code, output).toBe(0);
    expect(orders(steps, "v2")).toEqual(whole("staging", "v2", "updated"));
    expect(
      systems.flatMap((system) => [...groundOf(steps[system]), ...inRelease(steps[system], "v1")]),
    ).toEqual([]);
    expect(await trial.serving(staging)).toEqual(everywhere("v2"));
  });

  it("staging: a gate of every system fails, and nothing of it runs after that; with the same pins another one does", async () => {
    const staging = await startFrom("staging", "v2", ["v1"]);
    await must(staging.boxes.chrono, "systemctl stop postgresql");
    trial.kubernetes.sicken("v3", ({ service, door }) => (service === "auth" && door === null ? 500 : null));
    trial.refuse("9393");
    await sql(staging.boxes.pod, "ALTER ROLE pod SUPERUSER");
    trial.kubernetes.failJob("backup v3");
    trial.answer("staging", "v3", "approval", daysAgo(30));
    pinAll("staging", "v3", ["v2"]);
    const { code, output, steps } = await up("staging");
    await must(staging.boxes.chrono, "systemctl start postgresql");
    trial.kubernetes.heal();
    trial.refuse("none");
    await sql(staging.boxes.pod, "ALTER ROLE pod NOSUPERUSER");
    trial.answer("staging", "v3", "approval", daysAgo(0));
    expect(code).not.toBe(0);
    const fails = (step: string) => `v3-${step} creating failed`;
    expect(orders(steps, "v3")).toEqual({
      chrono: [fails("box-preflight")],
      sanctum: [...placed.sanctum("v3").slice(0, 1), fails("gates")],
      pod: ["v3-certificate-run created", fails("database-run"), fails("scan-run")],
      traider: [...placed.traider("v3").slice(0, 1), fails("backup")],
      deia: [fails("preflight")],
    });
    expect(output).toContain("DATABASE_URL: cannot connect to PostgreSQL");
    expect(output).toContain("gate of sanctum v3: auth is ready within 30 s");
    expect(output).toContain("✗ pod:databaseUrl's role pod: a superuser, allowed no superuser");
    expect(output).toContain("CVE-1 in registry.example/pod/pod-mcp-server@sha256:9393");
    expect(output).toContain("the backup of traider before its migration failed");
    expect(output).toMatch(/15 {2}Production owner approved.*deia:answers\.v3\.approval.*failed/);
    expect(await trial.serving(staging)).toEqual(everywhere("v2"));
    await anotherGateFails(staging);
  });

  /** What was placed before the first gate failed is there already, and is not placed again. */
  async function anotherGateFails(staging: EnvironmentStack): Promise<void> {
    trial.cloudflare.sicken("v3", (path) => (path.endsWith("/health") ? 503 : null));
    trial.kubernetes.sicken("v3", ({ service, path, door }) => {
      if (service === "auth") return path === "/" ? 500 : null;
      return service === "backend" && door === null ? 500 : null;
    });
    await must(staging.boxes.pod, "mv /usr/local/bin/docker /usr/local/bin/docker.away");
    await makeCertificate(staging.boxes.deia, 10);
    const { code, output, steps } = await up("staging");
    await must(staging.boxes.pod, "mv /usr/local/bin/docker.away /usr/local/bin/docker");
    await makeCertificate(staging.boxes.deia, 90);
    trial.kubernetes.heal();
    trial.cloudflare.heal();
    expect(code).not.toBe(0);
    const fails = (step: string) => `v3-${step} creating failed`;
    expect(orders(steps, "v3")).toEqual({
      chrono: [...placed.chrono("v3").slice(0, 6), fails("edge-gates")],
      sanctum: [...placed.sanctum("v3").slice(1), fails("load-1KiB-run")],
      pod: [
        ...["v3-certificate-run updated", "v3-database-run created", "v3-scan-run created"],
        fails("box-preflight"),
      ],
      traider: [...placed.traider("v3").slice(1, -2), fails("gates")],
      deia: [fails("preflight")],
    });
    expect(output).toContain("gate: v3 answers 2xx on /health within 30 s");
    expect(output).toMatch(/✗ errors: .* 500 Internal Server Error.*, allowed < 2 %/);
    expect(output).toContain("gate of traider v3: backend is ready within 30 s");
    expect(output).toContain("this box has no compose engine");
    expect(await trial.serving(staging)).toEqual(everywhere("v2"));
  }

  it("staging: a release of every system turns bad, and each is taken back", async () => {
    const staging = await startFrom("staging", "v2", ["v1"]);
    const isLive = (door: string | null) => door !== null && !/-(blue|green)$/.test(door);
    trial.kubernetes.sicken("bad", ({ door }) => (isLive(door) ? 500 : null));
    pinAll("staging", "bad", ["v2"]);
    const { code, output, steps } = await up("staging");
    trial.kubernetes.heal();
    expect(code).not.toBe(0);
    for (const system of systems) expect(steps[system]?.at(-1), system).toBe("cutover updating failed");
    expect(output.match(/did not hold \((verify|bake)\)/g)?.length).toBeGreaterThanOrEqual(systems.length);
    expect(await trial.serving(staging)).toEqual(everywhere("v2"));
  });

  it("staging: every system back to v1, which is placed: a cutover each, and no more", async () => {
    const staging = await startFrom("staging", "v2", ["v1"]);
    pinAll("staging", "v1", ["v2"]);
    const { code, output, steps } = await up("staging");
    expect(code, output).toBe(0);
    expect(Object.fromEntries(Object.entries(steps).filter(([, done]) => done.length > 0))).toEqual(
      Object.fromEntries(systems.map((system) => [system, ["cutover updated"]])),
    );
    expect(await trial.serving(staging)).toEqual(everywhere("v1"));
  });

  it("production: the first deployment takes staging's word for what was proved there", async () => {
    await startFrom("staging", "v1", ["v2"]);
    const production = await made("production");
    pinAll("production", "v1", []);
    const { code, output, steps } = await up("production");
    expect(code, output).toBe(0);
    expect(orders(steps, "v1")).toEqual(whole("production", "v1", "created"));
    expect(await trial.serving(production)).toEqual(everywhere("v1"));
  });

  it("production: a release of every system", async () => {
    const production = await startFrom("production", "v1", []);
    pinAll("production", "v2", ["v1"]);
    const { code, output, steps } = await up("production");
    expect(code, output).toBe(0);
    expect(orders(steps, "v2")).toEqual(whole("production", "v2", "updated"));
    expect(await trial.serving(production)).toEqual(everywhere("v2"));
  });

  it("production: what staging never proved is not deployed, nor what another gate finds", async () => {
    const production = await startFrom("production", "v2", ["v1"]);
    trial.kubernetes.failJob("apply v3");
    trial.cloudflare.sicken("v3", (path) => (path.endsWith("/health") ? 503 : null));
    await must(production.boxes.deia, "systemctl stop ollama");
    pinAll("production", "v3", ["v2"]);
    const { code, steps } = await up("production");
    trial.kubernetes.heal();
    trial.cloudflare.heal();
    await must(production.boxes.deia, "systemctl start ollama");
    expect(code).not.toBe(0);
    const fails = (step: string) => `v3-${step} creating failed`;
    expect(orders(steps, "v3")).toEqual({
      chrono: [...placed.chrono("v3").slice(0, 6), fails("edge-gates")],
      sanctum: [...placed.sanctum("v3"), fails("evidence-run")],
      pod: [
        ...["v3-certificate-run created", "v3-database-run created"],
        ...[fails("evidence-run"), "v3-scan-run created"],
      ],
      traider: [...placed.traider("v3").slice(0, 2), fails("migrate")],
      deia: [fails("preflight")],
    });
    expect(await trial.serving(production)).toEqual(everywhere("v2"));
  });

  it("production: every system back to v1 by a cutover each; no secret is anywhere in clear, of all that was said before", async () => {
    const production = await startFrom("production", "v2", ["v1"]);
    pinAll("production", "v1", ["v2"]);
    const { code, output, steps } = await up("production");
    expect(code, output).toBe(0);
    expect(Object.values(steps).flat()).toEqual(systems.map(() => "cutover updated"));
    expect(await trial.serving(production)).toEqual(everywhere("v1"));
    const states = await Promise.all(
      (["staging", "production"] as const).map(async (stack) => {
        return (await trial.checkout.pulumi("stack", "export", "--stack", stack)).stdout;
      }),
    );
    const seen = [said, ...states, JSON.stringify(trial.world.things())].join("\n");
    for (const secret of [
      ...Object.values(passwords),
      databasePassword,
      encodeURIComponent(databasePassword),
    ]) {
      expect(seen.includes(secret), secret).toBe(false);
    }
  });
});

async function sql(box: Box, statement: string): Promise<void> {
  await must(box, "cd / && sudo -u postgres psql -q -v ON_ERROR_STOP=1", statement);
}

function inRelease(steps: readonly string[] = [], release: string): string[] {
  return steps.filter((step) => step.startsWith(`${release}-`));
}

function daysAgo(days: number): string {
  return new Date(Date.now() - days * 86_400_000).toISOString();
}
