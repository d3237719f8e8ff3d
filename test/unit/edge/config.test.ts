import { expect, test } from "vitest";
import type { EnvironmentName } from "../../../components/rollout/environment.ts";
import { mendingCommand } from "../../../stacks/config/advice.ts";
import { addressOf, edge, edgeChecks, edgePlace } from "../../../stacks/config/edge.ts";
import type { EdgeAsked } from "../../../stacks/config/edge-leads.ts";

const account = "a".repeat(32);
const zone = "1".repeat(32);

const workers: EdgeAsked = { paths: ["/health", "/"], filesOnly: false };
const files: EdgeAsked = { paths: ["/", "/switchyard-release.txt", "/about"], filesOnly: true };

interface Problem {
  readonly text: string;
  readonly command: string;
}

/** The problems of Chrono's Worker in an environment, each as "key: found; allowed". */
function problemsOf(environment: EnvironmentName, given: unknown, asked: EdgeAsked): Problem[] {
  const found: Problem[] = [];
  edgeChecks("chrono", edge.parse(given), asked, {
    environment,
    problem: (key, what, allowed, mend) =>
      found.push({
        text: `${key}: ${what}; ${allowed}`,
        command: mendingCommand(environment, "chrono", key, mend),
      }),
  });
  return found;
}

const problems = (environment: EnvironmentName, given: unknown) =>
  problemsOf(environment, given, workers).map(({ text }) => text);

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
    {
      accountId: account,
      hostname: "chrono-staging.acme.workers.dev",
      routes: ["a.example/*"],
      zoneId: zone,
    },
    "edge.routes: a.example/*; none in staging: it is reached at its workers.dev address",
  ],
  [
    "a hostname of its own",
    "staging",
    { accountId: account, hostname: "chrono.example" },
    "edge.hostname: chrono.example; chrono-staging.<subdomain>.workers.dev: in staging nothing else leads to the Worker chrono-staging",
  ],
  [
    "another Worker's address",
    "staging",
    { accountId: account, worker: "gateway", hostname: "chrono-staging.acme.workers.dev" },
    "edge.hostname: chrono-staging.acme.workers.dev; gateway.<subdomain>.workers.dev: in staging nothing else leads to the Worker gateway",
  ],
  [
    "a workers.dev address",
    "production",
    {
      accountId: account,
      hostname: "chrono-production.acme.workers.dev",
      domains: ["a.example"],
    },
    "edge.hostname: chrono-production.acme.workers.dev; a hostname of its routes and domains: a.example",
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

const asks = (...urls: string[]) =>
  `no route or domain leads to what smoke test and bake ask: ${urls.join(", ")}`;

/** Production's: what is configured, what is wrong, and the command that mends it. */
test.each<[string, object, EdgeAsked, string, string]>([
  [
    "a route with a path",
    { routes: ["nexus.example/edge/*"] },
    workers,
    `edge.path: nothing; /edge, which is in the route nexus.example/edge/*; ${asks("https://nexus.example/health", "https://nexus.example/")}`,
    "pulumi config set --stack production --path chrono:edge.path /edge",
  ],
  [
    "another path than its route's",
    { routes: ["nexus.example/edge/*"], path: "/edges" },
    workers,
    `edge.path: /edges; /edge, which is in the route nexus.example/edge/*; ${asks("https://nexus.example/edges/health", "https://nexus.example/edges/")}`,
    "pulumi config set --stack production --path chrono:edge.path /edge",
  ],
  [
    "a route without an asterisk",
    { routes: ["nexus.example/"] },
    workers,
    `edge.routes: nexus.example/; nexus.example/* as well; ${asks("https://nexus.example/health")}`,
    "pulumi config set --stack production --path 'chrono:edge.routes[1]' 'nexus.example/*'",
  ],
  [
    "a route of http only",
    { routes: ["http://nexus.example/*"] },
    workers,
    `edge.routes: http://nexus.example/*; nexus.example/* as well; ${asks("https://nexus.example/health", "https://nexus.example/")}`,
    "pulumi config set --stack production --path 'chrono:edge.routes[1]' 'nexus.example/*'",
  ],
  [
    "subhosts only",
    { routes: ["*.nexus.example/*"] },
    workers,
    "edge.hostname: nexus.example; a hostname of its routes and domains: *.nexus.example/*",
    "pulumi config set --stack production --path chrono:edge.hostname <value>",
  ],
  [
    "files below a path",
    { routes: ["nexus.example/edge/*"] },
    files,
    `edge.routes: nexus.example/edge/*; nexus.example/* as well; ${asks("https://nexus.example/", "https://nexus.example/switchyard-release.txt", "https://nexus.example/about")}`,
    "pulumi config set --stack production --path 'chrono:edge.routes[1]' 'nexus.example/*'",
  ],
  [
    "a path of files",
    { routes: ["nexus.example/edge/*"], path: "/edge" },
    files,
    "edge.path: /edge; none: a file is found by the whole path, so files have a hostname of their own",
    "pulumi config rm --stack production --path chrono:edge.path",
  ],
])("what is asked where nothing leads is refused, with what mends it: %s", (_what, given, asked, text, command) => {
  const place = { accountId: account, zoneId: zone, hostname: "nexus.example", ...given };
  const found = problemsOf("production", place, asked);
  expect(found.map((problem) => problem.text)).toEqual([text]);
  expect(found[0]?.command).toBe(command);
});

test.each<[object, EdgeAsked]>([
  [{ routes: ["nexus.example/edge/*"], path: "/edge" }, workers],
  [{ routes: ["nexus.example/edge*"], path: "/edge" }, workers],
  [{ routes: ["https://*example/*"] }, workers],
  [{ routes: ["nexus.example/", "nexus.example/health"] }, workers],
  [{ domains: ["nexus.example"], path: "/edge" }, workers],
  [{ routes: ["other.example/edge/*"], domains: ["nexus.example"] }, files],
])("%j leads to all that is asked", (given, asked) => {
  const place = { accountId: account, zoneId: zone, hostname: "nexus.example", ...given };
  expect(problemsOf("production", place, asked)).toEqual([]);
});

test("in staging each path leads to the Worker, so the one of production can be asked there", () => {
  const place = { accountId: account, hostname: "chrono-staging.acme.workers.dev", path: "/edge" };
  expect(problems("staging", place)).toEqual([]);
});

test("an address is what the path of its route leads to", () => {
  const config = edge.parse({ accountId: account, hostname: "nexus.example", path: "/edge" });
  const place = edgePlace("chrono", "production", config, 1);
  expect(place.front).toBe("https://nexus.example/edge");
  expect(addressOf(place)).toBe("https://nexus.example/edge/");
  expect(addressOf({ front: "https://nexus.example" })).toBe("https://nexus.example");
});

test.each([
  [{ accountId: "x", hostname: "a.example" }, "accountId"],
  [{ accountId: account, hostname: "a.example", path: "/edge/" }, "path"],
  [{ accountId: account, hostname: "a.example", path: "edge" }, "path"],
  [{ accountId: account, hostname: "a.example", path: "/../edge" }, "path"],
  [{ accountId: account, hostname: "a.example", routes: ["a.example/*.jpg"] }, "routes"],
  [{ accountId: account, hostname: "a.example", routes: ["a.*.example/*"] }, "routes"],
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
