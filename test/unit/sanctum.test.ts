import { describe, expect, test } from "vitest";
import { gateSpec } from "../../components/gates/gate-spec.ts";
import type { GateStep } from "../../components/gates/gated-leg.ts";
import type { EnvironmentName } from "../../components/rollout/environment.ts";
import { fingerprint } from "../../components/rollout/fingerprint.ts";
import type { ReleaseEntry } from "../../stacks/config/fields.ts";
import { type SanctumConfig, sanctumChecks, sanctumSchema } from "../../stacks/sanctum.config.ts";
import { gatesOf, type SanctumStack, sanctumLocally, sanctumManifest } from "../../stacks/sanctum.ts";

const digest = (letter: string) => `sha256:${letter.repeat(64)}`;
const images = { auth: digest("a"), directory: digest("b"), messaging: digest("c") };
const hosts = (service: string) => ({
  live: `${service}.sanctum.example`,
  blue: `${service}-blue.sanctum.example`,
  green: `${service}-green.sanctum.example`,
});
const cluster = { namespace: "sanctum", bakerImage: `node@${digest("d")}` };
const services = {
  auth: { repository: "ghcr.example/auth", hosts: hosts("auth") },
  directory: { repository: "ghcr.example/directory", hosts: hosts("directory") },
  messaging: { repository: "ghcr.example/messaging", hosts: hosts("messaging") },
};
const pins = { live: "v2", kept: ["v1"], releases: { v1: { images }, v2: { images, colour: "green" } } };

function stack(environment: EnvironmentName, given: object = {}): SanctumStack {
  const local = { cluster: "local", source: { git: ".switchyard/example.git" } };
  const config = environment === "development" ? local : { cluster, services, ...pins };
  return {
    environment,
    fingerprintKey: "key",
    sanctum: { ...sanctumSchema.parse({ ...config, ...given }), secrets: {} },
  };
}

function problems({ environment, sanctum }: SanctumStack): string[] {
  const found: string[] = [];
  sanctumChecks(sanctum as SanctumConfig, {
    environment,
    problem: (key, was, allowed) => found.push(`${[key].flat().join(".")}: ${was}; ${allowed}`),
  });
  return found;
}

const release = { name: "v2", fingerprint: "0123456789ab", colour: "green" } as const;

describe("rendering", () => {
  test.each([
    ["staging", "26950931707a"],
    ["production", "864fe904a1bc"],
  ] as const)("in %s does not change by itself: a new figure here re-renders every release", (environment, golden) => {
    const entry = { images } as ReleaseEntry;
    expect(fingerprint(sanctumManifest(stack(environment), "v1.0.0", entry))).toBe(golden);
  });

  test("on the developer's machine neither", () => {
    expect(fingerprint(sanctumLocally(stack("development"), "v1", {}))).toBe("3a241bf918d7");
  });

  test("three services by digest, each the same in every environment but for its settings", () => {
    const { services: rendered } = sanctumManifest(stack("production"), "v2", { images } as ReleaseEntry);
    expect(rendered.map(({ name, kind, image, port }) => [name, kind, image, port])).toEqual([
      ["auth", "serving", `ghcr.example/auth@${images.auth}`, 4001],
      ["directory", "serving", `ghcr.example/directory@${images.directory}`, 4002],
      ["messaging", "serving", `ghcr.example/messaging@${images.messaging}`, 4003],
    ]);
  });
});

describe("the gates", () => {
  const shown = (steps: readonly GateStep[]) =>
    steps.map(({ name, kind, spec }) => ({
      name,
      kind,
      spec: gateSpec.parse(spec) as Record<string, unknown>,
    }));

  test("of staging are the document's: 1 KiB and 64 KiB at 1000/s for 2 min, then 500/s for 15 min (SAN-3, SAN-4)", () => {
    const steps = shown(gatesOf(stack("staging"), release, false));
    expect(
      steps.map(({ name, kind, spec }) => [name, kind, spec.rate, spec.seconds, spec.bodyBytes]),
    ).toEqual([
      ["load-1KiB", "load", 1000, 120, 1024],
      ["load-64KiB", "load", 1000, 120, 65_536],
      ["soak", "soak", 500, 900, 1024],
    ]);
    expect(steps[0]?.spec.limits).toEqual({ errors: 0.02, p95: 1.5, p99: 3 });
    expect(steps[2]?.spec.limits).toEqual({ errors: 0.02, p95: 1.5, p99: 3, memoryGrowth: 0.1, cpu: 0.7 });
  });

  test("ask the release by its colour's own hosts, never the live ones", () => {
    for (const { spec } of shown(gatesOf(stack("staging"), release, false))) {
      expect(spec.origins).toEqual({
        auth: "https://auth-green.sanctum.example",
        directory: "https://directory-green.sanctum.example",
        messaging: "https://messaging-green.sanctum.example",
      });
      expect(spec.targets).toEqual([{ url: "{auth}/" }, { url: "{directory}/" }, { url: "{messaging}/" }]);
    }
    const gates = { origin: "http://{service}-{colour}.internal", paths: { messaging: "/send" } };
    const [step] = shown(gatesOf(stack("staging", { gates }), release, false));
    expect(step?.spec.origins).toMatchObject({ auth: "http://auth-green.internal" });
    expect(step?.spec.targets).toContainEqual({ url: "{messaging}/send" });
  });

  test("take target_rps and the soak's length from the config (SAN-2)", () => {
    const gates = { targetRps: 200, soakMinutes: 5, loadSeconds: 30 };
    const steps = shown(gatesOf(stack("staging", { gates }), release, false));
    expect(steps.map(({ spec }) => [spec.rate, spec.seconds])).toEqual([
      [200, 30],
      [200, 30],
      [100, 300],
    ]);
  });

  test("of production are staging's word for the very same images", () => {
    expect(shown(gatesOf(stack("production"), release, false))).toMatchObject([
      {
        name: "evidence",
        kind: "evidence",
        spec: {
          stack: "staging",
          system: "sanctum",
          required: ["load-1KiB", "load-64KiB", "soak"],
          images: { auth: `ghcr.example/auth@${images.auth}` },
          served: false,
        },
      },
    ]);
  });

  test("of a hotfix in production are short ones that run there", () => {
    const steps = shown(gatesOf(stack("production", { gates: { evidence: "run" } }), release, false));
    expect(steps.map(({ name, spec }) => [name, spec.rate, spec.seconds])).toEqual([
      ["load-1KiB", 100, 30],
      ["load-64KiB", 100, 30],
      ["soak", 50, 120],
    ]);
  });

  test("of a release that has served a whole bake before prove nothing again", () => {
    expect(shown(gatesOf(stack("staging"), release, true)).map(({ spec }) => spec.served)).toEqual([
      true,
      true,
      true,
    ]);
  });

  test("in development are small and ask the local box", () => {
    const steps = shown(gatesOf(stack("development"), release, false));
    expect(steps.map(({ spec }) => [spec.rate, spec.seconds])).toEqual([
      [6, 3],
      [6, 3],
      [3, 6],
    ]);
    expect(steps[0]?.spec.origins).toMatchObject({
      auth: { box: "sanctum", fingerprint: "0123456789ab", service: "auth" },
    });
  });
});

describe("the config", () => {
  test.each(["development", "staging", "production"] as const)("of %s is accepted", (environment) => {
    expect(problems(stack(environment))).toEqual([]);
  });

  test("images by tag are refused outside development: evidence is of digests", () => {
    const releases = { v2: { images: { ...images, auth: "v2" } } };
    const found = problems(stack("staging", { kept: [], releases }));
    expect(found).toEqual([
      "releases.v2.images.auth: ghcr.example/auth:v2; an image by its digest, sha256: and 64 hex digits: " +
        "a tag can be moved after the gates",
    ]);
  });

  test("gates that run need somewhere to ask a release before it serves", () => {
    const bare = {
      auth: { repository: "a/a" },
      directory: services.directory,
      messaging: services.messaging,
    };
    expect(problems(stack("staging", { services: bare }))).toEqual([
      expect.stringMatching(/^services\.auth\.hosts: nothing; hosts of the live release and of each colour/),
    ]);
    expect(problems(stack("production", { services: bare }))).toEqual([]);
    expect(problems(stack("staging", { services: bare, gates: { origin: "https://{service}.x" } }))).toEqual(
      [],
    );
  });

  test("a host name leads to one thing only", () => {
    const auth = { ...hosts("auth"), blue: "auth.sanctum.example" };
    const directory = { ...hosts("directory"), green: "messaging.sanctum.example" };
    const given = {
      ...services,
      auth: { ...services.auth, hosts: auth },
      directory: { ...services.directory, hosts: directory },
    };
    expect(problems(stack("production", { services: given }))).toEqual([
      "services.auth.hosts.blue: auth.sanctum.example; a host name of its own: services.auth.hosts.live has that one",
      "services.messaging.hosts.live: messaging.sanctum.example; a host name of its own: " +
        "services.directory.hosts.green has that one",
    ]);
  });

  test("only production takes staging's word, and nobody but development has no cluster", () => {
    expect(problems(stack("staging", { gates: { evidence: "staging" } }))).toEqual([
      "gates.evidence: staging; run: only production takes staging's word",
    ]);
    expect(problems(stack("production", { cluster: "local", source: { git: "x" } }))[0]).toMatch(
      /^cluster: "local"/,
    );
    expect(problems(stack("development", { source: undefined }))).toEqual([
      "source: nothing; where the local machine gets a version from: git or artifact",
    ]);
  });

  test("refuses numbers that are none", () => {
    expect(sanctumSchema.safeParse({ cluster: "local", gates: { targetRps: 0 } }).success).toBe(false);
    expect(sanctumSchema.safeParse({ cluster: "local", gates: { soakMinutes: 0 } }).success).toBe(false);
    expect(sanctumSchema.safeParse({ cluster: "local", gates: { origin: "example.com" } }).success).toBe(
      false,
    );
  });
});
