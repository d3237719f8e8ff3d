import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { setImmediate as turn } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ask } from "../../../components/gates/ask.ts";
import { probeDatabase } from "../../../components/gates/database-probe.ts";
import { Observation } from "../../../components/gates/observation.ts";
import { watchOwnDelay } from "../../../components/gates/own-delay.ts";
import { asProbe } from "../../../components/gates/request-probes.ts";
import type { Probe } from "../../../components/gates/seen.ts";

let server: Server;
let origin: string;

beforeEach(async () => {
  server = createServer((_, response) => response.end("ok"));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

/** What a machine without CPU does to a process: it gets to nothing for so long. */
function stall(milliseconds: number): void {
  const end = performance.now() + milliseconds;
  while (performance.now() < end);
}

describe("what an answer took", () => {
  it("is told apart from what this process was late itself", async () => {
    const asked = ask(origin);
    await turn();
    stall(600);
    const answer = await asked;
    expect(answer.ok).toBe(true);
    expect(answer.milliseconds).toBeGreaterThanOrEqual(600);
    expect(answer.ownMilliseconds).toBeGreaterThanOrEqual(500);
    expect(answer.ownMilliseconds).toBeLessThanOrEqual(answer.milliseconds);
  });

  it("is not cut off by a bound that passed while this process was late", async () => {
    const asked = ask(origin, { seconds: 0.4 });
    await turn();
    stall(600);
    expect(await asked).toMatchObject({ ok: true, status: 200, text: "ok" });
  });

  it("is cut off when it does not come, in the bound that was asked for", async () => {
    server.removeAllListeners("request").on("request", () => {});
    const answer = await ask(origin, { seconds: 0.3 });
    expect(answer).toMatchObject({ ok: false, status: 0, detail: "no answer within 0.3 s" });
    expect(answer.milliseconds).toBeGreaterThanOrEqual(300);
  });

  it("counts a delay that begins before its own timer is due", () => {
    const own = watchOwnDelay();
    stall(200);
    expect(own.milliseconds()).toBeGreaterThan(150);
    own.end();
  });

  it("of a database is not cut off either", async () => {
    const looked = probeDatabase(() => fetch(origin), 0.4);
    await turn();
    stall(600);
    expect(await looked).toMatchObject({ kind: "database", ok: true });
  });
});

describe("a bake on a machine that is too busy to time its requests", () => {
  const answered = (milliseconds: number, ownMilliseconds: number): Probe =>
    asProbe("request", { ok: true, status: 200, detail: "", milliseconds, ownMilliseconds });
  const watch = (probes: (second: number) => readonly Probe[]) => {
    const observation = new Observation({
      rules: [{ metric: "p95", above: 1, forSeconds: 10, decision: "rollback" }],
      services: [{ name: "api", kind: "serving", metrics: false }],
      database: false,
    });
    for (let second = 0; second <= 20; second++)
      observation.add({ at: second * 1000, services: { api: { probes: probes(second) } } });
    return observation.verdict();
  };

  it("blames no release for its own delay", () => {
    const verdict = watch((second) => {
      const late = second >= 3 && second < 9;
      return Array<Probe>(40).fill(late ? answered(1800, 1700) : answered(20, 0));
    });
    expect(verdict.decision).toBe("ok");
  });

  it("gives no verdict where it could time nothing, and says so", () => {
    const verdict = watch(() => Array<Probe>(40).fill(answered(1800, 1700)));
    expect(verdict).toMatchObject({ decision: "no-verdict", rule: "p95 > 1000 ms for 10 s" });
    expect(verdict.lines[0]?.text).toContain("840 more not timed: this machine was too busy");
  });

  it("takes back what is slow beyond its own delay", () => {
    expect(watch(() => Array<Probe>(40).fill(answered(1800, 300))).decision).toBe("rollback");
  });
});
