import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { Checkout } from "../support/checkout.ts";
import { Cloudflare } from "../support/cloudflare/cloudflare.ts";
import { RecorderWorld } from "../support/recorder/world.ts";
import { EdgeTrial } from "./edge-trial/trial.ts";

/**
 * CHR-10: Chrono's Worker by the committed file of production, whose route has a path. The played Cloudflare answers
 * where a route or a domain leads, and nowhere else.
 */

interface Place {
  readonly hostname: string;
  readonly path?: string;
  readonly routes: readonly string[];
}

function committed(): Place {
  const path = new URL("../../Pulumi.production.yaml", import.meta.url);
  return (parse(readFileSync(path, "utf8")) as { config: { "chrono:edge": Place } }).config["chrono:edge"];
}

/** As a file has it that knows of no path. */
function withoutPath({ path: _, ...place }: Place): Place {
  return place;
}

describe("the config", () => {
  let world: RecorderWorld;
  let checkout: Checkout;

  beforeAll(async () => {
    world = new RecorderWorld();
    checkout = new Checkout({ environment: world.environment });
    checkout.editConfig(
      (document) => document.setIn(["config", "chrono:edge"], withoutPath(committed())),
      "production",
    );
    const made = await checkout.pulumi("stack", "init", "--stack", "production");
    expect(made.code, made.output).toBe(0);
  });
  afterAll(() => {
    checkout.remove();
    world.remove();
  });

  test.each([
    "preview",
    "up",
  ])("before anybody is asked, %s refuses a path where no route leads", async (word) => {
    const skip = word === "up" ? ["--yes", "--skip-preview"] : [];
    const { code, output } = await checkout.pulumi(word, "--stack", "production", ...skip);
    expect(code).not.toBe(0);
    const said = output.replaceAll(/\s+/g, " ");
    expect(said).toContain(
      "chrono:edge.path: found nothing; allowed: /edge, which is in the route nexus.hayven.xyz/edge/*; no route or " +
        "domain leads to what smoke test and bake ask: https://nexus.hayven.xyz/health, https://nexus.hayven.xyz/",
    );
    expect(said).toContain("pulumi config set --stack production --path chrono:edge.path /edge");
    // With the others, all at once.
    expect(said).toContain("chrono:databaseUrl: found nothing");
    expect(said).toContain("nothing was changed");
    expect(world.journal({ previews: word === "preview" })).toEqual([]);
  });
});

describe("Cloudflare", () => {
  let world: RecorderWorld;
  let cloudflare: Cloudflare;
  let trial: EdgeTrial;
  let place: Place;

  const asked = async (path: string) => {
    const answer = await fetch(`${cloudflare.front("nexus.hayven.xyz")}${path}`);
    return `${answer.status} ${answer.headers.get("x-release")}`;
  };

  beforeAll(async () => {
    world = new RecorderWorld();
    cloudflare = await Cloudflare.start(world);
    const ids = { accountId: "a".repeat(32), zoneId: "b".repeat(32) };
    place = { ...committed(), ...ids, ...{ api: cloudflare.api } };
    trial = new EdgeTrial(
      { door: 1, environment: "production", edge: withoutPath(place) },
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

  test("answers nothing where no route leads: asked there, the release gets no traffic", async () => {
    trial.pin("v1", []);
    const { code, output } = await trial.up();
    expect(code).not.toBe(0);
    expect(output).toContain("gate: v1 answers 2xx on /health within 5 s");
    expect(output).toContain("measured: 522 no Worker is at https://nexus.hayven.xyz/health");
    expect(cloudflare.serving("chrono-production")).toEqual(["closed"]);
  });

  test("leads to the release by the committed path, and only there", async () => {
    trial.set({ edge: place });
    const { code, output } = await trial.up();
    expect(code, output).toBe(0);
    expect(world.thing({ match: "WorkersRoute" }).inputs.pattern).toBe("nexus.hayven.xyz/edge/*");
    expect(cloudflare.serving("chrono-production")).toEqual(["v1"]);
    expect(await Promise.all(["/edge/", "/edge/health", "/edge/deep?er=1"].map(asked))).toEqual(
      Array(3).fill("200 v1"),
    );
    expect(
      await Promise.all(["/", "/health", "/edge", "/edges/", "/switchyard-release.txt"].map(asked)),
    ).toEqual(Array(5).fill("522 null"));
    const { stdout } = await trial.checkout.pulumi("stack", "output", "front", "--stack", "production");
    expect(stdout.trim()).toBe("https://nexus.hayven.xyz/edge/");
  });

  test("a release that is ill below the path alone is found there, at its gate and in its bake", async () => {
    cloudflare.sicken("v2", (path) => (path === "/edge/health" ? 503 : null));
    trial.pin("v2", ["v1"]);
    const gated = await trial.up();
    expect(gated.code).not.toBe(0);
    expect(gated.output).toContain("gate: v2 answers 2xx on /edge/health within 5 s");
    cloudflare.heal();
    cloudflare.sicken("v3", (path) => (path === "/edge/" ? 500 : null));
    trial.pin("v3", ["v1"]);
    const baked = await trial.up();
    expect(baked.code).not.toBe(0);
    expect(baked.output).toMatch(/chrono v3 did not hold \(bake\): errorRate/);
    expect(cloudflare.serving("chrono-production")).toEqual(["v1"]);
  });
});
