import { afterAll, beforeAll, expect, test } from "vitest";
import { Cloudflare } from "../support/cloudflare/cloudflare.ts";
import { RecorderWorld } from "../support/recorder/world.ts";
import { EdgeTrial } from "./edge-trial/trial.ts";

/**
 * CHR-10, POD-4, POD-11: what the program asks of Cloudflare in production, on the real engine. The recorder stands in
 * for the vendor's plugin, and a Cloudflare of the test's own for the API: nothing here has met the real one.
 */
let world: RecorderWorld;
let cloudflare: Cloudflare;
let trial: EdgeTrial;

const account = "a".repeat(32);
const zone = "b".repeat(32);

beforeAll(async () => {
  world = new RecorderWorld();
  cloudflare = await Cloudflare.start(world);
  const edge = {
    accountId: account,
    zoneId: zone,
    hostname: "nexus.example",
    domains: ["nexus.example"],
    routes: ["api.nexus.example/*"],
    waf: { rules: [{ description: "no admin", expression: 'starts_with(http.request.uri.path, "/admin")' }] },
    rateLimits: [
      { description: "per address", expression: "true", requests: 100, seconds: 60, blockSeconds: 600 },
    ],
    api: cloudflare.api,
  };
  const secrets = { API_KEY: "the-key-of-production" };
  trial = new EdgeTrial(
    { door: 1, environment: "production", edge, secrets, steps: [{ percent: 10, seconds: 1 }] },
    { ...world.environment, ...cloudflare.environment },
  );
  const made = await trial.checkout.pulumi("stack", "init", "--stack", "production");
  expect(made.code, made.output).toBe(0);
});
afterAll(async () => {
  trial.checkout.remove();
  await cloudflare.stop();
  world.remove();
});

test("the first release: the Worker answers 503 first, then rules stand before what leads to it", async () => {
  trial.pin("v1", []);
  const { code, output } = await trial.up();
  expect(code, output).toBe(0);
  const made = await trial.resources();
  expect(made.slice(0, 2)).toEqual(["chrono-edge-worker", "chrono-edge-ground"]);
  const rules = ["chrono-edge-rate-limits", "chrono-edge-waf", "chrono-edge-waf-managed"];
  expect(made.slice(2, 5).toSorted()).toEqual(rules);
  const led = ["chrono-edge-domain-nexus.example", "chrono-edge-route-api.nexus.example_*"];
  expect(made.slice(5, 7).toSorted()).toEqual(led);
  expect(made.slice(7)).toEqual([
    "chrono-v1-preflight",
    "chrono-v1-version",
    "chrono-v1-gates",
    "chrono-v1-guard",
    "chrono-cutover",
  ]);
  expect(cloudflare.moves).toEqual([
    "chrono-production: closed 100",
    "chrono-production: v1 0, closed 100",
    "chrono-production: v1 100",
  ]);
});

test("each resource is exactly what the config asks for, with nothing besides", () => {
  const inputs = (match: string) => world.thing({ match }).inputs;
  expect(inputs("chrono-edge-worker")).toEqual({
    accountId: account,
    name: "chrono-production",
    observability: { enabled: true, headSamplingRate: 1 },
    subdomain: { enabled: false, previewsEnabled: false },
    tags: ["switchyard", "chrono"],
  });
  expect(inputs("chrono-edge-domain")).toEqual({
    accountId: account,
    hostname: "nexus.example",
    service: "chrono-production",
    zoneId: zone,
  });
  expect(inputs("chrono-edge-route")).toEqual({
    zoneId: zone,
    pattern: "api.nexus.example/*",
    script: "chrono-production",
  });
  expect(inputs("Ruleset chrono-edge-rate-limits")).toMatchObject({
    zoneId: zone,
    kind: "zone",
    phase: "http_ratelimit",
    rules: [
      {
        action: "block",
        expression: "true",
        ratelimit: {
          characteristics: ["cf.colo.id", "ip.src"],
          period: 60,
          requestsPerPeriod: 100,
          mitigationTimeout: 600,
        },
      },
    ],
  });
  const phases = world.things({ match: "Ruleset chrono-edge-waf" }).map((one) => one.inputs.phase);
  expect(phases.toSorted()).toEqual(["http_request_firewall_custom", "http_request_firewall_managed"]);
});

test("what serves cannot be destroyed: not before somebody has armed it, and the Worker never", async () => {
  const destroyed = await trial.checkout.pulumi(
    "destroy",
    "--stack",
    "production",
    "--yes",
    "--skip-preview",
  );
  expect(destroyed.code).not.toBe(0);
  expect(destroyed.output).toContain("chrono serves, and destroying it is not armed");
  const worker = ["--target", await trial.urnOf("chrono-edge-worker"), "--target-dependents"];
  const alone = await trial.checkout.pulumi(
    "destroy",
    "--stack",
    "production",
    "--yes",
    "--skip-preview",
    ...worker,
  );
  expect(alone.code).not.toBe(0);
  expect(cloudflare.serving("chrono-production")).toEqual(["v1"]);
  expect((await trial.up("--expect-no-changes")).code).toBe(0);
});

test("a version carries its fingerprint, its files and its settings; its secrets are nowhere in clear", async () => {
  const { inputs } = world.thing({ match: "WorkerVersion chrono-v1" });
  const { workersTag } = inputs.annotations as { workersTag: string };
  expect(workersTag).toMatch(/^[0-9a-f]{12}$/);
  expect(inputs).toMatchObject({
    accountId: account,
    workerId: "chrono-production",
    annotations: { workersMessage: "chrono v1 (v1)" },
    mainModule: "worker.js",
    compatibilityDate: "2026-07-01",
    compatibilityFlags: [],
    assets: { config: { notFoundHandling: "none" } },
  });
  const [module] = inputs.modules as unknown as { name: string; contentFile: string }[];
  const staged = new RegExp(`^\\.switchyard/edge/staged/chrono-${workersTag}-[0-9a-f]{12}/worker\\.js$`);
  expect(module?.contentFile).toMatch(staged);
  const bindings = inputs.bindings as unknown as { type: string; name: string; text?: string }[];
  expect(bindings.map(({ type, name }) => `${type} ${name}`)).toEqual([
    "plain_text EXAMPLE_GREETING",
    "plain_text RELEASE",
    "assets ASSETS",
    "plain_text SWITCHYARD",
    "secret_text API_KEY",
  ]);
  expect(JSON.stringify(world.things())).not.toContain("the-key-of-production");
  const { stdout } = await trial.checkout.pulumi("stack", "export", "--stack", "production");
  expect(stdout).not.toContain("the-key-of-production");
});

test("a release goes by its shares, and the one before it stays placed", async () => {
  const before = cloudflare.moves.length;
  trial.pin("v2", ["v1"]);
  const { code, output } = await trial.up();
  expect(code, output).toBe(0);
  expect(cloudflare.moves.slice(before)).toEqual([
    "chrono-production: v2 0, v1 100",
    "chrono-production: v2 10, v1 90",
    "chrono-production: v2 100",
  ]);
});

test("a release that fails at its first share is taken back before it gets more", async () => {
  const before = cloudflare.moves.length;
  cloudflare.sicken("v3", (path) => (path === "/" ? 500 : null));
  trial.pin("v3", ["v2"]);
  const { code, output } = await trial.up();
  expect(code).not.toBe(0);
  expect(output).toMatch(
    /chrono v3 did not hold \(bake\): errorRate > 1 %.*\s+measured: 100 %, \d+ of \d+ requests \(worker by our own requests\) at 10 % of/,
  );
  expect(cloudflare.moves.slice(before)).toEqual([
    "chrono-production: v3 0, v2 100",
    "chrono-production: v3 10, v2 90",
    "chrono-production: v2 100",
  ]);
});

test("a release whose gate fails gets no traffic, and nothing after the gate runs", async () => {
  cloudflare.heal();
  cloudflare.sicken("v4", (path) => (path === "/health" ? 503 : null));
  const before = cloudflare.moves.length;
  trial.pin("v4", ["v2"]);
  const { code, output } = await trial.up();
  expect(code).not.toBe(0);
  expect(output).toContain("gate: v4 answers 2xx on /health within 5 s");
  expect(output).not.toContain("chrono-cutover");
  expect(cloudflare.moves.slice(before)).toEqual([
    "chrono-production: v4 0, v2 100",
    "chrono-production: v2 100",
  ]);
  cloudflare.heal();
});

test("the kept release comes back all at once, by one step; no version is ever uploaded again", async () => {
  trial.pin("v2", ["v1"]);
  expect((await trial.up()).code).toBe(0);
  const position = world.position();
  const before = cloudflare.moves.length;
  trial.pin("v1", ["v2"]);
  const { code, output } = await trial.up();
  expect(code, output).toBe(0);
  expect(cloudflare.moves.slice(before)).toEqual([
    "chrono-production: v1 0, v2 100",
    "chrono-production: v1 100",
  ]);
  expect(world.steps({ after: position })).toEqual([]);
});
