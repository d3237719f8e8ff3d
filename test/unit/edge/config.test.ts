import { expect, test } from "vitest";
import type { EnvironmentName } from "../../../components/rollout/environment.ts";
import { edge, edgeChecks, edgePlace } from "../../../stacks/config/edge.ts";

const account = "a".repeat(32);
const zone = "1".repeat(32);

/** The problems of a leg's config in an environment, each as "key: found; allowed". */
function problems(environment: EnvironmentName, given: unknown): string[] {
  const found: string[] = [];
  edgeChecks(edge.parse(given), {
    environment,
    problem: (key, what, allowed) => found.push(`${key}: ${what}; ${allowed}`),
  });
  return found;
}

test("development has the local edge, staging its workers.dev address, production its domains (CHR-10)", () => {
  expect(problems("development", "local")).toEqual([]);
  expect(problems("staging", { accountId: account, hostname: "chrono-staging.acme.workers.dev" })).toEqual(
    [],
  );
  const production = {
    accountId: account,
    zoneId: zone,
    hostname: "nexus.example",
    domains: ["nexus.example"],
  };
  expect(problems("production", production)).toEqual([]);
  const routed = { ...production, domains: [], routes: ["*.example/*"], hostname: "api.example" };
  expect(problems("production", routed)).toEqual([]);
});

test.each<[string, EnvironmentName, unknown, string]>([
  [
    "the local edge",
    "staging",
    "local",
    'edge: "local"; accountId and hostname of Cloudflare outside development',
  ],
  [
    "a route",
    "staging",
    { accountId: account, hostname: "a.workers.dev", routes: ["a.example/*"], zoneId: zone },
    "edge.routes: a.example/*; none in staging: it is reached at its workers.dev address",
  ],
  [
    "nothing that leads to it",
    "production",
    { accountId: account, hostname: "a.example" },
    "edge.domains: nothing; a hostname or a route that people reach it by",
  ],
  [
    "a hostname that its domains do not cover",
    "production",
    { accountId: account, hostname: "b.example", domains: ["a.example"] },
    "edge.hostname: b.example; a hostname of its routes and domains: a.example",
  ],
  [
    "rules without a zone",
    "production",
    { accountId: account, hostname: "a.example", domains: ["a.example"], waf: {} },
    "edge.zoneId: nothing; the zone of its routes and rules",
  ],
  [
    "shares that do not grow",
    "production",
    {
      accountId: account,
      hostname: "a.example",
      domains: ["a.example"],
      steps: [
        { percent: 50, seconds: 60 },
        { percent: 10, seconds: 60 },
      ],
    },
    "edge.steps: 50, 10; shares that grow from step to step",
  ],
])("%s in %s is named, with what is allowed", (_what, environment, given, problem) => {
  expect(problems(environment, given)).toEqual([problem]);
});

test.each([
  [{ accountId: "x", hostname: "a.example" }, "accountId"],
  [{ accountId: account, hostname: "https://a.example" }, "hostname"],
  [{ accountId: account, hostname: "a.example", worker: "Chrono" }, "worker"],
  [{ accountId: account, hostname: "a.example", steps: [{ percent: 100, seconds: 1 }] }, "steps"],
  [{ accountId: account, hostname: "a.example", token: "secret" }, "token"],
])("%j is refused", (given, key) => {
  const result = edge.safeParse(given);
  expect(JSON.stringify(result.error?.issues)).toContain(key);
});

test("a leg is reached where its config says; its Worker carries the environment's name", () => {
  const local = edgePlace("pod", "development", "local", 8787);
  expect(local).toEqual({
    address: { kind: "edge", system: "pod", accountId: "local", worker: "pod-development", api: "local" },
    site: "local",
    front: "http://127.0.0.1:8787",
  });
  const config = edge.parse({ accountId: account, hostname: "a.workers.dev" });
  expect(edgePlace("pod", "staging", config, 1)).toMatchObject({
    address: { worker: "pod-staging", accountId: account, api: "https://api.cloudflare.com/client/v4" },
    site: { workersDev: true, routes: [], domains: [], waf: null },
    front: "https://a.workers.dev",
  });
  expect(edgePlace("pod", "production", config, 1)).toMatchObject({ site: { workersDev: false } });
});
