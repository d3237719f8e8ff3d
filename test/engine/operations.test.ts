import { spawnSync } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readStackFile } from "../../operations/stackfile.ts";
import { TrialProject } from "../support/operations/project.ts";

/** The command line against the real engine and a file backend; what is deployed is a folder (see world.sh). */

async function pinsOf(project: TrialProject, system = "alpha") {
  const { live, kept, releases } = (await readStackFile(project.folder, "trial")).pins[system]!;
  const bad = Object.entries(releases).flatMap(([name, { bad }]) => (bad === undefined ? [] : [[name, bad]]));
  return { live, kept, bad: Object.fromEntries(bad) };
}

describe("releasing, and going back", () => {
  let project: TrialProject;
  beforeAll(async () => {
    project = await TrialProject.create(["alpha", "beta"], ["v1", "v2", "v3", "v4"]);
  });
  afterAll(() => project.remove());

  it("a first release that fails leaves nothing serving, says so and is bad", async () => {
    await project.run("release", "beta", "v1");
    await project.run("release", "alpha", "v1");
    await project.fault("cutover-alpha-v1");
    const { code, err } = await project.run("up");
    expect(code).toBe(1);
    expect(err.trim().split("\n")).toEqual([
      ...["alpha: last 2 journal lines of v1", "  request 812 failed", "  request 813 failed"],
      'alpha: v1 broke the rule "error rate" in bake; there is no earlier good release to go back to, its doors answer 503',
      "  measured  23.1 %, allowed 5 % over 10 s (verdict 2026-11-21T10:00:12.000Z)",
      "  journal   request 812 failed ⏎ request 813 failed",
      "  evidence  /var/lib/switchyard/evidence/1.json",
      "  serves    nothing (503) (alpha-api-8080 503); v1 is marked bad, refused until --allow-bad",
    ]);
    expect(await project.serves("alpha")).toBeNull();
    // The other system went on: one that fails does not stop it.
    expect(await project.serves("beta")).toEqual({ release: "v1", settings: { level: 1 } });
  });

  it("a bad release is refused, in up as in release, until --allow-bad", async () => {
    await project.mend("cutover-alpha-v1");
    await project.journal();
    const up = await project.run("up");
    expect(up.code).toBe(1);
    expect(up.err).toContain(
      "alpha:live is v1, marked bad (bake: error rate, measured 23.1 %, allowed 5 % over 10 s)",
    );
    expect((await project.run("release", "alpha", "v1")).err).toContain("say --allow-bad");
    expect(await project.journal()).toEqual([]);
    // Nobody else's release waits for it.
    await project.run("release", "beta", "v2");
    expect((await project.run("preview")).out).not.toContain("marked bad");
    await project.run("release", "beta", "v1", "--allow-bad");
    expect((await project.run("up", "--allow-bad")).code).toBe(0);
    expect(await project.serves("alpha")).toEqual({ release: "v1", settings: { level: 1 } });
    expect(await pinsOf(project)).toEqual({ live: "v1", kept: [], bad: {} });
  });

  it("a second release is placed beside the first and takes over; a no-op is one", async () => {
    await project.journal();
    await project.run("release", "alpha", "v2");
    const preview = await project.run("preview");
    expect(preview).toEqual({
      code: 0,
      out: "alpha: place v2 (preflight, place); then move traffic to v2 and watch it\nbeta: nothing to do\n",
      err: "",
    });
    expect(await project.journal()).toEqual([]);
    const { code, out } = await project.run("up");
    expect(code).toBe(0);
    expect(out).toContain("alpha: v2 is live, v1 kept");
    expect(await project.journal()).toEqual(["preflight alpha v2", "place alpha v2", "cutover alpha v2"]);
    const again = await project.run("up");
    expect(again.out).toMatch(
      /^alpha: v2 is live, v1 kept\nbeta: v1 is live\ndone in [\d.]+ s: nothing to do\n$/,
    );
    expect(await project.journal()).toEqual([]);
  });

  it("one that does not hold is taken back, marked bad and removed; only its system is touched", async () => {
    await project.fault("cutover-alpha-v3");
    await project.run("release", "alpha", "v3");
    await project.run("release", "beta", "v2");
    await project.journal();
    const { code, out, err } = await project.run("up");
    expect(code).toBe(1);
    expect(out).toContain("taking back alpha v3 → v2");
    // The journal first: what people read is the end of what was printed.
    const lines = err.trim().split("\n");
    expect(lines[0]).toBe("alpha: last 2 journal lines of v3");
    expect(lines.at(-5)).toBe('alpha: v3 broke the rule "error rate" in bake; taken back to v2');
    expect(lines.at(-1)).toBe(
      "  serves    v2, confirmed (alpha-api-8080 v2); v3 is marked bad, refused until --allow-bad",
    );
    expect(await project.serves("alpha")).toEqual({ release: "v2", settings: { level: 1 } });
    expect(await project.serves("beta")).toEqual({ release: "v2", settings: { level: 1 } });
    expect(await pinsOf(project)).toEqual({
      live: "v2",
      kept: ["v1"],
      bad: { v3: "bake: error rate, measured 23.1 %, allowed 5 % over 10 s" },
    });
    const journal = await project.journal();
    expect(journal.filter((line) => line.includes("alpha"))).toEqual([
      "preflight alpha v3",
      "place alpha v3",
      "cutover alpha v3",
      "remove alpha v3",
    ]);
    // State, config and world agree again.
    expect((await project.run("up")).out).toContain("nothing to do");
    expect((await project.run("status")).code).toBe(0);
  });

  it("rollback to the kept release runs the cutover and nothing else", async () => {
    await project.journal();
    expect((await project.run("rollback", "--system", "alpha")).code).toBe(0);
    expect(await project.journal()).toEqual(["cutover alpha v1"]);
    expect(await pinsOf(project)).toMatchObject({ live: "v1", kept: ["v2"] });
    expect((await project.run("rollback")).err).toContain("several systems keep a release (alpha, beta)");
  });

  it("a step that judges the machine, not the release, leaves no mark: it can go out once that is mended", async () => {
    await project.fault("preflight-alpha-v4");
    await project.run("release", "alpha", "v4");
    const { code, err } = await project.run("up");
    await project.mend("preflight-alpha-v4");
    expect(code).toBe(1);
    expect(err.split("\n")[0]).toBe("alpha: v4 failed in preflight; taken back to v1");
    expect(err.split("\n")[1]).toBe("  measured  preflight of v4 broke on purpose");
    expect(await pinsOf(project)).toMatchObject({ live: "v1", kept: ["v2"] });
    expect((await pinsOf(project)).bad).not.toHaveProperty("v4");
  });

  it("a broken program changes nothing, and puts the pins back", async () => {
    await project.breakProgram(true);
    const before = await project.config();
    const { code, err } = await project.run("rollback", "--system", "alpha");
    await project.breakProgram(false);
    expect(code).toBe(1);
    expect(err).toContain("the program itself is broken");
    expect(err).toContain("The update failed and no system was changed; the pins are as they were.");
    expect(await project.config()).toBe(before);
  });

  it("exit 3 says the exact state when taking back does not hold either, and recover mends it", async () => {
    await project.run("release", "alpha", "v4");
    await project.fault("cutover-alpha");
    await project.fault("lose-alpha");
    const { code, err } = await project.run("up");
    expect(code).toBe(3);
    expect(err).toContain('alpha: v4 broke the rule "error rate" in bake; taking it back to v1 FAILED');
    expect(err).toContain("TAKING BACK DID NOT HOLD: alpha");
    expect(err).toContain("  alpha: pins say v1; target confirms nothing; alpha-api-8080 answers with 503");
    expect(err).toContain("  beta: pins say v2; target confirms v2; beta-api-8080 answers with v2");
    expect((await project.run("status")).code).toBe(1);
    await project.mend("cutover-alpha");
    await project.mend("lose-alpha");
    expect((await project.run("recover")).code).toBe(0);
    expect(await project.serves("alpha")).toEqual({ release: "v1", settings: { level: 1 } });
  });

  it("flip moves traffic without the engine; the next up records it", async () => {
    await project.journal();
    const { code, out } = await project.run("flip", "alpha", "--reason", "pager");
    expect(code).toBe(0);
    expect(out).toContain("alpha: traffic goes to v2");
    expect(await project.journal()).toEqual([]);
    expect(await project.serves("alpha")).toEqual({ release: "v2", settings: { level: 1 } });
    expect((await project.run("up")).code).toBe(0);
    expect(await project.serves("alpha")).toEqual({ release: "v2", settings: { level: 1 } });
    expect((await project.run("status")).code).toBe(0);
  });

  it("leaves a ledger of what ran, by whom, with what result", async () => {
    const lines = (await readFile(join(project.folder, ".switchyard/ledger.jsonl"), "utf8"))
      .trim()
      .split("\n");
    const entries = lines.map((line) => JSON.parse(line));
    expect(
      entries.map(({ command, result }) => `${command.replace(" --stack trial", "")}: ${result}`),
    ).toEqual([
      "release beta v1: succeeded",
      "release alpha v1: succeeded",
      "up: taken back",
      "release beta v2: succeeded",
      "release beta v1 --allow-bad: succeeded",
      "up --allow-bad: succeeded",
      "release alpha v2: succeeded",
      "up: succeeded",
      "up: succeeded",
      "release alpha v3: succeeded",
      "release beta v2: succeeded",
      "up: taken back",
      "up: succeeded",
      "rollback --system alpha: succeeded",
      "release alpha v4: succeeded",
      "up: taken back",
      "rollback --system alpha: failed",
      "release alpha v4: succeeded",
      "up: stuck",
      "recover: succeeded",
      "flip alpha --reason pager: succeeded",
      "up: succeeded",
    ]);
    expect(entries.at(-1)).toMatchObject({
      who: `tester@${hostname()}`,
      stack: "trial",
      systems: { alpha: "v2", beta: "v2" },
    });
  });
});

describe("rollback --to N", () => {
  let project: TrialProject;
  const releases = ["v1", "v2", "v3", "v4"];
  beforeAll(async () => {
    project = await TrialProject.create(["alpha"], releases);
  });
  afterAll(() => project.remove());

  it("brings back what served in each version, with its settings, placed still or not", async () => {
    for (const [index, version] of ["v1", "v2", "v2", "v3", "v4"].entries()) {
      if (index === 2) await project.setConfig((text) => text.replace("level: 1", "level: 2"));
      expect((await project.run("release", "alpha", version, "--up")).code).toBe(0);
    }
    const expected = [
      { release: "v1", settings: { level: 1 } },
      { release: "v2", settings: { level: 1 } },
      { release: "v2-r2", settings: { level: 2 } },
      { release: "v3", settings: { level: 2 } },
      { release: "v4", settings: { level: 2 } },
    ];
    for (const number of [2, 5, 1, 3, 4]) {
      await project.journal();
      const left = await project.serves("alpha");
      const { code, err } = await project.run("rollback", "--to", `${number}`);
      expect({ number, code, err }).toEqual({ number, code: 0, err: "" });
      expect(await project.serves("alpha")).toEqual(expected[number - 1]);
      // What was left is ready to take over again, and nothing ran on it.
      expect((await pinsOf(project)).kept).toEqual([left!.release]);
      expect((await project.journal()).filter((line) => line.endsWith(` ${left!.release}`))).toEqual([]);
    }
  });

  it("refuses what is not offered, with the reason and the nearest that are, and changes nothing", async () => {
    await project.fault("place-alpha-v1");
    expect((await project.run("rollback", "--to", "1")).code).toBe(1);
    await project.mend("place-alpha-v1");
    expect(await pinsOf(project)).toMatchObject({
      live: "v3",
      bad: { v1: expect.stringMatching(/^place: place of v1 broke on purpose$/) },
    });
    const before = await project.config();
    await project.journal();
    const { out } = await project.run("history", "--json", "--all");
    const versions = out
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    const failed = versions.find(({ result }) => result === "failed");
    const refused = await project.run("rollback", "--to", `${failed.number}`);
    expect(refused.code).toBe(1);
    expect(refused.err).toBe(
      `stack version ${failed.number} is not offered: that update failed; nearest offered: ${failed.number - 1} and ${failed.number + 1}\n`,
    );
    expect(await project.config()).toBe(before);
    expect(await project.journal()).toEqual([]);
  });
});

describe("the engine's lock", () => {
  let project: TrialProject;
  beforeAll(async () => {
    project = await TrialProject.create(["alpha"], ["v1", "v2"]);
    await project.run("release", "alpha", "v1", "--up");
  });
  afterAll(() => project.remove());

  it("a second command at the same time is told who is at work and changes nothing", async () => {
    await project.run("release", "alpha", "v2");
    await project.fault("wait-place-alpha");
    const first = project.run("up");
    await project.waits();
    const before = await project.config();
    const [second, third] = await Promise.all([project.run("up"), project.run("rollback")]);
    for (const { code, err } of [second, third]) {
      expect(code).toBe(1);
      expect(err).toMatch(
        /^stack "trial" is in use: \S+@\S+ \(process \d+, since \S+\)\. Nothing was changed\.\n/,
      );
    }
    expect(await project.config()).toBe(before);
    await project.mend("wait-place-alpha");
    expect((await first).code).toBe(0);
    expect(await project.serves("alpha")).toEqual({ release: "v2", settings: { level: 1 } });
  });

  it("what a dead process of this host left is cleared with a line that says so", async () => {
    const folder = join(project.folder, "state/.pulumi/locks/organization/trial/trial");
    await mkdir(folder, { recursive: true });
    const { pid } = spawnSync("true");
    const owner = { pid, username: "ana", hostname: hostname(), timestamp: new Date().toISOString() };
    await writeFile(join(folder, "left.json"), JSON.stringify(owner));
    const { code, out } = await project.run("up");
    expect(code).toBe(0);
    expect(out).toContain(`cleared the lock of ana@${hostname()} (process ${pid}, `);
    expect(await project.locks()).toEqual([]);
  });

  it("an engine killed in the middle is no bad release: recover goes on where it was", async () => {
    await project.run("rollback");
    await project.fault("wait-cutover-alpha");
    const rollback = project.run("rollback");
    await project.waits();
    const [lock] = await project.locks();
    const folder = join(project.folder, "state/.pulumi/locks/organization/trial/trial");
    const { pid } = JSON.parse(await readFile(join(folder, lock!), "utf8"));
    process.kill(pid, "SIGKILL");
    const { code, err } = await rollback;
    expect(code).toBe(1);
    expect(err).toContain("The engine was killed (SIGKILL).");
    await project.mend("wait-cutover-alpha");
    const recovered = await project.run("recover");
    expect(recovered.out).toContain("that process is dead");
    expect(recovered.code).toBe(0);
    expect(await project.serves("alpha")).toEqual({ release: "v2", settings: { level: 1 } });
    expect(await pinsOf(project)).toEqual({ live: "v2", kept: ["v1"], bad: {} });
  });

  it("Ctrl-C lets the step under way end, and takes nothing back", async () => {
    await project.fault("wait-cutover-alpha");
    const controller = new AbortController();
    const rollback = project.runUntil(controller.signal, "rollback");
    await project.waits();
    controller.abort();
    await project.mend("wait-cutover-alpha");
    const { code, err } = await rollback;
    expect(code).toBe(130);
    expect(err).toMatch(/^Stopped\. /);
    expect((await project.run("recover")).code).toBe(0);
    expect(await project.serves("alpha")).toEqual({ release: "v1", settings: { level: 1 } });
  });
});
