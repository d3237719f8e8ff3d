import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { ReleaseEvidence } from "../../components/gates/evidence.ts";
import { engineEnvironment } from "../../engine/environment.ts";
import { Checkout, type Ended } from "../support/checkout.ts";
import { freePort } from "../support/free-port.ts";

/** SAN-3, SAN-4: Sanctum's runbook in development, by the real engine, its gates at small numbers for real. */
let checkout: Checkout;
const services = ["auth", "directory", "messaging"] as const;
const ports: number[] = [];

beforeAll(async () => {
  checkout = new Checkout({ systems: ["sanctum"] });
  for (const _ of services) ports.push(await freePort());
  checkout.editConfig((document) => {
    for (const [index, service] of services.entries()) {
      document.setIn(["config", "sanctum:services", service, "port"], ports[index]);
    }
    document.setIn(["config", "sanctum:bake"], { seconds: 2, shortSeconds: 1, healthSeconds: 5 });
    document.setIn(["config", "sanctum:gates"], { targetRps: 10, loadSeconds: 3, soakMinutes: 0.1 });
  });
});
afterAll(async () => {
  await checkout.start(["components/box/switchyard-box.sh", "shutdown"]).ended;
  checkout.remove();
});

const plain = ["--stack", "development", "--yes", "--skip-preview"];

test("`start` places v1, measures it, and only then lets it serve", async () => {
  const { code, output } = await checkout.switchyard("start");
  expect(code, output).toBe(0);
  expect(await stepsInState()).toEqual([
    "sanctum-policy",
    "sanctum-v1-preflight",
    "sanctum-v1-place",
    "sanctum-v1-gates",
    "sanctum-v1-guard",
    "sanctum-v1-load-1KiB-run",
    "sanctum-v1-load-64KiB-run",
    "sanctum-v1-soak-run",
    "sanctum-cutover",
  ]);
  expect(await Promise.all(ports.map(answer))).toEqual(["v1", "v1", "v1"]);
});

test("nothing changed: no gate runs again", async () => {
  const { code, output } = await checkout.pulumi("up", ...plain, "--expect-no-changes");
  expect(code, output).toBe(0);
});

test("a release that is too slow stops at the first gate: no other gate and no cutover, the old one serves", async () => {
  pin("slow", "v1");
  const { code, output } = await checkout.pulumi("up", ...plain);
  expect(code).not.toBe(0);
  expect(output).toMatch(/✗ p95: 3\d{3} ms, allowed < 1500 ms/);
  expect(output).toMatch(/✗ p99: 3\d{3} ms, allowed < 3000 ms/);
  expect(output).toMatch(/evidence: \.switchyard\/evidence\/\S+sanctum-slow-load-1KiB\.json/);
  expect(ranSteps({ output })).toEqual([
    "sanctum-slow-preflight created",
    "sanctum-slow-place created",
    "sanctum-slow-gates created",
    "sanctum-slow-guard created",
    "sanctum-slow-load-1KiB-run creating failed",
  ]);
  expect(await Promise.all(ports.map(answer))).toEqual(["v1", "v1", "v1"]);
});

test("a release that fails only under load that lasts stops at a later gate", async () => {
  pin("broken", "v1");
  const { code, output } = await checkout.pulumi("up", ...plain);
  expect(code).not.toBe(0);
  expect(output).toMatch(/✗ errors: [\d.]+ % \(\d+ of \d+; \d+ × 500 Internal Server Error\), allowed < 2 %/);
  const ran = ranSteps({ output }).filter((step) => step.startsWith("sanctum-broken-"));
  expect(ran).toContain("sanctum-broken-load-1KiB-run created");
  expect(ran.at(-1)).toMatch(/^sanctum-broken-(load-64KiB|soak)-run creating failed$/);
  expect(await Promise.all(ports.map(answer))).toEqual(["v1", "v1", "v1"]);
});

test("v2 passes; going back to the kept v1 runs no gate again", async () => {
  pin("v2", "v1");
  const released = await checkout.pulumi("up", ...plain);
  expect(released.code, released.output).toBe(0);
  expect(await Promise.all(ports.map(answer))).toEqual(["v2", "v2", "v2"]);
  pin("v1", "v2");
  const back = await checkout.pulumi("up", ...plain);
  expect(back.code, back.output).toBe(0);
  expect(ranSteps(back)).toEqual(["sanctum-cutover updated"]);
  expect(await Promise.all(ports.map(answer))).toEqual(["v1", "v1", "v1"]);
});

test("the stack says which images passed what, and another environment takes its word for these and no others", async () => {
  const { stdout } = await checkout.pulumi("stack", "output", "sanctum", "--json", "--stack", "development");
  const { evidence } = JSON.parse(stdout) as { evidence: ReleaseEvidence[] };
  expect(evidence.map(({ release, passed }) => [release, Object.keys(passed)])).toEqual([
    ["v1", ["load-1KiB", "load-64KiB", "soak"]],
    ["v2", ["load-1KiB", "load-64KiB", "soak"]],
  ]);
  const asked = {
    gate: "evidence",
    name: "evidence",
    stack: "development",
    system: "sanctum",
    required: ["load-1KiB", "load-64KiB", "soak"],
  };
  const same = await gate({ ...asked, images: evidence[1]?.images });
  expect(same.code, same.stderr).toBe(0);
  expect(same.stderr).toMatch(/✓ soak in development, with these images: passed at \d{4}-/);
  const other = await gate({ ...asked, images: { ...evidence[1]?.images, auth: "sanctum-auth:v3" } });
  expect(other.code).toBe(1);
  expect(other.stderr).toContain(
    "✗ load-1KiB in development, with these images: development has not seen these images " +
      "(it has evidence of: v1, v2), allowed passed",
  );
  const nowhere = await gate({ ...asked, stack: "staging", images: evidence[1]?.images });
  expect(nowhere.code).toBe(1);
  expect(nowhere.stderr).toMatch(
    /the outputs of stack staging, which hold sanctum's evidence, cannot be read: /,
  );
});

/** A gate as the engine would run it, in the checkout. */
async function gate(spec: object) {
  const { environment } = await engineEnvironment({ stack: "development", env: checkout.environment });
  const child = spawn("engine/node.sh", ["components/gates/main.ts", "evidence"], {
    cwd: checkout.directory,
    env: { ...environment, PULUMI_BACKEND_URL: `file://${checkout.directory}/.switchyard/state` },
  });
  child.stdin.end(JSON.stringify(spec));
  const [stderr, [code]] = await Promise.all([text(child.stderr), once(child, "close") as Promise<[number]>]);
  return { code, stderr };
}

function pin(live: string, kept: string): void {
  checkout.editConfig((document) => {
    document.setIn(["config", "sanctum:live"], live);
    document.setIn(["config", "sanctum:kept"], [kept]);
    document.setIn(["config", "sanctum:releases", live, "colour"], live === "v1" ? "blue" : "green");
  });
}

/** Sanctum's own steps in the order in which the engine created them. */
async function stepsInState(): Promise<string[]> {
  const { stdout } = await checkout.pulumi("stack", "export", "--stack", "development");
  const { deployment } = JSON.parse(stdout) as {
    deployment: { resources: { urn: string; type: string }[] };
  };
  const commands = deployment.resources.filter(({ type }) => type.startsWith("command:"));
  const names = commands.map(
    ({ urn }) =>
      urn
        .split("::")
        .at(-1)
        ?.replace(/-[0-9a-f]{12}/, "") ?? "",
  );
  return names.filter((name) => name.startsWith("sanctum-"));
}

/** Sanctum's own steps that the engine ran, in the order in which they ended. */
function ranSteps({ output }: Pick<Ended, "output">): string[] {
  const steps = output.matchAll(
    /command:\w+:Command (\S+) (?:\*\*)?(created|updated|deleted|replaced|updating failed|creating failed)/g,
  );
  return [...steps]
    .map(([, name = "", became]) => `${name.replace(/-[0-9a-f]{12}/, "")} ${became}`)
    .filter((step, index, all) => step.startsWith("sanctum-") && all.indexOf(step) === index);
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
