import { afterAll, beforeAll, expect, test } from "vitest";
import { describeOnBox } from "../support/box/suite.ts";
import { type Chrono, startChrono } from "../support/chrono.ts";

interface Served {
  readonly release: string;
  readonly version: string;
  readonly level: string;
}

/** ALL-1, ALL-2, CHR-6: back to every version of the stack's history, with the settings of that time. */
describeOnBox("ten versions of a stack", () => {
  let chrono: Chrono;
  /** What answered after the stack version of that number. */
  const history = new Map<number, Served>();

  beforeAll(async () => {
    chrono = await startChrono({}, (document) => {
      document.setIn(["config", "chrono:bake"], { seconds: 1, shortSeconds: 1, healthSeconds: 8 });
      document.setIn(["config", "chrono:settings"], { EXAMPLE_LEVEL: "level 1" });
    });
  });
  afterAll(() => chrono?.stop());

  test("are made: eight releases, two of them with other settings only", async () => {
    const plan = ["v1", "v2", "v3", "v3", "v4", "v5", "v5", "v6", "v7", "v8"];
    for (const [index, version] of plan.entries()) {
      const level = `level ${index + 1}`;
      chrono.edit((document) => document.setIn(["config", "chrono:settings", "EXAMPLE_LEVEL"], level));
      if (index > 0) {
        const released = await chrono.release(version);
        expect(released.code, released.output).toBe(0);
      }
      const before = await builds();
      const up = await chrono.up();
      expect(up.code, up.output).toBe(0);
      const now = await served();
      expect([now.version, now.level]).toEqual([version, level]);
      history.set(index + 1, now);
      if (plan[index - 1] === version) expect(await builds()).toEqual(before);
    }
    expect(new Set([...history.values()].map(({ release }) => release)).size).toBe(10);
  });

  test("each is come back to: what serves, and with which settings, is what served then", async () => {
    for (const [number, then] of history) {
      const liveBefore = await unitTexts((await served()).release);
      const { code, output } = await chrono.checkout.switchyard("rollback", "--to", String(number));
      expect(code, output).toBe(0);
      const { version, level } = await served();
      expect({ number, version, level }).toEqual({ number, version: then.version, level: then.level });
      for (const text of liveBefore) expect(await allUnitTexts()).toContain(text);
    }
  });

  test("a rollback to the kept release builds, places and migrates nothing: one resource runs", async () => {
    const before = await builds();
    const { code, output } = await chrono.checkout.switchyard("rollback");
    expect(code, output).toBe(0);
    expect(output).toContain("cutover");
    for (const step of ["preflight", "place", "gates", "migrate"]) expect(output).not.toContain(` ${step} `);
    expect(await builds()).toEqual(before);
  });

  test("what never was a good version is not offered, and the reason is said", async () => {
    const list = await chrono.checkout.switchyard("history");
    expect(list.code, list.output).toBe(0);
    const { code, output } = await chrono.checkout.switchyard("rollback", "--to", "999");
    expect(code).toBe(1);
    expect(output).toContain("999");
  });

  async function served(): Promise<Served> {
    const { stdout } = await chrono.box.ssh("curl -s -m 3 http://127.0.0.1:8080/");
    const { release, version, settings } = JSON.parse(stdout);
    return { release, version, level: settings.EXAMPLE_LEVEL };
  }

  /** Every build on the box with the time it was made. */
  async function builds(): Promise<string[]> {
    const { stdout } = await chrono.box.ssh("stat -c '%n %W' /srv/switchyard/builds/*/dist");
    return stdout.trim().split("\n").sort();
  }

  async function allUnitTexts(): Promise<string[]> {
    const { stdout } = await chrono.box.ssh(
      'cd /srv/switchyard/releases; for f in */*.env; do echo "$f $(sha256sum < $f)"; done',
    );
    return stdout.trim().split("\n");
  }

  /** Environment of the release that is live, by file and hash: it is kept, so nothing of it may change. */
  async function unitTexts(release: string): Promise<string[]> {
    const { stdout } = await chrono.box.ssh(
      `cd /srv/switchyard/releases; grep -l 'RELEASE="${release}"' */*.env`,
    );
    const files = stdout.trim().split("\n");
    return (await allUnitTexts()).filter((line) => files.some((file) => line.startsWith(file)));
  }
});
