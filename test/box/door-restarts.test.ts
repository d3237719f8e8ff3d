import { afterAll, beforeAll, expect, test } from "vitest";
import { until } from "../support/box/processes.ts";
import { describeOnBox } from "../support/box/suite.ts";
import { type Chrono, startChrono } from "../support/chrono.ts";
import { type Load, startLoad } from "../support/load/load.ts";

const systemFolder = "/var/lib/switchyard/systems/chrono";
const door = "chrono-api-8080";
const bakeSeconds = 6;

/** A front door that starts again opens on what it remembers: no release is confirmed that it does not serve. */
describeOnBox("HAProxy killed while a release is under trial", () => {
  let chrono: Chrono;
  let load: Load;

  beforeAll(async () => {
    chrono = await startChrono({}, (document) => {
      document.setIn(["config", "chrono:bake"], { seconds: bakeSeconds, shortSeconds: 1, healthSeconds: 8 });
    });
    const { code, output } = await chrono.up();
    expect(code, output).toBe(0);
    load = await startLoad({
      enter: chrono.box.enter,
      urls: [`${chrono.apiUrl}/`],
      ...{ requestsPerSecond: 20, newConnectionClients: 2, keepAliveClients: 2 },
    });
  });
  afterAll(async () => {
    await load?.stop().catch(() => {});
    await chrono?.stop();
  });

  test.each([
    0.2, 1.5, 3, 4.5,
  ])("%d s into its bake: taken back, and the output says whom the door serves", async (after) => {
    const { from, to, code, output } = await releaseAndKill("bake", after);
    expect(code, output).toBe(1);
    expect(output).toContain(`the front door ${door} serves ${from}, not ${to}`);
    expect(await confirmed()).toBe(from);
    await agrees(from);
  });

  test("in the last second of its bake: what is confirmed is what the door serves", async () => {
    const { from, to } = await releaseAndKill("bake", bakeSeconds - 0.5);
    const held = await confirmed();
    expect([from, to]).toContain(held);
    await agrees(held);
  });

  test("between confirming and remembering: the door is pointed at what was confirmed", async () => {
    const hold = JSON.stringify({ holdBefore: "remember", seconds: 3 });
    await chrono.box.ssh(`cat > ${systemFolder}/rehearsal.json`, { stdin: hold });
    const { to, code, output } = await releaseAndKill("remember", 1);
    expect(code, output).toBe(0);
    expect(await confirmed()).toBe(to);
    await agrees(to);
  });

  /** Releases the next version and kills the API's HAProxy so many seconds after the cutover came to a step. */
  async function releaseAndKill(step: string, seconds: number) {
    const from = chrono.checkout.readConfig()["chrono:live"] as string;
    const to = `v${(Number(/^v(\d+)/.exec(from)?.[1]) % 10) + 1}`;
    const released = await chrono.release(to, "--allow-bad");
    expect(released.code, released.output).toBe(0);
    await chrono.box.ssh(`rm -f ${systemFolder}/cutover-phase.json`);
    const pid = await doorProcess();
    const killing = chrono.box.ssh(
      `until grep -q '"step":"${step}"' ${systemFolder}/cutover-phase.json 2>/dev/null; do sleep 0.05; done; ` +
        `sleep ${seconds}; systemctl kill --signal=SIGKILL switchyard-door@${door}.service`,
    );
    const { code, output } = await chrono.up();
    expect((await killing).code).toBe(0);
    expect(await doorProcess()).not.toBe(pid);
    return { from, to, code, output };
  }

  async function doorProcess(): Promise<string> {
    const { stdout } = await chrono.box.ssh(
      `systemctl show --property=MainPID --value switchyard-door@${door}.service`,
    );
    return stdout.trim();
  }

  async function confirmed(): Promise<string> {
    const { stdout } = await chrono.box.ssh("switchyard-box observe");
    const { confirmed, pending, known } = JSON.parse(stdout).systems.chrono;
    expect(pending).toBeNull();
    return known.find((release: { fingerprint: string }) => release.fingerprint === confirmed)?.release;
  }

  /** Both doors serve it, users get nothing else, and one more restart brings nothing else back. */
  async function agrees(release: string): Promise<void> {
    expect([await chrono.answering(8080), await chrono.answering(8081)]).toEqual([release, release]);
    await chrono.box.ssh(`systemctl kill --signal=SIGKILL switchyard-door@${door}.service`);
    await until(async () => (await chrono.answering()) !== null, 10, "the door never came back", 100);
    expect(await chrono.answering()).toBe(release);
    const { total } = await load.summary();
    await load.until((summary) => summary.total >= total + 20);
    const served = (await load.recent()).slice(-10).map((request) => request.release);
    expect(new Set(served)).toEqual(new Set([release]));
  }
});
