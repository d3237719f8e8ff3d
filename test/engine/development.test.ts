import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Checkout, type Ended } from "../support/checkout.ts";
import { freePort } from "../support/free-port.ts";

/** ALL-1, CHR-1, CHR-10: the development stack on this machine, by the real engine, without root. */
let checkout: Checkout;
let api = 0;
let dashboard = 0;

beforeAll(async () => {
  checkout = new Checkout();
  [api, dashboard] = [await freePort(), await freePort()];
  checkout.editConfig((document) => {
    document.setIn(["config", "chrono:services", "api", "port"], api);
    document.setIn(["config", "chrono:services", "dashboard", "port"], dashboard);
    document.setIn(["config", "chrono:bake"], { seconds: 2, shortSeconds: 1, healthSeconds: 5 });
  });
});
afterAll(async () => {
  await checkout.start(["components/box/switchyard-box.sh", "shutdown"]).ended;
  checkout.remove();
});

const plain = ["--stack", "development", "--yes", "--skip-preview"];

test("`start` brings v1 up and says where it answers", async () => {
  const { code, output } = await checkout.switchyard("start");
  expect(code, output).toBe(0);
  expect(output).toContain(`http://127.0.0.1:${api}`);
  expect([await answer(api), await answer(dashboard)]).toEqual(["v1", "v1"]);
});

test("each step ran once, in the order of the rollout", async () => {
  const { stdout } = await checkout.pulumi("stack", "export", "--stack", "development");
  const resources = (JSON.parse(stdout) as { deployment: { resources: { urn: string }[] } }).deployment
    .resources;
  const steps = resources
    .map(
      ({ urn }) =>
        urn
          .split("::")
          .at(-1)
          ?.replace(/-[0-9a-f]{12}/, "") ?? "",
    )
    .filter((name) => /^(box|chrono|example)/.test(name));
  expect(steps).toEqual(
    [
      "chrono",
      "box-local",
      "chrono-v1",
      "example-repository",
      "box-local-ground",
      "chrono-policy",
      "chrono-v1-preflight",
      "chrono-v1-place",
      "chrono-v1-gates",
      "chrono-v1-guard",
      "chrono-cutover",
    ].sort((a, b) => steps.indexOf(a) - steps.indexOf(b)),
  );
});

test("nothing changed: plain `pulumi up` runs nothing, and `preview` says so", async () => {
  const preview = await checkout.pulumi("preview", "--stack", "development", "--expect-no-changes");
  expect(preview.code, preview.output).toBe(0);
  const { code, output } = await checkout.pulumi("up", ...plain, "--expect-no-changes");
  expect(code, output).toBe(0);
});

test("plain `pulumi up` releases: the preview names the release, then it serves", async () => {
  checkout.editConfig((document) => {
    document.setIn(["config", "chrono:live"], "v2");
    document.setIn(["config", "chrono:kept"], ["v1"]);
    document.setIn(["config", "chrono:releases", "v2"], { colour: "green" });
  });
  const preview = await checkout.pulumi("preview", "--stack", "development", "--diff");
  expect(preview.output).toMatch(/cutover chrono v1 [0-9a-f]{12}" => .*cutover chrono v2 [0-9a-f]{12}/);
  expect(preview.output).not.toContain("unknown");
  const { code, output } = await checkout.pulumi("up", ...plain);
  expect(code, output).toBe(0);
  expect(await answer(api)).toBe("v2");
});

test("a release that turns bad is taken back; the same pins try again, the old pins run no cutover", async () => {
  checkout.editConfig((document) => {
    document.setIn(["config", "chrono:bake", "seconds"], 9);
    document.setIn(["config", "chrono:live"], "broken");
    document.setIn(["config", "chrono:kept"], ["v2"]);
    document.setIn(["config", "chrono:releases", "broken"], { colour: "blue" });
  });
  const first = await checkout.pulumi("up", ...plain);
  expect(first.code).not.toBe(0);
  expect(first.output).toContain("chrono broken did not hold (bake)");
  expect(await answer(api)).toBe("v2");
  const again = await checkout.pulumi("up", ...plain);
  expect(again.output).toContain("chrono broken did not hold (bake)");
  expect(ranSteps(again)).toEqual(["chrono-cutover updating failed"]);
  checkout.editConfig((document) => {
    document.setIn(["config", "chrono:live"], "v2");
    document.setIn(["config", "chrono:kept"], ["v1"]);
    document.deleteIn(["config", "chrono:releases", "broken"]);
  });
  const back = await checkout.pulumi("up", ...plain);
  expect(back.code, back.output).toBe(0);
  expect(ranSteps(back).filter((step) => !step.includes("deleted"))).toEqual([]);
  expect(await answer(api)).toBe("v2");
});

test("the kept release comes back by one resource", async () => {
  const { code, output } = await checkout.switchyard("rollback");
  expect(code, output).toBe(0);
  expect(output).toMatch(/done in .*: 1 update/);
  expect(await answer(api)).toBe("v1");
});

test("a program that renders Chrono differently touches nothing that is placed, and says what it would take up", async () => {
  const runbook = join(checkout.directory, "stacks/chrono.ts");
  const text = readFileSync(runbook, "utf8");
  writeFileSync(runbook, text.replace("{ NODE_ENV: environment,", '{ NODE_ENV: environment, EXTRA: "1",'));
  expect(readFileSync(runbook, "utf8")).not.toBe(text);
  const preview = await checkout.pulumi("preview", "--stack", "development", "--expect-no-changes");
  expect(preview.code, preview.output).toBe(0);
  expect(preview.output).toContain('v1 renders differently now: services.0.environment.EXTRA absent → "1"');
  const { code, output } = await checkout.pulumi("up", ...plain, "--expect-no-changes");
  expect(code, output).toBe(0);
  writeFileSync(runbook, text);
});

test("other settings alone are another release, beside the old; a service on another port is another door", async () => {
  const other = await freePort();
  checkout.editConfig((document) => {
    document.setIn(["config", "chrono:bake", "seconds"], 2);
    document.setIn(["config", "chrono:settings", "EXAMPLE_GREETING"], "other");
    document.setIn(["config", "chrono:services", "dashboard", "port"], other);
  });
  const released = await checkout.switchyard("release", "chrono", "v1");
  expect(released.code, released.output).toBe(0);
  const { code, output } = await checkout.switchyard("up");
  expect(code, output).toBe(0);
  expect([await answer(api), await answer(other), await answer(dashboard)]).toEqual([
    "v1-r2",
    "v1-r2",
    "503",
  ]);
  const back = await checkout.switchyard("rollback");
  expect(back.code, back.output).toBe(0);
  expect([await answer(api), await answer(other), await answer(dashboard)]).toEqual(["v1", "503", "v1"]);
});

test("a flip moves traffic on the target itself; old pins do not bring back what it left, the flip's pins record it", async () => {
  const config = readFileSync(join(checkout.directory, "Pulumi.development.yaml"), "utf8");
  const flip = await checkout.switchyard("flip", "chrono");
  expect(flip.code, flip.output).toBe(0);
  expect(await answer(api)).toBe("v1-r2");
  const flipped = readFileSync(join(checkout.directory, "Pulumi.development.yaml"), "utf8");
  writeFileSync(join(checkout.directory, "Pulumi.development.yaml"), config);
  const old = await checkout.pulumi("up", ...plain);
  expect(old.code).not.toBe(0);
  expect(old.output).toContain("flipped away from it");
  expect(await answer(api)).toBe("v1-r2");
  writeFileSync(join(checkout.directory, "Pulumi.development.yaml"), flipped);
  const up = await checkout.switchyard("up");
  expect(up.code, up.output).toBe(0);
  expect(await answer(api)).toBe("v1-r2");
  expect((await checkout.pulumi("preview", "--stack", "development", "--expect-no-changes")).code).toBe(0);
});

test("a refresh changes nothing", async () => {
  const refresh = ["refresh", "--stack", "development", "--yes", "--skip-preview", "--expect-no-changes"];
  const { code, output } = await checkout.pulumi(...refresh);
  expect(code, output).toBe(0);
});

test.each([
  "guard",
  "preflight",
])("a forced replacement of the %s of what serves is refused, and leaves nothing behind", async (step) => {
  const replaced = await checkout.pulumi(
    "up",
    ...plain,
    "--replace",
    await urnOf(`chrono-v1-r2-[0-9a-f]{12}-${step}`),
  );
  expect(replaced.code).not.toBe(0);
  expect(replaced.output).toContain("serves at this moment, so it is not deleted");
  expect(await answer(api)).toBe("v1-r2");
  const { code, output } = await checkout.pulumi("up", ...plain, "--expect-no-changes");
  expect(code, output).toBe(0);
});

test("a kept release whose first step was replaced is placed again by the next update, and comes back", async () => {
  const replaced = await checkout.pulumi(
    "up",
    ...plain,
    "--replace",
    await urnOf("chrono-v1-[0-9a-f]{12}-preflight"),
  );
  expect(replaced.output).toContain("chrono");
  const { code, output } = await checkout.pulumi("up", ...plain);
  expect(code, output).toBe(0);
  const back = await checkout.switchyard("rollback");
  expect(back.code, back.output).toBe(0);
  expect(await answer(api)).toBe("v1");
});

test("destroy takes the whole of it away", async () => {
  const { code, output } = await checkout.pulumi(
    "destroy",
    "--stack",
    "development",
    "--yes",
    "--skip-preview",
  );
  expect(code, output).toBe(0);
  expect([await answer(api), await answer(dashboard)]).toEqual(["nothing", "nothing"]);
});

async function urnOf(name: string): Promise<string> {
  const { stdout } = await checkout.pulumi("stack", "--stack", "development", "--show-urns");
  const [urn = ""] = new RegExp(`urn:\\S+::${name}(?=\\s)`).exec(stdout) ?? [];
  expect(urn).not.toBe("");
  return urn;
}

async function answer(port: number): Promise<string> {
  try {
    const response = await fetch(`http://127.0.0.1:${port}/`, { signal: AbortSignal.timeout(3000) });
    await response.text();
    return response.headers.get("x-release") ?? String(response.status);
  } catch {
    return "nothing";
  }
}

/** Steps that the engine ran, with what became of them. */
function ranSteps({ output }: Ended): string[] {
  return [
    ...output.matchAll(
      /command:\w+:Command (\S+) (?:\*\*)?(created|updated|deleted|replaced|updating failed|creating failed)/g,
    ),
  ]
    .map(([, name, became]) => `${name} ${became}`)
    .filter((step, index, all) => all.indexOf(step) === index);
}
