import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { type WindowStep, windowSteps } from "../../components/box/toolkit/maintenance.ts";
import type { Step } from "../../components/rollout/cutover/machine.ts";
import type { CutoverState } from "../../components/rollout/cutover/state.ts";
import { overlaps } from "../../examples/service/activations.ts";
import { activationParts, activationsFrom } from "../support/activations.ts";
import type { Box } from "../support/box/box.ts";
import { must } from "../support/box/must.ts";
import { until } from "../support/box/processes.ts";
import type { Finished } from "../support/box/run.ts";
import { describeOnBox } from "../support/box/suite.ts";
import { activationLog, DeiaVerbs, flag, startDeiaBox } from "../support/deia.ts";
import { startLoad } from "../support/load/load.ts";

const systemFolder = "/var/lib/switchyard/systems/deia";
const job = "switchyard-job-cutover-deia.service";

/** DEI-2, DEI-3, ALL-5, ALL-6 on a real box, by the verbs that an update runs; through the engine: deia.test.ts. */
describeOnBox("DEIA's maintenance window", () => {
  let box: Box;
  let deia: DeiaVerbs;
  const identities: Record<string, string> = {};

  beforeAll(async () => {
    const releases = ["v1", "v2", "v3", "noisy", "no-launch", "never-healthy"];
    box = await startDeiaBox();
    deia = await DeiaVerbs.start(box, releases);
    for (const name of releases) identities[name] = await deia.place(deia.manifest(name));
    const { code, stderr } = await cutover("v1");
    expect(code, stderr).toBe(0);
  });
  afterAll(() => box?.stop());
  beforeEach(() => box.ssh(`rm -f ${systemFolder}/rehearsal.json ${systemFolder}/cutover-phase.json`));

  test("under load: 503 while the flag is up, what is in flight is answered, the counter rises after it", async () => {
    const url = `http://${box.address}:8000`;
    const load = await startLoad({ enter: box.enter, urls: [`${url}/api/state`], requestsPerSecond: 20 });
    const slow = await startLoad({
      enter: box.enter,
      urls: [`${url}/api/slow?ms=1500`],
      requestsPerSecond: 1,
      newConnectionClients: 2,
      keepAliveClients: 0,
    });
    await load.until(({ releases }) => (releases.v1?.new?.answered ?? 0) > 50);
    const { running } = await cutoverHeldBefore("v2", "stop", 3);
    expect(await look()).toMatchObject({ flag: true, status: 503, release: "v1" });
    const { code, stderr } = await running;
    expect(code, stderr).toBe(0);
    const before = await counter();
    await load.until(({ releases }) => (releases.v2?.new?.answered ?? 0) > 50);
    expect(await counter()).toBeGreaterThan(before);
    const [fast, inFlight] = await Promise.all([load.stop(), slow.stop()]);
    console.log(
      `load: ${fast.total} requests, ${JSON.stringify(fast.failures)}; slow ${JSON.stringify(inFlight.failures)}`,
    );
    expect(Object.keys(fast.failures)).toEqual(["status 503"]);
    expect(Object.keys(inFlight.failures)).toEqual(["status 503"]);
    expect(await journalOf(deia.manifest("v1").release)).not.toContain("cut off");
    expect((await look()).activations.map(({ release }) => release)).toEqual(["v1", "v2"]);
    await backOn("v2");
  });

  test("too many are still in flight when its time is over: nothing is stopped, the flag goes", async () => {
    // The very question how many there are is one of them.
    await setDrain("v2", { drainBelow: 1, drainSeconds: 1 });
    const { pid } = (await look()).activations.at(-1) ?? {};
    try {
      const { code, stderr } = await cutover("v3");
      expect(code).toBe(1);
      expect(stderr).toContain(
        "controller of v2 drains within 1 s of its flag\nmeasured: 1 active connections",
      );
    } finally {
      await setDrain("v2", { drainBelow: 5, drainSeconds: 15 });
    }
    await backOn("v2");
    expect((await look()).activations.at(-1)?.pid).toBe(pid);
  });

  test.each([
    ["noisy", /logs no error in its first 1 s\nmeasured: .*fault noisy/],
    ["no-launch", /passes its smoke test, POST \/api\/bot\/launch\nmeasured: 500 .*no-launch/],
    ["never-healthy", /answers 2xx on \/health within 6 s/],
  ])("%s takes no request: the old one is back", async (name, said) => {
    const { code, stderr } = await cutover(name);
    expect(code).toBe(1);
    expect(stderr).toMatch(said);
    await backOn("v2");
    expect((await look()).lastFailure).toMatchObject({ release: name, step: "switch" });
  });

  test("a database that answers late keeps the new release out", async () => {
    await must(box, "systemctl stop postgresql");
    try {
      const { code, stderr } = await cutover("v3");
      expect(code).toBe(1);
      expect(stderr).toMatch(
        /reaches its database \(\/health\/db\)\nmeasured: 503 .*\nallowed: 200, below 50 ms/,
      );
    } finally {
      await must(box, "systemctl start postgresql");
    }
    await backOn("v2");
  });

  /** The machine's own steps are killed with Chrono by default; the window's are only here. */
  const all = process.env.SWITCHYARD_ALL_KILLS === "1";
  const own: readonly Step[] = all ? ["pending", "switch", "bake", "confirm"] : ["bake"];
  const steps: readonly (Step | WindowStep)[] = [...windowSteps, ...own];
  test.each(
    steps,
  )("the script is killed before %s: v2 is back, one is active, the flag is gone", async (step) => {
    const { running } = await cutoverHeldBefore("v3", step);
    await must(box, `systemctl kill --signal=SIGKILL ${job}`);
    expect((await running).code).toBe(1);
    await backOn("v2");
  });

  test("the power goes while nobody is active: after the boot what is confirmed serves, the flag is gone", async () => {
    const { running } = await cutoverHeldBefore("v1", "start");
    expect(await look()).toMatchObject({ flag: true, status: 503, active: [] });
    await box.killPower();
    await running.catch(() => {});
    await backOn("v2");
  });

  test("withdrawn, nothing is active and no flag is left", async () => {
    await deia.must(["withdraw", "deia"], {});
    expect(await look()).toMatchObject({ flag: false, status: 503, active: [], confirmed: null });
  });

  /** One release serves and is the only one active, none ever overlapped, and no flag is left. */
  async function backOn(name: string): Promise<void> {
    let seen = await look();
    const isBack = async () => {
      seen = await look();
      return seen.release === name && seen.settled;
    };
    await until(isBack, 120, `${name} is not back`, 200);
    const { status, release, flag, confirmed, pending, stuck, active } = seen;
    const unit = `deia-controller-${identities[name]}.service`;
    expect({ status, release, flag, confirmed, pending, stuck, active }).toEqual({
      ...{ status: 200, release: name, flag: false, confirmed: identities[name] },
      ...{ pending: null, stuck: null, active: [unit] },
    });
    expect(overlaps(seen.activations)).toEqual([]);
    expect(seen.activations.at(-1)).toMatchObject({ release: name, to: null });
  }

  /** Everything that can be seen from outside, in one connection. */
  async function look() {
    const parts = [
      "curl -s -m 5 -o /dev/null -D - -w '%{http_code}' http://127.0.0.1:8000/api/state || true",
      `test -e ${flag} && echo up || echo gone`,
      `cat ${systemFolder}/cutover.json`,
      "systemctl list-units --plain --no-legend --state=active,activating,deactivating 'deia-*' | awk '{print $1}'",
      ...activationParts(activationLog),
      `systemctl is-active ${job} || true`,
    ];
    const printed = await must(box, parts.map((part) => `{ ${part}; }; echo; echo @@@`).join("; "));
    const [door = "", up = "", state = "", units = "", log = "", beats = "", pids = "", running = ""] =
      printed.split("@@@\n").map((text) => text.trim());
    return {
      ...(JSON.parse(state) as CutoverState),
      status: Number(/(\d{3})$/.exec(door)?.[1] ?? 0),
      release: /^x-release: (\S+)/im.exec(door)?.[1] ?? null,
      flag: up === "up",
      active: units.split("\n").filter(Boolean),
      activations: activationsFrom(log, beats, pids),
      settled: running !== "active",
    };
  }

  async function counter(): Promise<number> {
    const port = await must(box, `ss -Hltnp | grep '"node"' | grep -o '127.0.0.1:2[0-9]*' | head -1`);
    const line = "grep '^http_requests_total' | awk '{n += $2} END {print n}'";
    return Number(await must(box, `curl -s http://${port.trim()}/metrics | ${line}`));
  }

  async function journalOf(name: string): Promise<string> {
    return must(box, `journalctl --quiet --unit=deia-controller-${identities[name]}.service`);
  }

  async function setDrain(name: string, figures: object): Promise<void> {
    const path = `${systemFolder}/releases/${identities[name]}/record.json`;
    const record = JSON.parse(await must(box, `cat ${path}`));
    const maintenance = { ...record.manifest.maintenance, ...figures };
    const changed = JSON.stringify({ ...record, manifest: { ...record.manifest, maintenance } });
    await must(box, `cat > ${path}.new && mv ${path}.new ${path}`, changed);
  }

  /** Starts a cutover that is held before the step, and returns once it is there. */
  async function cutoverHeldBefore(name: string, step: string, seconds = 60) {
    await must(box, `cat > ${systemFolder}/rehearsal.json`, JSON.stringify({ holdBefore: step, seconds }));
    let ended: Finished | null = null;
    const running = cutover(name).then((end) => {
      ended = end;
      return end;
    });
    await until(async () => ended !== null || (await phase()) === step, 120, `it never came to ${step}`, 50);
    if (ended) throw new Error(`it ended before ${step}: ${JSON.stringify(ended)}`);
    return { running };
  }

  function cutover(name: string) {
    return deia.cutover(name, identities[name] ?? "");
  }

  async function phase(): Promise<string | null> {
    const { stdout } = await box.ssh(`cat ${systemFolder}/cutover-phase.json 2>/dev/null || true`);
    return stdout ? (JSON.parse(stdout) as { step: string }).step : null;
  }
});
