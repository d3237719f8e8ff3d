import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { describeOnBox } from "../support/box/suite.ts";
import type { Ended } from "../support/checkout.ts";
import { type Chrono, startChrono } from "../support/chrono.ts";

/** CHR-7, CHR-8, CHR-13: settings arrive byte for byte, secrets appear nowhere, the database is migrated and checked. */
describeOnBox("settings and secrets of Chrono on a real box", () => {
  let chrono: Chrono;
  const said: Ended[] = [];
  const values = fc.sample(
    fc
      .string({ unit: "grapheme", minLength: 0, maxLength: 60 })
      .filter((text) => !/[\0\p{Surrogate}]/u.test(text)),
    12,
  );
  const settings: Record<string, string> = Object.fromEntries(
    [
      ...values,
      "",
      "a\nb\n",
      "$HOME `id` \"quoted\" 'single' \\ \\n",
      "  spaces  ",
      "é☃𝄞",
      "#not a comment",
      "a=b;c",
    ].map((value, index) => [`EXAMPLE_VALUE_${index}`, value]),
  );

  beforeAll(async () => {
    chrono = await startChrono({}, (document) => {
      document.setIn(["config", "chrono:bake"], { seconds: 1, shortSeconds: 1, healthSeconds: 8 });
      document.setIn(["config", "chrono:settings"], settings);
      document.setIn(["config", "chrono:releases", "v1", "schema"], {
        provides: 1,
        needs: 1,
        change: "expand",
      });
    });
    for (const [key, value] of [
      ["chrono:databaseUrl", chrono.databaseUrl],
      ["chrono:redisUrl", "redis://127.0.0.1:6379"],
      ["switchyard:fingerprintKey", "0123456789abcdef".repeat(4)],
    ] as const) {
      const set = await chrono.checkout.setSecret(key, value);
      expect(set.code, set.output).toBe(0);
    }
  });
  afterAll(() => chrono?.stop());

  test("the update backs up, migrates and deploys; `ps` never shows a secret", async () => {
    // Looks for as long as the update runs, on whatever machine.
    const watch = "while [ ! -e /root/seen ]; do ps axwwe -o args; sleep 0.05; done | sort -u > /root/ps.txt";
    const watching = chrono.box.ssh(watch, { timeoutSeconds: 500 });
    said.push(await chrono.checkout.pulumi("preview", "--stack", "development", "--diff"));
    said.push(await chrono.up());
    await chrono.box.ssh("touch /root/seen");
    await watching;
    expect(said.at(-1)?.code, said.at(-1)?.output).toBe(0);
    const { stdout } = await chrono.box.ssh("grep -v ^ps /root/ps.txt");
    expect(stdout.length).toBeGreaterThan(1000);
    // A process's own environment is its own; what others see are arguments.
    const args = await chrono.box.ssh(`grep -c "switchyard-box" /root/ps.txt`);
    expect(Number(args.stdout)).toBeGreaterThan(0);
    const tables = await psql("SELECT number FROM switchyard_migrations ORDER BY 1");
    expect(tables.trim()).toBe("1");
    const backups = await chrono.box.ssh("ls /var/lib/switchyard/backups/chrono/*.dump | wc -l");
    expect(backups.stdout.trim()).toBe("1");
  });

  test("every setting reaches the service byte for byte", async () => {
    for (const [name, value] of Object.entries(settings)) {
      const { stdout } = await chrono.box.ssh(
        `curl -s -m 3 'http://127.0.0.1:8080/api/environment?name=${name}'`,
      );
      const { hex } = JSON.parse(stdout) as { hex: string };
      expect(Buffer.from(hex, "hex").toString("utf8"), name).toBe(value);
    }
  });

  test("the database is used with the secret as it was set", async () => {
    const { stdout } = await chrono.box.ssh("curl -s -m 3 http://127.0.0.1:8080/health/detailed");
    expect(JSON.parse(stdout)).toMatchObject({ status: "healthy", database: { status: "healthy" } });
  });

  test("a release whose database does not answer never takes traffic, and the error names the key", async () => {
    await chrono.box.ssh("systemctl stop postgresql@15-main postgresql");
    expect((await chrono.release("v2")).code).toBe(0);
    said.push(await chrono.up());
    await chrono.box.ssh("systemctl start postgresql postgresql@15-main");
    expect(said.at(-1)?.code).toBe(1);
    expect(said.at(-1)?.output).toContain("DATABASE_URL");
    expect(await chrono.answering()).toBe("v1");
  });

  test("a changed secret is another release, placed beside; the live one is not touched", async () => {
    const before = await chrono.box.ssh("sha256sum /srv/switchyard/releases/*/*.env");
    const set = await chrono.checkout.setSecret("chrono:redisUrl", "redis://localhost:6379");
    expect(set.code, set.output).toBe(0);
    const preview = await chrono.checkout.pulumi("preview", "--stack", "development");
    said.push(preview);
    expect(preview.output).toContain("renders differently now");
    said.push(await chrono.up());
    expect(said.at(-1)?.code, said.at(-1)?.output).toBe(0);
    expect((await chrono.box.ssh("sha256sum /srv/switchyard/releases/*/*.env")).stdout).toBe(before.stdout);
  });

  test("no secret is in the state, its history and backups, or in anything that was said", async () => {
    said.push(await chrono.checkout.switchyard("history"), await chrono.checkout.switchyard("status"));
    // The last part of the password is the same however it is quoted.
    const secrets = ["Zq81kTrv", "0123456789abcdef0123456789abcdef"];
    const places = new Map(
      filesBelow(join(chrono.checkout.directory, ".switchyard")).map((path) => [
        path,
        readFileSync(path, "latin1"),
      ]),
    );
    expect([...places.keys()].some((path) => path.includes("history"))).toBe(true);
    expect([...places.keys()].some((path) => path.includes("backups"))).toBe(true);
    for (const [index, { output }] of said.entries()) places.set(`output ${index}`, output);
    const ps = await chrono.box.ssh("ps axww -o args");
    places.set("ps", ps.stdout);
    const leaks = [...places].filter(([, text]) => secrets.some((secret) => text.includes(secret)));
    expect(leaks.map(([place]) => place)).toEqual([]);
  });

  async function psql(query: string): Promise<string> {
    const { stdout } = await chrono.box.ssh("cd / && sudo -u postgres psql -qAt chrono", { stdin: query });
    return stdout;
  }
});

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}
