import { readdirSync, readlinkSync } from "node:fs";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { type Step, steps } from "../../components/rollout/cutover/machine.ts";
import { overlaps } from "../../examples/service/activations.ts";
import { until } from "../support/box/processes.ts";
import { describeOnBox } from "../support/box/suite.ts";
import type { Ended, Running } from "../support/checkout.ts";
import { type Chrono, startChrono } from "../support/chrono.ts";

const systemFolder = "/var/lib/switchyard/systems/chrono";

/** Every step with every kind of kill takes ten minutes; without it, one of each kind that behaves differently. */
const all = process.env.SWITCHYARD_ALL_KILLS === "1";

/** ALL-5, ALL-6: killed at each named step boundary of the cutover, on a real box. */
describeOnBox("a cutover that is killed", () => {
  let chrono: Chrono;
  let running: Running | null = null;
  /** No test has left anything half done. */
  let atRest = true;

  beforeAll(async () => {
    chrono = await startChrono({}, (document) => {
      document.setIn(["config", "chrono:bake"], { seconds: 3, shortSeconds: 1, healthSeconds: 8 });
    });
    const { code, output } = await chrono.up();
    expect(code, output).toBe(0);
  });
  afterAll(async () => {
    await killEngine();
    await chrono?.stop();
  });
  beforeEach(async () => {
    await chrono.box.ssh(`rm -f ${systemFolder}/rehearsal.json ${systemFolder}/cutover-phase.json`);
    if (!atRest) await putRight();
    atRest = true;
    running = null;
  });

  test.each<Step>(
    all ? [...steps] : ["pending", "switch", "confirm", "remember"],
  )("before %s, engine and baker together: what served serves within 15 s, the next `switchyard up` completes", async (step) => {
    const { from, to } = await releaseHeldBefore(step);
    await killEngine();
    await killBaker();
    const expected = step === "remember" ? to : from;
    await servesWithin(expected, 15);
    await settled();
    expect(await confirmedRelease()).toBe(expected);
    const { code, output } = await chrono.up();
    expect(code, output).toBe(0);
    expect([await chrono.answering(), await confirmedRelease()]).toEqual([to, to]);
    await neverTwoOracles();
  });

  test.each<Step>(
    all ? ["switch", "bake", "confirm"] : ["bake"],
  )("before %s, the engine alone: the next update waits for the baker's verdict and records it", async (step) => {
    const { to } = await releaseHeldBefore(step, 3);
    await killEngine();
    const { code, output } = await chrono.up();
    expect(code, output).toBe(0);
    expect([await chrono.answering(), await confirmedRelease()]).toEqual([to, to]);
    expect(pins().live).toBe(to);
    await neverTwoOracles();
  });

  test("the engine alone, then the old pins: traffic is back at once, no bake is waited for", async () => {
    const { from, to } = await releaseHeldBefore("confirm", 120);
    expect(await chrono.answering()).toBe(to);
    await killEngine();
    chrono.edit((document) => {
      document.setIn(["config", "chrono:live"], from);
      document.setIn(["config", "chrono:kept"], [to]);
    });
    const { code, output, milliseconds } = await chrono.up();
    expect(code, output).toBe(0);
    expect(milliseconds).toBeLessThan(60_000);
    expect([await chrono.answering(), await confirmedRelease()]).toEqual([from, from]);
    await neverTwoOracles();
  });

  test.each<Step>(
    all ? ["switch", "bake"] : ["bake"],
  )("before %s, the baker alone: traffic goes back, the update fails and puts its pins back", async (step) => {
    const { from, to, up } = await releaseHeldBefore(step);
    await killBaker();
    await servesWithin(from, 15);
    const { code, output } = await up;
    expect(code, output).toBe(1);
    expect(chrono.checkout.readConfig()["chrono:live"]).toBe(from);
    expect([await chrono.answering(), await confirmedRelease()]).toEqual([from, from]);
    const again = await chrono.release(to, "--allow-bad");
    expect(again.code, again.output).toBe(0);
    const second = await chrono.up();
    expect(second.code, second.output).toBe(0);
    expect(await chrono.answering()).toBe(to);
    await neverTwoOracles();
  });

  test("the baker is stopped, not killed: the watchdog takes back 15 s after its last heartbeat", async () => {
    const { from, up } = await releaseHeldBefore("bake");
    const stopped = await chrono.box.ssh(
      `pid=$(sed 's/.*"pid":\\([0-9]*\\).*/\\1/' ${systemFolder}/baker.json); kill -STOP "$pid"`,
    );
    expect(stopped.code).toBe(0);
    await servesWithin(from, 20);
    expect((await up).code).toBe(1);
    await neverTwoOracles();
  });

  test("the box loses power in the bake: after the boot the front door opens on what is confirmed", async () => {
    const { from, to, up } = await releaseHeldBefore("confirm");
    expect(await chrono.answering()).toBe(to);
    await chrono.box.killPower();
    await servesWithin(from, 15);
    expect((await up).code).not.toBe(0);
    expect(await chrono.answering()).toBe(from);
    await neverTwoOracles();
  });

  test("the network is cut in the bake: the release proves itself on the box, and the next update records it", async () => {
    const { to } = await releaseHeldBefore("bake", 1);
    await chrono.box.cutNetwork();
    try {
      await until(async () => (await insideConfirmed()) === to, 120, `${to} was never confirmed`, 300);
      await killEngine();
    } finally {
      await chrono.box.restoreNetwork();
    }
    const { code, output } = await chrono.up();
    expect(code, output).toBe(0);
    expect(await chrono.answering()).toBe(to);
    await neverTwoOracles();
  });

  test("between confirm and the engine's record, then old pins: the cutover runs again, back to them", async () => {
    const { from } = await releaseHeldBefore("remember");
    const { live, kept } = pins();
    expect([live, kept]).toEqual([live, [from]]);
    await killEngine();
    await killBaker();
    chrono.edit((document) => {
      document.setIn(["config", "chrono:live"], from);
      document.setIn(["config", "chrono:kept"], [live]);
    });
    const { code, output } = await chrono.up();
    expect(code, output).toBe(0);
    expect([await chrono.answering(), await confirmedRelease()]).toEqual([from, from]);
    await neverTwoOracles();
  });

  /** What a test that failed has left is ended, and what the pins say is brought up. */
  async function putRight(): Promise<void> {
    await killEngine();
    await killBaker();
    await settled();
    const { code, output } = await chrono.up();
    expect(code, output).toBe(0);
  }

  /** Releases the next version and returns when its baker is held before the step. */
  async function releaseHeldBefore(
    step: Step,
    seconds = 40,
  ): Promise<{ from: string; to: string; up: Promise<Ended> }> {
    atRest = false;
    const from = pins().live;
    const to = `v${(Number(/^v(\d+)/.exec(from)?.[1]) % 10) + 1}`;
    const hold = JSON.stringify({ holdBefore: step, seconds });
    const released = await chrono.release(to, "--allow-bad");
    expect(released.code, released.output).toBe(0);
    await chrono.box.ssh(`cat > ${systemFolder}/rehearsal.json`, { stdin: hold });
    running = chrono.checkout.start(["operations/switchyard.sh", "up"]);
    const up = running.ended;
    await until(async () => (await phase()) === step, 240, `the baker never came to ${step}`, 100);
    return { from, to: pins().live, up };
  }

  function pins(): { live: string; kept: string[] } {
    const config = chrono.checkout.readConfig();
    return { live: config["chrono:live"] as string, kept: config["chrono:kept"] as string[] };
  }

  async function phase(): Promise<string | null> {
    const { stdout } = await chrono.box.ssh(`cat ${systemFolder}/cutover-phase.json 2>/dev/null || true`);
    return stdout ? (JSON.parse(stdout) as { step: string }).step : null;
  }

  /** Everything that runs from this checkout: the command line, the engine, the language host, the plugins. */
  async function killEngine(): Promise<void> {
    for (const pid of readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name))
      .map(Number)) {
      if (cwdOf(pid)?.startsWith(chrono.checkout.directory)) process.kill(pid, "SIGKILL");
    }
    await running?.ended;
  }

  async function killBaker(): Promise<void> {
    await chrono.box.ssh("systemctl kill --signal=SIGKILL switchyard-job-cutover-chrono.service");
  }

  async function settled(): Promise<void> {
    const job = "systemctl is-active switchyard-job-cutover-chrono.service";
    await until(
      async () => (await chrono.box.ssh(job)).stdout.trim() !== "active",
      120,
      "the job never ended",
      200,
    );
  }

  async function confirmedRelease(): Promise<string | null> {
    const { stdout } = await chrono.box.ssh("switchyard-box observe");
    return confirmedOf(stdout);
  }

  async function insideConfirmed(): Promise<string | null> {
    return confirmedOf((await chrono.box.inside("/usr/local/bin/switchyard-box observe")).stdout);
  }

  async function servesWithin(release: string, seconds: number): Promise<void> {
    await until(
      async () => (await chrono.answering()) === release,
      seconds,
      `${release} does not serve`,
      200,
    );
  }

  async function oracles(): Promise<string[]> {
    const { stdout } = await chrono.box.ssh(
      "systemctl list-units --plain --no-legend --state=active 'chrono-oracle-*' | awk '{print $1}'",
    );
    return stdout.trim().split("\n").filter(Boolean);
  }

  /** From the box's first oracle on none ever overlapped, and the one that is active is of the release that serves. */
  async function neverTwoOracles(): Promise<void> {
    const release = await chrono.answering();
    const last = async () => (await chrono.activations()).at(-1);
    const isActive = async () => {
      const { release: active, to } = (await last()) ?? {};
      return active === release && to === null;
    };
    await until(isActive, 60, `no oracle of ${release} is active`, 200);
    const all = await chrono.activations();
    expect(overlaps(all)).toEqual([]);
    expect(all.filter(({ to }) => to === null)).toHaveLength(1);
    expect(await oracles()).toHaveLength(1);
    atRest = true;
  }
});

function cwdOf(pid: number): string | null {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return null;
  }
}

function confirmedOf(observation: string): string | null {
  const { confirmed, known } = JSON.parse(observation).systems.chrono;
  return known.find((release: { fingerprint: string }) => release.fingerprint === confirmed)?.release ?? null;
}
