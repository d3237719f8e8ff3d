import { afterAll, beforeAll, expect, test } from "vitest";
import type { Document, YAMLMap } from "yaml";
import type { CutoverState } from "../../components/rollout/cutover/state.ts";
import { overlaps } from "../../examples/service/activations.ts";
import { activationsOn } from "../support/activations.ts";
import type { Box } from "../support/box/box.ts";
import { must } from "../support/box/must.ts";
import { until } from "../support/box/processes.ts";
import { describeOnBox } from "../support/box/suite.ts";
import { Checkout } from "../support/checkout.ts";
import { activationLog, answersOf, configOf, flag, secrets, startDeiaBox } from "../support/deia.ts";

const systemFolder = "/var/lib/switchyard/systems/deia";

/** DEI-1, DEI-2, DEI-3 as a user has them: the command line, the engine, a real box; under load: deia-window.test.ts. */
describeOnBox("DEIA's deployments on a real box", () => {
  let box: Box;
  let checkout: Checkout;

  beforeAll(async () => {
    box = await startDeiaBox();
    const environment = { SSH_AUTH_SOCK: box.agentSocket };
    checkout = new Checkout({ enter: box.enter, environment, systems: ["deia"] });
    checkout.editConfig((document) => {
      for (const [name, value] of Object.entries(configOf(box, ["v1", "v2"]))) {
        document.setIn(["config", `deia:${name}`], value);
      }
    });
    const made = await checkout.pulumi("stack", "init", "--stack", "development");
    if (made.code !== 0) throw new Error(made.output);
    const values = { "switchyard:fingerprintKey": "k", "deia:databaseUrl": secrets.databaseUrl };
    for (const [key, value] of Object.entries(values)) {
      const set = await checkout.setSecret(key, value);
      if (set.code !== 0) throw new Error(set.output);
    }
    const { code, output } = await checkout.switchyard("up");
    expect(code, output).toBe(0);
    expect(await answering()).toBe("v1");
  });
  afterAll(async () => {
    await box?.stop();
    checkout?.remove();
  });

  test("an approval of last month stops the update: the table names it, nothing has changed", async () => {
    const before = await cutoverState();
    const lastMonth = new Date(Date.now() - 30 * 86_400_000).toISOString();
    pin("v2", (document) => {
      document.setIn(["config", "deia:answers", "v2", "approval"], answersOf(lastMonth).approval);
    });
    const { code, output } = await checkout.switchyard("up");
    expect(code, output).toBe(1);
    expect(output).toContain(
      "deia v2 is not deployed, nothing has changed: 1 of 15 items of its checklist failed",
    );
    expect(output).toMatch(/15 {2}Production owner approved.*deia:answers\.v2\.approval.*failed/);
    const rows = [...output.matchAll(/^(\d+) {2}.* {2}(ok|failed|not tried)$/gm)].map(([, number]) => number);
    expect(rows).toEqual(Array.from({ length: 15 }, (_, index) => `${index + 1}`));
    expect(await cutoverState()).toEqual(before);
    expect(await must(box, `ls ${systemFolder}/releases | wc -l`)).toBe("1\n");
    expect(await answering()).toBe("v1");
    expect(await psql("SELECT to_regclass('prices') IS NULL")).toBe("t");
  });

  test("answered, v2 goes out: backed up, migrated, and then moved in its window", async () => {
    pin("v2", (document) => {
      document.setIn(["config", "deia:answers", "v2", "approval"], answersOf().approval);
    });
    const { code, output } = await checkout.switchyard("up");
    expect(code, output).toBe(0);
    await settledOn("v2");
    expect(await psql("SELECT number FROM switchyard_migrations ORDER BY 1")).toBe("1");
    expect(await psql("SELECT count(*) FROM prices")).toBe("0");
    // What was stored last is what was there before: no table of the migration is in it.
    const dumps = (await must(box, "ls /var/lib/switchyard/backups/deia/*.dump")).trim().split("\n");
    expect(
      await must(box, `pg_restore --list ${dumps.at(-1)} | grep -c ' TABLE public prices ' || true`),
    ).toBe("0\n");
  });

  test("engine and script killed while nobody is active: v2 is back, the next update completes", async () => {
    pin("v1");
    await must(
      box,
      `cat > ${systemFolder}/rehearsal.json`,
      JSON.stringify({ holdBefore: "start", seconds: 60 }),
    );
    const running = checkout.start(["operations/switchyard.sh", "up"]);
    await until(async () => (await phase()) === "start", 240, "the window never came to it", 100);
    expect((await box.ssh(`test -e ${flag}`)).code).toBe(0);
    running.child.kill("SIGKILL");
    await must(box, "systemctl kill --signal=SIGKILL switchyard-job-cutover-deia.service");
    await until(async () => (await answering()) === "v2", 60, "v2 is not back", 200);
    await settledOn("v2");
    await running.ended;
    const { code, output } = await checkout.switchyard("up");
    expect(code, output).toBe(0);
    await settledOn("v1");
    // Going back moves traffic and no schema: it has expanded, and v1 works with it.
    expect(await psql("SELECT number FROM switchyard_migrations ORDER BY 1")).toBe("1");
  });

  function pin(live: "v1" | "v2", edit: (document: Document) => void = () => {}): void {
    checkout.editConfig((document) => {
      document.setIn(["config", "deia:live"], live);
      document.setIn(["config", "deia:kept"], [live === "v1" ? "v2" : "v1"]);
      const entry = document.getIn(["config", "deia:releases", live]) as YAMLMap | undefined;
      const made = live === "v2" ? { schema: { provides: 1, needs: 1, change: "expand" } } : {};
      if (!entry?.has("fingerprint")) document.setIn(["config", "deia:releases", live], made);
      edit(document);
    });
  }

  async function psql(query: string): Promise<string> {
    return (await must(box, "cd / && sudo -u postgres psql -qAt deia", query)).trim();
  }

  async function settledOn(release: string): Promise<void> {
    const job = "systemctl is-active switchyard-job-cutover-deia.service || true";
    await until(async () => (await must(box, job)).trim() !== "active", 60, "the script goes on", 100);
    expect(await answering()).toBe(release);
    expect((await box.ssh(`test -e ${flag}`)).code).toBe(1);
    const all = await activationsOn(box, activationLog);
    expect(overlaps(all)).toEqual([]);
    expect(all.at(-1)).toMatchObject({ release, to: null });
    expect((await cutoverState()).pending).toBeNull();
  }

  async function answering(): Promise<string | null> {
    const { stdout } = await box.ssh(
      "curl -s -m 3 -o /dev/null -D - http://127.0.0.1:8000/api/state || true",
    );
    return /^x-release: (\S+)/im.exec(stdout)?.[1] ?? null;
  }

  async function cutoverState(): Promise<CutoverState> {
    return JSON.parse(await must(box, `cat ${systemFolder}/cutover.json`)) as CutoverState;
  }

  async function phase(): Promise<string | null> {
    const { stdout } = await box.ssh(`cat ${systemFolder}/cutover-phase.json 2>/dev/null || true`);
    return stdout ? (JSON.parse(stdout) as { step: string }).step : null;
  }
});
