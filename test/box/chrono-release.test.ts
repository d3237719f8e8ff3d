import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { overlaps } from "../../examples/service/activations.ts";
import { describeOnBox } from "../support/box/suite.ts";
import { within } from "../support/busy.ts";
import { type Chrono, startChrono } from "../support/chrono.ts";
import { type Load, startLoad } from "../support/load/load.ts";

const quiet = ["node", "dist/service.mjs"];
const chatty = ["sh", "-c", `for n in $(seq 150); do echo "says $n"; done; exec node dist/service.mjs`];

/** CHR-1, CHR-5, CHR-6, CHR-13, ALL-1, ALL-4, ALL-7: Chrono goes out and comes back on a real box, under load. */
describeOnBox("Chrono's releases on a real box", () => {
  let chrono: Chrono;
  let load: Load | undefined;

  beforeAll(async () => {
    chrono = await startChrono({ base: "empty" }, (document) => {
      document.setIn(["config", "chrono:bake"], { seconds: 2, shortSeconds: 1, healthSeconds: 8 });
    });
  });
  afterAll(async () => {
    await load?.stop().catch(() => {});
    await chrono?.stop();
  });

  test("the first update prepares an empty box and deploys v1 (ALL-7)", async () => {
    const before = await chrono.box.ssh("command -v node haproxy git");
    expect(before.stdout.trim()).toBe("");
    const { code, output } = await chrono.up();
    expect(output).toContain("chrono");
    expect(code).toBe(0);
    expect([await chrono.answering(8080), await chrono.answering(8081)]).toEqual(["v1", "v1"]);
    expect(await chrono.activations()).toMatchObject([{ release: "v1", to: null }]);
    const units = await chrono.box.ssh(
      "systemctl list-units --plain --no-legend 'chrono-*' | awk '{print $1, $3, $4}'",
    );
    const [fingerprint = ""] = /[0-9a-f]{12}/.exec(units.stdout) ?? [];
    expect(units.stdout.trim().split("\n").sort()).toEqual(
      ["api", "dashboard", "oracle"].map((name) => `chrono-${name}-${fingerprint}.service active running`),
    );
    const modes = await chrono.box.ssh(
      `stat -c '%a %U' /srv/switchyard/releases/chrono-${fingerprint}/*.env`,
    );
    expect(modes.stdout.trim().split("\n")).toEqual(["600 root", "600 root", "600 root"]);
  });

  test("nothing changed: nothing runs, and preview says so", async () => {
    const journal = await verbs();
    const { code, output } = await chrono.checkout.pulumi(
      "preview",
      "--stack",
      "development",
      "--expect-no-changes",
    );
    expect(output).toMatch(/unchanged/);
    expect(code).toBe(0);
    expect((await chrono.up()).code).toBe(0);
    expect(await verbs()).toEqual(journal);
  });

  test("another SSH key runs no step; another toolkit is delivered and runs no step", async () => {
    const before = await verbs();
    await chrono.box.rotateKey();
    const words = ["up", "--stack", "development", "--yes", "--skip-preview"];
    const rotated = await chrono.checkout.pulumi(...words, "--expect-no-changes");
    expect(rotated.code, rotated.output).toBe(0);
    const verb = join(chrono.checkout.directory, "components/box/toolkit/verbs/gates.ts");
    writeFileSync(
      verb,
      readFileSync(verb, "utf8").replace("is not placed on this box yet", "is not placed here yet"),
    );
    const { code, output } = await chrono.checkout.pulumi(...words);
    expect(code, output).toBe(0);
    expect(output).toMatch(/box-\S+-toolkit updated/);
    expect(output).toContain("~ 1 updated");
    expect(await verbs()).toEqual(before);
    const { stdout } = await chrono.box.ssh(
      "grep -c 'is not placed here yet' $(sed -n 's/^exec node \\([^ ]*\\) .*/\\1/p' /usr/local/bin/switchyard-box)",
    );
    expect(stdout.trim()).toBe("1");
  });

  test("5 deployments and 5 rollbacks under load: at least 50,000 requests, none failed", {
    timeout: 900_000,
  }, async () => {
    const load = await underLoad();
    const first = await serving();
    const before = (await chrono.activations()).length;
    const served: (string | null)[] = [];
    for (const version of ["v2", "v3", "v4", "v5", "v6"]) {
      const out = await chrono.release(version);
      expect(out.code, out.output).toBe(0);
      const up = await chrono.up();
      expect(up.code, up.output).toBe(0);
      served.push(await chrono.answering());
      const back = await chrono.checkout.switchyard("rollback");
      expect(back.code, back.output).toBe(0);
      served.push(await chrono.answering());
    }
    const oracles = await chrono.activations();
    expect(oracles.slice(before).map(({ release }) => release)).toEqual(served);
    expect(overlaps(oracles)).toEqual([]);
    expect(served).toEqual(["v2", "v3", "v4", "v5", "v6"].flatMap((version) => [version, first]));
    const summary = await load.until(({ total }) => total >= 50_000, 300);
    console.log(`load: ${summary.total} requests, ${summary.failed} failed, slowest ${summary.slowestMs} ms`);
    expect(summary.firstFailures).toEqual([]);
    expect(summary.failed).toBe(0);
    expect(summary.byConnection.new.total).toBeGreaterThan(10_000);
    expect(summary.byConnection.keepAlive.total).toBeGreaterThan(10_000);
  });

  test("a release that never becomes healthy takes no request, and is marked bad", async () => {
    const load = await underLoad();
    const serves = await serving();
    // Says more than is printed of it: the last lines are what tells why it ended.
    const command = ["config", "chrono:services", "api", "command"];
    chrono.edit((document) => document.setIn(command, chatty));
    expect((await chrono.release("never-healthy")).code).toBe(0);
    const { code, output } = await chrono.up();
    chrono.edit((document) => document.setIn(command, quiet));
    expect(code).toBe(1);
    expect(output).toContain("never-healthy");
    await printsJournal(output, "api");
    expect(output).toContain("/health");
    const summary = await load.summary();
    expect(summary.releases["never-healthy"]).toBeUndefined();
    expect(await chrono.answering()).toBe(serves);
    const releases = chrono.checkout.readConfig()["chrono:releases"] as Record<string, { bad?: string }>;
    expect(releases["never-healthy"]?.bad).toBeTruthy();
    expect(chrono.checkout.readConfig()["chrono:live"]).toBe(serves);
  });

  test("one that turns bad after the switch has its last request within 2 s of the verdict (ALL-4), and is refused from then on", async () => {
    const load = await underLoad();
    const serves = await serving();
    const placed = await chrono.box.ssh("ls /srv/switchyard/releases");
    chrono.edit((document) => document.setIn(["config", "chrono:bake", "seconds"], 12));
    const before = (await load.summary()).failures;
    expect((await chrono.release("broken")).code).toBe(0);
    const { code, output } = await chrono.up();
    expect(code, output).toBe(1);
    const { lastFailure, confirmed } = await chrono.state();
    expect(lastFailure).toMatchObject({ release: "broken", step: "bake" });
    const verdict = Date.parse(lastFailure?.verdictAt ?? "");
    const summary = await load.summary();
    const { new: fresh, keepAlive } = summary.releases.broken ?? {};
    console.log(
      `broken: last new request ${(fresh?.lastStart ?? 0) - verdict} ms, last kept-alive ${(keepAlive?.lastStart ?? 0) - verdict} ms after the verdict`,
    );
    expect((fresh?.lastStart ?? 0) - verdict).toBeLessThan(within(2000));
    expect((keepAlive?.lastStart ?? 0) - verdict).toBeLessThan(within(2000));
    expect(fresh?.answered).toBeGreaterThan(0);
    expect(Object.keys(summary.failures).filter((kind) => !(kind in before))).toEqual(["status 500"]);
    expect(await chrono.answering()).toBe(serves);
    expect(confirmed).not.toBeNull();
    expect(await chrono.box.ssh("ls /srv/switchyard/releases")).toEqual(placed);
    for (const line of ["broke the rule", "measured", "evidence", "serves"]) expect(output).toContain(line);
    for (const service of ["api", "dashboard", "oracle"])
      expect(output).toMatch(
        new RegExp(`^  ${service}: \\S+ chrono-${service}-\\w+\\[\\d+\\]: broken listening on \\S+$`, "m"),
      );
    const again = await chrono.release("broken");
    expect(again.code).toBe(1);
    expect(again.output).toContain("--allow-bad");
  });

  test("with plain `pulumi up` too: taken back, then the same pins try again and the old pins run no cutover", async () => {
    const load = await underLoad();
    const serves = await serving();
    chrono.edit((document) => {
      document.setIn(["config", "chrono:bake", "seconds"], 12);
      document.setIn(["config", "chrono:live"], "broken-again");
      document.setIn(["config", "chrono:kept"], [serves]);
      document.setIn(["config", "chrono:releases", "broken-again"], { version: "broken" });
    });
    const words = ["up", "--stack", "development", "--yes", "--skip-preview"];
    for (let attempt = 1; attempt <= 2; attempt++) {
      const { code, output } = await chrono.checkout.pulumi(...words);
      expect(code).not.toBe(0);
      expect(output).toContain("chrono broken-again did not hold (bake)");
      const verdict = Date.parse((await chrono.state()).lastFailure?.verdictAt ?? "");
      const { new: fresh, keepAlive } = (await load.summary()).releases["broken-again"] ?? {};
      expect((fresh?.lastStart ?? 0) - verdict).toBeLessThan(within(2000));
      expect((keepAlive?.lastStart ?? 0) - verdict).toBeLessThan(within(2000));
      expect(fresh?.lastStart).toBeGreaterThan(verdict - 20_000);
      expect(await chrono.answering()).toBe(serves);
    }
    chrono.edit((document) => {
      document.setIn(["config", "chrono:live"], serves);
      document.setIn(["config", "chrono:kept"], []);
      document.deleteIn(["config", "chrono:releases", "broken-again"]);
    });
    const back = await chrono.checkout.pulumi(...words);
    expect(back.code, back.output).toBe(0);
    expect(back.output).not.toMatch(/chrono-cutover upd/);
    expect(await chrono.answering()).toBe(serves);
    expect(overlaps(await chrono.activations())).toEqual([]);
  });

  /** One load from the first test on that wants it: what fails in any of them is counted. */
  async function underLoad(): Promise<Load> {
    load ??= await startLoad({
      enter: chrono.box.enter,
      urls: [`${chrono.apiUrl}/`, `${chrono.apiUrl}/api/prices`],
      requestsPerSecond: 16,
    });
    return load;
  }

  /** What a test begins with, whatever an earlier one has left. */
  async function serving(): Promise<string> {
    const release = await chrono.answering();
    if (release === null) throw new Error("nothing serves");
    return release;
  }

  /** The last 100 lines of a service's journal are printed (CHR-7), as the box has them. */
  async function printsJournal(output: string, service: string): Promise<void> {
    const printed = [...output.matchAll(new RegExp(`^  ${service}: (.+)$`, "gm"))].map(([, line]) => line);
    expect(printed).toHaveLength(100);
    const [unit = ""] = new RegExp(`chrono-${service}-[0-9a-f]{12}`).exec(printed.at(-1) ?? "") ?? [];
    const { stdout } = await chrono.box.ssh(
      `journalctl --quiet --no-pager --output=short-iso --no-hostname --unit=${unit}.service`,
    );
    const journal = stdout.split("\n").filter(Boolean);
    const last = journal.lastIndexOf(printed.at(-1) ?? "");
    expect(last).toBeGreaterThan(100);
    expect(printed).toEqual(journal.slice(last - 99, last + 1));
    expect(printed.filter((line) => /says \d+$/.test(line ?? "")).length).toBeGreaterThan(90);
  }

  /** Times of the steps that the box has recorded: a verb that ran again would change one. */
  async function verbs(): Promise<string> {
    const { stdout } = await chrono.box.ssh(
      "cat /var/lib/switchyard/systems/chrono/releases/*/record.json /var/lib/switchyard/systems/chrono/cutover.json",
    );
    return stdout;
  }
});
