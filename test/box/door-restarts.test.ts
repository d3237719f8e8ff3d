import { afterAll, beforeAll, expect, test } from "vitest";
import { until } from "../support/box/processes.ts";
import { describeOnBox } from "../support/box/suite.ts";
import { type Chrono, startChrono } from "../support/chrono.ts";
import { type Load, startLoad } from "../support/load/load.ts";

const systemFolder = "/var/lib/switchyard/systems/chrono";
const door = "chrono-api-8080";
const bakeSeconds = 6;

/**
 * What is looked at before a release is confirmed. A front door that starts again opens on what it remembers: no release
 * is confirmed that it does not serve.
 */
describeOnBox("HAProxy killed while a release is under trial", () => {
  let chrono: Chrono;
  let load: Load;

  beforeAll(async () => {
    const bake = { seconds: bakeSeconds, shortSeconds: bakeSeconds, healthSeconds: 8 };
    chrono = await startChrono({}, (document) => document.setIn(["config", "chrono:bake"], bake));
    for (const version of ["v1", "v2"]) {
      if (version !== "v1") await chrono.release(version);
      const { code, output } = await chrono.up();
      expect(code, output).toBe(0);
    }
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
    const { from, to, code, output } = await cutOverAndKill("bake", after);
    expect(code, output).not.toBe(0);
    expect(output).toContain(`the front door ${door} serves ${from}, not ${to}`);
    expect(await confirmed()).toBe(from);
    await agrees(from);
  });

  test("in the last second of its bake: what is confirmed is what the door serves", async () => {
    const { from, to } = await cutOverAndKill("bake", bakeSeconds - 0.5);
    const held = await confirmed();
    expect([from, to]).toContain(held);
    await agrees(held);
  });

  test("between confirming and remembering: the door is pointed at what was confirmed", async () => {
    const hold = JSON.stringify({ holdBefore: "remember", seconds: 3 });
    await chrono.box.ssh(`cat > ${systemFolder}/rehearsal.json`, { stdin: hold });
    const { to, code, output } = await cutOverAndKill("remember", 1);
    expect(code, output).toBe(0);
    expect(await confirmed()).toBe(to);
    await agrees(to);
  });

  test("a check from outside that fails: taken back before the bake, and the output names the check (CHR-7)", async () => {
    const serving = await confirmed();
    chrono.edit((document) => {
      document.setIn(["config", "chrono:live"], serving);
      document.setIn(["config", "chrono:kept"], [serving === "v1" ? "v2" : "v1"]);
      document.setIn(["config", "chrono:publicUrl"], "http://127.0.0.1:9");
    });
    expect((await chrono.release("v3")).code).toBe(0);
    const { code, output } = await chrono.up();
    expect(code, output).toBe(1);
    expect(output).toContain("public health: GET http://127.0.0.1:9/health");
    expect((await chrono.state()).lastFailure).toMatchObject({ step: "verify", release: "v3" });
    expect(await confirmed()).toBe(serving);
    await agrees(serving);
  });

  /** Cuts over to the other release, by the box's own verb, and kills the API's HAProxy so long after a step's begin. */
  async function cutOverAndKill(step: string, seconds: number) {
    const { confirmed: serving, known } = await observed();
    const named = (wanted: (fingerprint: string) => boolean) =>
      known.find(({ fingerprint }) => wanted(fingerprint)) ?? { fingerprint: "none", release: "none" };
    const [from, to] = [named((one) => one === serving), named((one) => one !== serving)];
    await chrono.box.ssh(`rm -f ${systemFolder}/cutover-phase.json`);
    const pid = await doorProcess();
    // On the box, so that no connection has to live as long, or says later than it happened that the step has begun.
    const killer =
      `until grep -q '"step":"${step}"' ${systemFolder}/cutover-phase.json 2>/dev/null; do sleep 0.02; done; ` +
      `sleep ${seconds}; systemctl kill --signal=SIGKILL switchyard-door@${door}.service`;
    const started = await chrono.box.ssh(
      "cat > /root/kill-door.sh && systemd-run --quiet --collect --unit=kill-door sh /root/kill-door.sh",
      { stdin: killer },
    );
    expect(started.code, started.stderr).toBe(0);
    const words = `switchyard-box cutover chrono ${to.release} ${to.fingerprint}`;
    const cutover = await chrono.box.ssh(words, {
      stdin: JSON.stringify({ receipt: `r${Date.now().toString(36)}` }),
      timeoutSeconds: 120,
    });
    await until(async () => (await doorProcess()) !== pid, 10, "the door was never killed", 100);
    return { from: from.release, to: to.release, code: cutover.code, output: cutover.stderr };
  }

  async function doorProcess(): Promise<string> {
    const { stdout } = await chrono.box.ssh(
      `systemctl show --property=MainPID --value switchyard-door@${door}.service`,
    );
    return stdout.trim();
  }

  async function observed() {
    const { stdout } = await chrono.box.ssh("switchyard-box observe");
    return JSON.parse(stdout).systems.chrono as {
      confirmed: string;
      pending: unknown;
      known: { fingerprint: string; release: string }[];
    };
  }

  async function confirmed(): Promise<string> {
    const { confirmed, pending, known } = await observed();
    expect(pending).toBeNull();
    return known.find(({ fingerprint }) => fingerprint === confirmed)?.release ?? "none";
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
