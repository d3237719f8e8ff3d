import { afterAll, beforeAll, expect, it } from "vitest";
import { describeOnBox } from "../support/box/suite.ts";
import type { Ended } from "../support/checkout.ts";
import { makeCertificate } from "../support/deia.ts";
import type { Release, StackName } from "../support/environment/config.ts";
import { type EnvironmentStack, EnvironmentTrial, systems } from "../support/environment/environment.ts";
import { must } from "../support/environment/machine.ts";
import { type Steps, stepsBySystem } from "../support/environment/steps.ts";

let trial: EnvironmentTrial;
let staging: EnvironmentStack;

async function up(stack: StackName): Promise<Ended & { readonly steps: Steps }> {
  const ended = await trial.up(stack, "--continue-on-error");
  return { ...ended, steps: stepsBySystem(ended) };
}
const pinAll = (stack: StackName, live: Release, kept: readonly Release[]) =>
  trial.pin(stack, Object.fromEntries(systems.map((system) => [system, { live, kept }])));

describeOnBox("staging and production, whole", () => {
  beforeAll(async () => {
    trial = await EnvironmentTrial.start();
    staging = await trial.make("staging");
  }, 300_000);
  afterAll(() => trial?.stop(), 60_000);

  it("staging: the first deployment", async () => {
    pinAll("staging", "v1", []);
    const { code, output, steps } = await up("staging");
    console.log("FIRST", JSON.stringify(steps, null, 1));
    expect(code, output).toBe(0);
    console.log(await trial.serving(staging));
  });
  it("staging: a release of every system", async () => {
    pinAll("staging", "v2", ["v1"]);
    const { code, output, steps } = await up("staging");
    console.log("RELEASE", JSON.stringify(steps, null, 1));
    expect(code, output).toBe(0);
    console.log(await trial.serving(staging));
  });
  it("staging: gates A", async () => {
    await must(staging.boxes.chrono, "systemctl stop postgresql");
    trial.kubernetes.sicken("v3", ({ service, path, door }) =>
      service === "auth" && path === "/" ? 500 : service === "backend" && door === null ? 500 : null,
    );
    trial.refuse("9393");
    trial.answer("staging", "v3", "approval", new Date(Date.now() - 30 * 86_400_000).toISOString());
    pinAll("staging", "v3", ["v2"]);
    const { code, output, steps } = await up("staging");
    console.log("GATES A", code, JSON.stringify(steps, null, 1), output.slice(output.indexOf("Diagnostics")));
    await must(staging.boxes.chrono, "systemctl start postgresql");
    trial.kubernetes.heal();
    trial.refuse("none");
    trial.answer("staging", "v3", "approval", new Date().toISOString());
  });
  it("staging: gates B", async () => {
    trial.cloudflare.sicken("v3", (path) => (path === "/health" ? 503 : null));
    trial.kubernetes.sicken("v3", ({ service, door }) =>
      service === "directory" && door === null ? 500 : null,
    );
    trial.kubernetes.failJob("backup v3");
    await must(staging.boxes.pod, "systemctl stop postgresql");
    await makeCertificate(staging.boxes.deia, 10);
    const { code, output, steps } = await up("staging");
    console.log("GATES B", code, JSON.stringify(steps, null, 1), output.slice(output.indexOf("Diagnostics")));
    await must(staging.boxes.pod, "systemctl start postgresql");
    await makeCertificate(staging.boxes.deia, 90);
    trial.kubernetes.heal();
    trial.cloudflare.heal();
    console.log(await trial.serving(staging));
  });
  it("staging: bad", async () => {
    trial.kubernetes.sicken("bad", ({ door }) =>
      door !== null && !/-(blue|green)$/.test(door) ? 500 : null,
    );
    pinAll("staging", "bad", ["v2"]);
    const { code, output, steps } = await up("staging");
    console.log("BAD", code, JSON.stringify(steps, null, 1), output.slice(output.indexOf("Diagnostics")));
    trial.kubernetes.heal();
    console.log(await trial.serving(staging));
  });
  it("staging: back", async () => {
    pinAll("staging", "v1", ["v2"]);
    const { code, output, steps } = await up("staging");
    console.log("BACK", code, JSON.stringify(steps, null, 1), output.slice(output.indexOf("Diagnostics")));
    console.log(await trial.serving(staging));
  });
});
