import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type OutsideCheck, verifyFromOutside } from "../../../components/gates/outside.ts";
import { chronoSchema } from "../../../stacks/chrono.config.ts";
import { chronoPolicy } from "../../../stacks/chrono.ts";
import { deiaSchema } from "../../../stacks/deia.config.ts";
import { deiaPolicy } from "../../../stacks/deia.ts";
import { podSchema } from "../../../stacks/pod.config.ts";
import { outsideApi, outsideFrontend, outsideMcp } from "../../../stacks/pod.gates.ts";
import type { PodStack } from "../../../stacks/pod.manifests.ts";
import { traiderSchema } from "../../../stacks/traider.config.ts";
import { type TraiderStack, traiderOnCluster } from "../../../stacks/traider.ts";

/** What each system's document asks from outside; that a failing check takes a release back is shown at each target. */

/** One server is every service of a release, each under a path of its own; `broken` is what it does wrong. */
class Release {
  readonly asked: string[] = [];
  broken: string | null = null;
  says = "v2";
  private requests = 0;
  private readonly server: Server;

  constructor() {
    this.server = createServer((request, response) => {
      const path = request.url ?? "";
      this.asked.push(path);
      const isBroken = this.broken === path;
      if (!/metrics$/.test(path) && this.broken !== "counter") this.requests += 1;
      const answers: [RegExp, number, string][] = [
        [/detailed$/, 200, `{"database":{"status":"${isBroken ? "sick" : "healthy"}"}}`],
        [/health\/db$/, 200, `{"milliseconds":${isBroken ? 80 : 3}}`],
        [/controller\/health$/, 200, `{"status":"${isBroken ? "starting" : "healthy"}"}`],
        [/private$/, isBroken ? 200 : 401, "{}"],
        [/limited$/, isBroken ? 200 : 429, "{}"],
        [/metrics$/, 200, `http_requests_total{path="/"} ${this.requests}\n`],
        [/./, isBroken ? 500 : 200, "{}"],
      ];
      const [, status, text] = answers.find(([pattern]) => pattern.test(path)) ?? [null, 404, ""];
      response.writeHead(status, { "x-release": this.says }).end(text);
    });
  }

  async listen(): Promise<void> {
    await new Promise<void>((resolve) => this.server.listen(0, "127.0.0.1", resolve));
  }
  get origin(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }
  close(): void {
    this.server.closeAllConnections();
    this.server.close();
  }
}

let release: Release;
beforeEach(async () => {
  release = new Release();
  await release.listen();
});
afterEach(() => release.close());

const services = ["api", "dashboard", "backend", "backend-colour", "frontend", "frontend-colour"];

function verify(checks: readonly OutsideCheck[], more: { lines?: number; seconds?: number } = {}) {
  const names = [...services, "controller", "mcp", "front"];
  return verifyFromOutside({
    checks,
    origins: Object.fromEntries(names.map((name) => [name, `${release.origin}/${name}`])),
    release: "v2",
    logged: async () => more.lines ?? 1,
    seconds: more.seconds ?? 20,
    pauseMilliseconds: 1,
  });
}

const source = { git: "x" };
const production = { environment: "production" as const, fingerprintKey: "k" };

/** Each with the name of its check, what it is asked at, and what was found there. */
const documents: Record<string, { checks: () => readonly OutsideCheck[]; each: [string, string, string][] }> =
  {
    "Chrono (CHR-7)": {
      checks: () => {
        const chrono = { ...chronoSchema.parse({ box: "local", source }), secrets: {} };
        const stack = { ...production, chrono: { ...chrono, publicUrl: `${release.origin}/public` } };
        return chronoPolicy(stack as unknown as Parameters<typeof chronoPolicy>[0]).outside ?? [];
      },
      each: [
        ["health of the API", "/api/health", "500 {}"],
        ["health of the dashboard", "/dashboard/health", "500 {}"],
        ["public health", "/public/health", "500 {}"],
      ],
    },
    "POD's API (POD-7)": {
      checks: () => outsideApi(pod().pod),
      each: [
        ["health", "/api/health", "500 {}"],
        ["database", "/api/health/db2", "500 {}"],
        ["API", "/api/api", "500 {}"],
        ["authentication", "/api/private", "200"],
        ["rate limiting", "/api/limited", "200 (20 requests)"],
      ],
    },
    "POD's MCP server": {
      checks: () => outsideMcp,
      each: [["health of the MCP server", "/mcp/health", "500 {}"]],
    },
    "POD's frontend (POD-7)": {
      checks: () => outsideFrontend(pod()),
      each: [
        ["frontend loads", "/front/", "500 {}"],
        ["route /agents", "/front/agents", "500 {}"],
        ["public health of the API", "/public/health", "500 {}"],
        ["API integration", "/public/api", "500 {}"],
      ],
    },
    "TRAIDER (TRD-3)": {
      checks: () => {
        const cluster = { namespace: "traider-prod", bakerImage: "node" };
        const traider = { ...traiderSchema.parse({ cluster }), secrets: {} };
        const stack = { ...production, traider: { ...traider, publicUrl: `${release.origin}/public` } };
        return traiderOnCluster(stack as unknown as TraiderStack, cluster).policy.outside ?? [];
      },
      each: (
        [
          ["the live backend", "/backend"],
          ["the backend's colour", "/backend-colour"],
          ["the live frontend", "/frontend"],
          ["the frontend's colour", "/frontend-colour"],
          ["the public address", "/public"],
        ] as const
      ).flatMap(([where, origin]): [string, string, string][] => [
        [`/api/health of ${where}`, `${origin}/api/health`, "500 {}"],
        [`/api/health/detailed of ${where}`, `${origin}/api/health/detailed`, 'database.status is "sick"'],
        [`/api/auth/csrf of ${where}`, `${origin}/api/auth/csrf`, "500 {}"],
      ]),
    },
    "DEIA (DEI-3)": {
      checks: () => {
        const secrets = { databaseUrl: "postgres://deia@localhost/deia" };
        const deia = { ...deiaSchema.parse({ box: "local", source }), secrets };
        return deiaPolicy({ ...production, deia } as Parameters<typeof deiaPolicy>[0]).outside ?? [];
      },
      each: [
        ["health", "/controller/health", 'status is "starting"'],
        ["database", "/controller/health/db", "80 ms"],
        ["requests are counted again", "counter", "0, and 0 after a request"],
      ],
    },
  };

function pod(): PodStack {
  const config = podSchema.parse({
    ...{ box: "local", cluster: "local", edge: "local", source },
    frontend: { content: { folder: "x" }, routes: ["/", "/agents"], port: 1 },
    smoke: {
      ...{ database: "/health/db2", authentication: "/private" },
      rateLimit: { path: "/limited", requests: 20 },
    },
  });
  const api = { ...config.api, origin: `${release.origin}/public` };
  return { environment: "staging", fingerprintKey: "k", pod: { ...config, api, secrets: {} } };
}

describe.each(Object.entries(documents))("%s", (_system, { checks, each }) => {
  test("holds where every check does, and each is asked", async () => {
    expect(await verify(checks())).toBeNull();
    for (const [, path] of each.filter(([, path]) => path.startsWith("/"))) {
      expect(release.asked).toContain(path);
    }
  });

  test.each(each)("%s: found wanting, by name", async (name, path, measured) => {
    release.broken = path;
    const finding = await verify(checks());
    expect(finding?.rule.startsWith(`${name}: GET ${release.origin}/`)).toBe(true);
    expect(finding?.measured).toBe(measured);
  });
});

test("POD's logging: an API that writes no line is found wanting", async () => {
  expect(await verify(outsideApi(pod().pod), { lines: 0 })).toEqual({
    rule: "logging: the log of api",
    measured: "no line in its log",
    allowed: "1 line or more",
  });
});

describe("a check", () => {
  const health: OutsideCheck = { kind: "answers", name: "health", url: "{api}/health" };

  test("is made three times before it counts", async () => {
    release.broken = "/api/health";
    expect(await verify([health])).toMatchObject({ measured: "500 {}", allowed: "2xx" });
    expect(release.asked).toEqual(["/api/health", "/api/health", "/api/health"]);
  });

  test("that the old release answers is not held, whatever it says", async () => {
    release.says = "v1";
    expect(await verify([health])).toMatchObject({ measured: "v1 answered, not v2" });
    const elsewhere: OutsideCheck = { ...health, url: `${release.origin}/public` };
    expect(await verify([elsewhere])).toBeNull();
  });

  test("of a service that the release does not have is not made", async () => {
    expect(await verify([{ ...health, url: "{oracle}/health" }])).toBeNull();
    expect(release.asked).toEqual([]);
  });

  test("that does not end is a finding when the time of all of them is over", async () => {
    const server = createServer(() => {});
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    const finding = await verify([{ kind: "answers", name: "slow", url, below: 60 }], { seconds: 0.3 });
    server.closeAllConnections();
    server.close();
    expect(finding).toEqual({
      rule: "checks from outside end within 0.3 s",
      measured: '"slow" had not ended by then',
      allowed: "all of them",
    });
  });

  test("is not made any more once somebody has stopped the release", async () => {
    const stop = async () => ({ by: "ann", reason: "wrong prices" });
    const origins = { api: release.origin };
    expect(await verifyFromOutside({ checks: [health], origins, release: "v2", stop })).toMatchObject({
      rule: "emergencyStop",
      measured: "wrong prices (ann)",
    });
    expect(release.asked).toEqual([]);
  });
});
