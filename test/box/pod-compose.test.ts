import { afterAll, beforeAll, expect, test } from "vitest";
import { bundleToolkit } from "../../components/box/toolkit-bundle.ts";
import { podRules } from "../../components/gates/tables.ts";
import { fingerprint } from "../../components/rollout/fingerprint.ts";
import type { ReleaseManifest, SmokeCheck } from "../../components/rollout/manifest.ts";
import { type Box, startBox } from "../support/box/box.ts";
import { until } from "../support/box/processes.ts";
import { describeOnBox } from "../support/box/suite.ts";
import { containers, installEngine, putImage, takeCalls } from "../support/compose/images.ts";
import { startLoad } from "../support/load/load.ts";

/**
 * POD-3 and POD-7 on a real box: a compose project per release behind the ordinary door. The engine is a STAND-IN (see
 * test/support/compose/engine.ts), as no container engine can run where these tests run: it checks the exact words,
 * environment and file that a real one would get, and runs the example service.
 */

const password = "pa'ss w$rd`x\"é-Zq81kTrv";
const databaseUrl = `postgresql://pod:${encodeURIComponent(password)}@127.0.0.1:5432/pod`;
const greeting = 'a $VALUE with "quotes", `ticks`, \\ and\na line break é';

const smoke: readonly SmokeCheck[] = [
  { name: "health", kind: "answers", path: "/health", status: 200 },
  { name: "database", kind: "answers", path: "/health/db", status: 200 },
  { name: "API", kind: "answers", path: "/api/agents", status: 200 },
  { name: "authentication", kind: "answers", path: "/api/private", status: 401 },
  { name: "rate limiting", kind: "limits", path: "/api/limited", requests: 50 },
  { name: "logging", kind: "logs" },
];

describeOnBox("POD's API, a compose project per release (on a stand-in engine)", () => {
  let box: Box;
  let images: Record<"v1" | "v2" | "v3" | "broken" | "halting", string>;

  beforeAll(async () => {
    box = await startBox({ base: "full" });
    const toolkit = await bundleToolkit();
    expect((await box.ssh("sh -s", { stdin: toolkit.installer })).code).toBe(0);
    await installEngine(box);
    const first = { "20260101_init": "CREATE TABLE agents (id int PRIMARY KEY);" };
    const second = { ...first, "20260201_names": "ALTER TABLE agents ADD COLUMN name text;" };
    const third = { ...second, "20260301_bad": "ALTER TABLE nobody ADD COLUMN x int;" };
    images = {
      v1: await putImage(box, { version: "v1", migrations: first }),
      v2: await putImage(box, { version: "v2", migrations: second }),
      v3: await putImage(box, { version: "v3", migrations: second }),
      halting: await putImage(box, { version: "v4", migrations: third }),
      broken: await putImage(box, { version: "broken", migrations: second }),
    };
    const role = `CREATE ROLE pod LOGIN PASSWORD '${password.replaceAll("'", "''")}'; CREATE DATABASE pod OWNER pod;`;
    await box.ssh("cd / && sudo -u postgres psql -q", { stdin: role });
    await mustVerb(["ground"], { packages: ["haproxy", "git"], users: [], receipt: "r1" });
    await mustVerb(["policy", "pod"], {
      rules: podRules,
      ...{ bakeSeconds: 3, shortBakeSeconds: 1, scrapeSeconds: 0.5, healthSeconds: 10 },
      ...{ probes: ["/"], probesPerSecond: 20, keptBuilds: 5, freeMebibytes: 100 },
    });
  });
  afterAll(() => box?.stop());

  const verb = (words: readonly string[], input: unknown = {}) =>
    box.ssh(`switchyard-box ${words.join(" ")}`, { stdin: JSON.stringify(input), timeoutSeconds: 200 });
  const mustVerb = async (words: readonly string[], input?: unknown) => {
    const { code, stdout, stderr } = await verb(words, input);
    expect(code, `${words.join(" ")}: ${stderr}`).toBe(0);
    return JSON.parse(stdout) as unknown;
  };

  interface Wanted {
    readonly provides?: number;
    readonly change?: "expand" | "none";
    readonly environment?: Record<string, string>;
    readonly image?: string;
  }

  function manifestOf(release: keyof typeof images, wanted: Wanted = {}): ReleaseManifest {
    const { provides = 1, change = "expand", environment = {}, image = images[release] } = wanted;
    const command = ["npx", "prisma", "migrate", "deploy"];
    return {
      ...{ environment: "development", system: "pod", release, version: release },
      ...{ source: { kind: "images" }, build: [], buildSeconds: 60 },
      services: [
        {
          ...{
            name: "api",
            kind: "serving",
            command: [],
            door: 8090,
            health: "/health",
            metrics: "/metrics",
          },
          environment: { EXAMPLE_GREETING: greeting, ...environment },
          secrets: { DATABASE_URL: "r1", EXAMPLE_SECRET_KEY: "r1" },
          ...{ drainSeconds: 10, stopSeconds: 12 },
          compose: { image, port: 3000, memoryMebibytes: 512 },
          smoke,
        },
      ],
      schema: {
        folder: "prisma",
        url: "DATABASE_URL",
        provides,
        needs: 1,
        change,
        tool: { service: "api", command },
      },
      checks: { postgres: "DATABASE_URL" },
    };
  }

  const secrets = { DATABASE_URL: databaseUrl, EXAMPLE_SECRET_KEY: password };
  const words = (step: string, manifest: ReleaseManifest) => [
    step,
    "pod",
    manifest.release,
    fingerprint(manifest),
  ];
  const delivery = (manifest: ReleaseManifest) => ({
    ...{ fingerprint: fingerprint(manifest), colour: "blue", manifest, receipt: "r1", secrets },
  });

  /** Everything a release goes through before traffic. */
  async function place(manifest: ReleaseManifest): Promise<unknown> {
    await mustVerb(words("preflight", manifest), delivery(manifest));
    if (manifest.schema?.change !== "none") {
      await mustVerb(words("backup", manifest));
      await mustVerb(words("migrate", manifest), { kept: [] });
    }
    await mustVerb(words("place", manifest));
    return mustVerb(words("gates", manifest));
  }
  const cutOver = (manifest: ReleaseManifest, receipt: string) =>
    verb(words("cutover", manifest), { receipt });
  const answering = async (path = "/") => {
    const { stdout } = await box.ssh(`curl -s -m 5 -i http://127.0.0.1:8090${path} || true`);
    return /^x-release: (\S+)/im.exec(stdout)?.[1] ?? null;
  };
  const sql = async (query: string) =>
    (await box.ssh("cd / && sudo -u postgres psql -qtA pod", { stdin: query })).stdout.trim();

  test("a box without a compose engine says so, and nothing has changed", async () => {
    await box.ssh("mv /usr/local/bin/docker /usr/local/bin/docker.away");
    const manifest = manifestOf("v1");
    const { code, stderr } = await verb(words("preflight", manifest), delivery(manifest));
    expect(code).toBe(1);
    expect(stderr).toContain("this box has no compose engine");
    await box.ssh("mv /usr/local/bin/docker.away /usr/local/bin/docker; systemctl stop docker");
    const without = await verb(words("preflight", manifest), delivery(manifest));
    expect(without.code).toBe(1);
    expect(without.stderr).toContain("its daemon does not answer");
    await box.ssh("systemctl start docker");
    await until(async () => (await box.ssh("docker info")).code === 0, 120, "no daemon", 100);
    expect((await box.ssh("ls /var/lib/switchyard/systems/pod/releases 2>/dev/null")).stdout).toBe("");
    await takeCalls(box);
  });

  test("settings that would steer the engine itself are refused", async () => {
    const manifest = manifestOf("v1", { environment: { DOCKER_HOST: "tcp://elsewhere:2375" } });
    const { code, stderr } = await verb(words("preflight", manifest), delivery(manifest));
    expect(code).toBe(1);
    expect(stderr).toContain("api: DOCKER_HOST would change what the compose engine does");
  });

  test("backup → migration in the image → pull → up → smoke test, with the exact words", async () => {
    const manifest = manifestOf("v1");
    const lines = await place(manifest);
    const id = fingerprint(manifest);
    const project = ["compose", "-p", `pod-${id}`, "-f", `/srv/switchyard/releases/pod-${id}/compose.yaml`];
    const calls = (await takeCalls(box)).map((call) => ({ ...call, words: call.words }));
    const made = calls.filter(({ words: [first, second] }) => first === "compose" && second !== "version");
    expect(made.map((call) => call.words)).toEqual([
      [...project, "pull"],
      [...project, "run", "--rm", "--no-deps", "-T", "api", "npx", "prisma", "migrate", "deploy"],
      [...project, "pull"],
      [...project, "up", "--no-build", "--no-color", "--abort-on-container-exit", "api"],
    ]);
    const up = made.at(-1);
    const ids = await box.ssh("id -u switchyard; getent group docker | cut -d: -f3");
    const [uid, gid] = ids.stdout.trim().split("\n").map(Number);
    expect(up?.user).toBe(uid);
    expect(up?.groups).toContain(gid);
    expect(lines).toEqual([
      "api: healthy on /health, running, 0 restarts",
      "api: health: 200, allowed 200",
      "api: database: 200, allowed 200",
      "api: API: 200, allowed 200",
      expect.stringMatching(/^api: authentication: 401 a token is needed, allowed 401$/),
      expect.stringMatching(/^api: rate limiting: \d+ of 50 answered 429, allowed 1 or more$/),
      "api: logging: it writes, allowed 1 line or more",
      expect.stringMatching(/PostgreSQL/),
    ]);
    expect(await answering()).toBeNull();
    const out = await cutOver(manifest, "c1");
    expect(out.code, out.stderr).toBe(0);
    expect(await answering()).toBe("v1");
  });

  test("the container's environment is the release's, byte for byte; the compose file names secrets and holds none", async () => {
    const { stdout } = await box.ssh(
      "curl -s 'http://127.0.0.1:8090/api/environment?name=EXAMPLE_SECRET_KEY'",
    );
    expect(Buffer.from((JSON.parse(stdout) as { hex: string }).hex, "hex").toString("utf8")).toBe(password);
    const shown = await box.ssh("curl -s 'http://127.0.0.1:8090/api/environment?name=EXAMPLE_GREETING'");
    expect(Buffer.from((JSON.parse(shown.stdout) as { hex: string }).hex, "hex").toString("utf8")).toBe(
      greeting,
    );
    const id = fingerprint(manifestOf("v1"));
    const folder = `/srv/switchyard/releases/pod-${id}`;
    const files = await box.ssh(`cd ${folder} && stat -c '%n %a %U' * && cat compose.yaml`);
    expect(files.stdout).toContain("api.env 600 root");
    expect(files.stdout).toContain("compose.yaml 644 root");
    expect(files.stdout).toContain('"DATABASE_URL"');
    expect(files.stdout).not.toContain("Zq81kTrv");
    expect(files.stdout).toContain(`image: "${images.v1}"`);
    // Neither are they on a command line or in the journal.
    const seen = await box.ssh("ps axww -o args; journalctl --no-pager -u 'pod-api-*' -u 'switchyard-*'");
    expect(seen.stdout).not.toContain("Zq81kTrv");
  });

  test("v2 goes out and v1 comes back under load, without a failed request and without a migration", async () => {
    const v1 = manifestOf("v1");
    const v2 = manifestOf("v2", { provides: 2 });
    const load = await startLoad({
      enter: box.enter,
      urls: [`http://${box.address}:8090/api/agents`],
      requestsPerSecond: 30,
    });
    try {
      await place(v2);
      expect(await sql("SELECT count(*) FROM _prisma_migrations WHERE finished")).toBe("2");
      const out = await cutOver(v2, "c2");
      expect(out.code, out.stderr).toBe(0);
      await load.until(({ releases }) => (releases.v2?.new?.answered ?? 0) > 200);
      await takeCalls(box);
      const back = await cutOver(v1, "c3");
      expect(back.code, back.stderr).toBe(0);
      const migrations = (await takeCalls(box)).filter((call) => call.words.includes("run"));
      expect(migrations).toEqual([]);
      await load.until(({ total }) => total > 5000, 60);
    } finally {
      const summary = await load.stop();
      console.log(`load: ${summary.total} requests, ${summary.failed} failed`);
      expect(summary.firstFailures).toEqual([]);
    }
    expect(await answering()).toBe("v1");
    expect(await containers(box)).toEqual(
      [v1, v2].map((manifest) => `pod-${fingerprint(manifest)}-api-1 running`).sort(),
    );
    const known = await sql("SELECT number, name, dirty FROM switchyard_migrations ORDER BY number");
    expect(known.split("\n")).toEqual(["1|npx prisma migrate deploy|f", "2|npx prisma migrate deploy|f"]);
  });

  test("a client that is killed takes its container with it, and the unit comes back", async () => {
    const unit = `pod-api-${fingerprint(manifestOf("v2", { provides: 2 }))}`;
    const before = await box.ssh(`systemctl show -p NRestarts --value ${unit}`);
    await takeCalls(box);
    await box.ssh(`systemctl kill -s KILL --kill-whom=main ${unit}`);
    await until(
      async () =>
        (await box.ssh(`systemctl show -p NRestarts --value ${unit}`)).stdout !== before.stdout &&
        (await box.ssh(`systemctl is-active ${unit}`)).stdout.trim() === "active",
      20,
      "the unit did not come back",
      200,
    );
    await until(
      async () => (await takeCalls(box)).some((call) => call.words.includes("up")),
      20,
      "no container was started again",
      200,
    );
  });

  test("a migration that fails stops the release; the next update runs it again, and the tool refuses by its own mark", async () => {
    const manifest = manifestOf("halting", { provides: 3 });
    await mustVerb(words("preflight", manifest), delivery(manifest));
    const first = await verb(words("migrate", manifest), { kept: [] });
    expect(first.code).toBe(1);
    expect(first.stderr).toContain("P3018: 20260301_bad failed to apply");
    expect(first.stderr).not.toContain("Zq81kTrv");
    const again = await verb(words("migrate", manifest), { kept: [] });
    expect(again.code).toBe(1);
    expect(again.stderr).toContain("P3009: migrate found failed migrations");
    expect(await sql("SELECT dirty FROM switchyard_migrations WHERE number = 3")).toBe("t");
    expect((await verb(words("cutover", manifest), { receipt: "c4" })).stderr).toContain(
      "has not passed its gates",
    );
    expect(await answering()).toBe("v1");
    await sql(
      "DELETE FROM _prisma_migrations WHERE NOT finished; DELETE FROM switchyard_migrations WHERE number = 3",
    );
    await mustVerb(words("remove", manifest));
  });

  test.each([
    ["no-authentication", "authentication", "GET /api/private", "measured: 200"],
    ["no-limits", "rate limiting", "50 times /api/limited at once", "measured: 0 of 50 answered 429"],
  ])("a smoke test that fails (%s) stops the release before any traffic", async (fault, name, what, measured) => {
    const manifest = manifestOf("v3", { change: "none", provides: 2, environment: { API_FAULT: fault } });
    await mustVerb(words("preflight", manifest), delivery(manifest));
    await mustVerb(words("place", manifest));
    const { code, stderr } = await verb(words("gates", manifest));
    expect(code).toBe(1);
    expect(stderr).toContain(`gate: api: ${name} (${what})`);
    expect(stderr).toContain(measured);
    expect((await cutOver(manifest, "c5")).stderr).toContain("has not passed its gates");
    expect(await answering()).toBe("v1");
    await mustVerb(words("remove", manifest));
  });

  test("an image that cannot be had stops the release", async () => {
    const image = `ghcr.io/pod-protocol/pod-api@sha256:${"9".repeat(64)}`;
    const manifest = manifestOf("v3", { change: "none", image });
    await mustVerb(words("preflight", manifest), delivery(manifest));
    const { code, stderr } = await verb(words("place", manifest));
    expect(code).toBe(1);
    expect(stderr).toContain(`the images of v3 cannot be had: manifest for ${image} not found`);
    await mustVerb(words("remove", manifest));
  });

  test("a reboot: what served serves again", async () => {
    await box.reboot();
    await until(async () => (await answering()) === "v1", 60, "v1 did not come back", 300);
  });

  test("what is removed is gone: unit, container, files; what serves is refused", async () => {
    const v1 = manifestOf("v1");
    const v2 = manifestOf("v2", { provides: 2 });
    const started = async () => {
      const unit = `pod-api-${fingerprint(v1)}.service`;
      return (await box.ssh(`systemctl show -P ActiveEnterTimestampMonotonic ${unit}`)).stdout.trim();
    };
    const before = await started();
    expect(before).toMatch(/^[1-9]\d*$/);
    const refused = await verb(words("remove", v1));
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain("serves at this moment");
    await mustVerb(words("remove", v2));
    expect(await containers(box)).toEqual([`pod-${fingerprint(v1)}-api-1 running`]);
    expect(await started()).toBe(before);
    const calls = (await takeCalls(box)).map(({ words: [, , project, , , ...rest] }) =>
      [project, ...rest].join(" "),
    );
    expect(calls).toContain(`pod-${fingerprint(v2)} down --timeout 10`);
    const { stdout } = await box.ssh("ls /srv/switchyard/releases /etc/systemd/system | grep pod- || true");
    expect(stdout.trim().split("\n")).toEqual([
      `pod-api-${fingerprint(v1)}.service`,
      `pod-${fingerprint(v1)}`,
    ]);
    expect(await answering()).toBe("v1");
  });
});
