import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import type { Document } from "yaml";
import { until } from "../support/box/processes.ts";
import { makeReplica } from "../support/box/replica.ts";
import { describeOnBox } from "../support/box/suite.ts";
import { type Chrono, startChrono } from "../support/chrono.ts";

/** Bad input on a real box: each a clear error, and nothing is changed. */
describeOnBox("what is refused", () => {
  let chrono: Chrono;
  let good: Document;
  let destroyed = false;

  beforeAll(async () => {
    chrono = await startChrono({}, (document) => {
      document.setIn(["config", "chrono:bake"], { seconds: 1, shortSeconds: 1, healthSeconds: 5 });
    });
    const { code, output } = await chrono.up();
    expect(code, output).toBe(0);
    chrono.edit((document) => {
      good = document.clone() as Document;
    });
  });
  afterAll(() => chrono?.stop());
  afterEach(async () => {
    chrono.edit((document) => {
      document.contents = (good.clone() as Document).contents;
    });
    if (!destroyed) expect(await chrono.answering()).toBe("v1");
  });

  /** Makes the edit, runs an update that has to fail, and gives what it said; what the box holds is as before. */
  async function refused(edit: (document: Document) => void): Promise<string> {
    const before = await remembered();
    chrono.edit(edit);
    const { code, output } = await chrono.checkout.pulumi(
      "up",
      "--stack",
      "development",
      "--yes",
      "--skip-preview",
    );
    expect(code, output).not.toBe(0);
    expect(await remembered()).toEqual(before);
    return output;
  }

  async function remembered(): Promise<string> {
    const { stdout } = await chrono.box.ssh(
      "cat /var/lib/switchyard/systems/chrono/cutover.json; systemctl list-units --plain --no-legend 'chrono-*' 'switchyard-door*' | awk '{print $1, $3}'; " +
        "cat /etc/switchyard/doors/*.cfg",
    );
    return stdout;
  }

  test("unknown keys and malformed values, all at once", async () => {
    const output = await refused((document) => {
      document.setIn(["config", "chrono:bake", "secnods"], 3);
      document.setIn(["config", "chrono:keep"], "many");
    });
    expect(output).toContain("has 2 problems; nothing was changed");
    expect(output).toContain("chrono:bake.secnods: found an unknown key");
    expect(output).toContain('chrono:keep: found "many"');
  });

  test("live that names no release", async () => {
    expect(await refused((document) => document.setIn(["config", "chrono:live"], "v7"))).toContain(
      "chrono:live: found v7; allowed: a release of the pins: v1",
    );
  });

  test("a version that the repository does not have", async () => {
    const said = await chrono.release("v77");
    expect(said.code).toBe(1);
    expect(said.output).toContain("v77");
    const output = await refused((document) => pin(document, "v77", {}));
    expect(output).toContain("v77");
    expect(output).toMatch(/building chrono v77 failed/);
  });

  test("an artifact with another checksum", async () => {
    await chrono.box.ssh("cd /srv && echo hello > hello && tar -czf /srv/chrono-v9.tgz hello");
    const output = await refused((document) => {
      document.setIn(["config", "chrono:source"], { artifact: "/srv/chrono-{version}.tgz" });
      pin(document, "v9", { sha256: "0".repeat(64) });
      document.setIn(["config", "chrono:kept"], []);
    });
    expect(output).toMatch(/has the checksum [0-9a-f]{64}, expected 0{64}; nothing was unpacked/);
  });

  test("another host key: nothing is sent to the box", async () => {
    const output = await refused((document) => {
      document.setIn(
        ["config", "chrono:box", "hostKey"],
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKeyOfSomebodyElseEntirelyNotThisBoxAAAA",
      );
    });
    expect(output).toContain("it shows the host key");
    expect(output).toContain("nothing was sent to it");
  });

  test("a box that is off: an error in an update, a note in a preview", async () => {
    const before = await remembered();
    await chrono.box.powerOff();
    const up = await chrono.checkout.pulumi("up", "--stack", "development", "--yes", "--skip-preview");
    const preview = await chrono.checkout.pulumi("preview", "--stack", "development");
    await chrono.box.powerOn();
    expect(up.code).not.toBe(0);
    expect(up.output).toContain("cannot be reached");
    expect(preview.code, preview.output).toBe(0);
    expect(preview.output).toContain("This preview assumes that it is as the last update left it");
    expect(preview.output).toMatch(/\d+ unchanged/);
    await until(async () => (await chrono.answering()) === "v1", 120, "v1 did not come back", 300);
    await until(async () => (await remembered()) === before, 120, "the box is not as before", 500);
  });

  test("a full disk", async () => {
    await chrono.box.fillDisk();
    try {
      expect(await refused((document) => pin(document, "v2", {}))).toMatch(
        /MiB free, placing needs 100|No space left|ENOSPC/,
      );
    } finally {
      await chrono.box.freeDisk();
    }
  });

  test("a port that another program has", async () => {
    await chrono.box.ssh(
      "systemd-run --quiet --unit=squatter python3 -m http.server 9090 || systemd-run --quiet --unit=squatter node -e 'require(`http`).createServer().listen(9090)'",
    );
    await until(
      async () => (await chrono.box.ssh("ss -ltn | grep -c :9090 || true")).stdout.trim() !== "0",
      10,
      "nothing listens",
      200,
    );
    const output = await refused((document) => {
      document.setIn(["config", "chrono:services", "dashboard", "port"], 9090);
      pin(document, "v2", {});
    });
    expect(output).toContain("9090");
    expect(output).toContain("in use");
    await chrono.box.ssh("systemctl stop squatter");
  });

  test("a declared replica that is missing, a Redis that keeps nothing (CHR-9)", async () => {
    const password = "r3dis $Qx7-Lm41";
    expect(
      (await chrono.box.ssh("redis-cli", { stdin: `CONFIG SET requirepass "${password}"` })).stdout,
    ).toBe("OK\n");
    for (const [key, value] of [
      ["chrono:databaseUrl", chrono.databaseUrl],
      ["chrono:redisUrl", `redis://:${encodeURIComponent(password)}@127.0.0.1:6379`],
      ["switchyard:fingerprintKey", "0123456789abcdef".repeat(4)],
    ] as const) {
      const set = await chrono.checkout.setSecret(key, value);
      expect(set.code, set.output).toBe(0);
    }
    const declared = (document: Document) => {
      document.setIn(["config", "chrono:databaseReplicas"], 1);
      document.setIn(["config", "chrono:redisPersistence"], true);
      pin(document, "v2", {});
    };
    const files = () =>
      chrono.box.ssh("ls /var/lib/switchyard/systems/chrono/releases /srv/switchyard/releases");
    const before = await files();
    const neither = await refused(declared);
    const noReplica = "chrono:databaseReplicas declares 1, DATABASE_URL has 0 replicas that stream from it";
    const noPersistence =
      'chrono:redisPersistence declares persistence, Redis at 127.0.0.1:6379 has "appendonly no"';
    expect(neither).toContain(noReplica);
    expect(neither).toContain(noPersistence);
    await makeReplica(chrono.box);
    const alone = await refused(declared);
    expect(alone).not.toContain("chrono:databaseReplicas");
    expect(alone).toContain(noPersistence);
    expect(await files()).toEqual(before);
    const keep = await chrono.box.ssh("redis-cli", {
      stdin: `AUTH "${password}"\nCONFIG SET appendonly yes`,
    });
    expect(keep.stdout).toBe("OK\nOK\n");
    const { code, output } = await chrono.up();
    expect(code, output).toBe(0);
    expect(await chrono.answering()).toBe("v2");
    expect([neither, alone, output].filter((text) => text.includes("Qx7-Lm41"))).toEqual([]);
    expect((await chrono.checkout.switchyard("rollback")).code).toBe(0);
  });

  test("a second update at the same time: it says who is at work", async () => {
    expect((await chrono.release("v2")).code).toBe(0);
    chrono.edit((document) => document.setIn(["config", "chrono:bake", "seconds"], 8));
    const first = chrono.checkout.start(["operations/switchyard.sh", "up"]);
    await until(
      async () =>
        (await chrono.box.ssh("systemctl is-active switchyard-job-cutover-chrono.service")).stdout.trim() ===
        "active",
      40,
      "no cutover",
      100,
    );
    const second = await chrono.checkout.switchyard("up");
    expect(second.code).toBe(1);
    expect(second.output).toContain("is in use: ");
    expect(second.output).toMatch(/pid|process/i);
    const { code, output } = await first.ended;
    expect(code, output).toBe(0);
    expect(await chrono.answering()).toBe("v2");
    expect((await chrono.checkout.switchyard("rollback")).code).toBe(0);
  });

  test("destroying what serves, unless it is armed", async () => {
    const live = (await chrono.state()).confirmed;
    const record = `/var/lib/switchyard/systems/chrono/releases/${live}/record.json`;
    await chrono.box.ssh(`sed -i 's/"environment": "development"/"environment": "production"/' ${record}`);
    const before = await remembered();
    const { code, output } = await chrono.checkout.pulumi(
      "destroy",
      "--stack",
      "development",
      "--yes",
      "--skip-preview",
    );
    expect(code).not.toBe(0);
    expect(output).toContain("destroying it is not armed");
    expect(await remembered()).toEqual(before);
    const target = await chrono.checkout.pulumi(
      "destroy",
      "--stack",
      "development",
      "--yes",
      "--skip-preview",
      "--target",
      `**chrono-v1-${live}-guard`,
      "--target-dependents",
    );
    expect(target.code).not.toBe(0);
    expect(target.output).toContain("destroying it is not armed");
    expect(await remembered()).toEqual(before);
    const armed = await chrono.checkout.switchyard("destroy", "--arm", "--yes");
    expect(armed.code, armed.output).toBe(0);
    expect(await chrono.answering()).toBeNull();
    destroyed = true;
  });

  function pin(document: Document, release: string, entry: object): void {
    document.setIn(["config", "chrono:live"], release);
    document.setIn(["config", "chrono:kept"], ["v1"]);
    document.setIn(["config", "chrono:releases", release], entry);
  }
});
