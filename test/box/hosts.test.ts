import { readFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import fc from "fast-check";
import { afterAll, beforeAll, expect, it } from "vitest";
import { environmentFile } from "../../components/box/toolkit/environment-file.ts";
import type { Backend, Door, Host, Unit, UnitState } from "../../components/box/toolkit/host.ts";
import { type Box, startBox } from "../support/box/box.ts";
import { until } from "../support/box/processes.ts";
import { describeOnBox } from "../support/box/suite.ts";
import { startLoad } from "../support/load/load.ts";

/** SystemdHost on a real Debian box, by a driver that the box's own Node runs. */

const here = join(import.meta.dirname, "../support/hosts");
const builds = "/srv/switchyard/builds";
const stopSeconds = 2;
/** What environmentFile refuses, as its unit test shows. */
const noText = /[\0\p{Surrogate}\p{Noncharacter_Code_Point}]/gu;

describeOnBox("SystemdHost", () => {
  let box: Box;

  /** Calls a method of the host on the box. */
  const call = async <Method extends keyof Host>(method: Method, ...values: unknown[]) => {
    const stdin = `${JSON.stringify(values)}\n`;
    const { stdout, stderr } = await box.ssh(`read -r values; switchyard-box ${method} "$values"`, { stdin });
    if (stdout === "") throw new Error(`${method}: ${stderr}`);
    const answer = JSON.parse(stdout);
    if (answer.error !== undefined) throw new Error(answer.error);
    return answer as { value: unknown; milliseconds: number };
  };
  const stateOf = async (name: string) => (await call("unitState", name)).value as UnitState;
  const serves = async (door: Door) => (await call("doorServes", door)).value as Backend | null;
  const say = async (command: string) => (await box.ssh(command)).stdout.trim();
  const ask = (port: number, path = "/") =>
    say(`curl --silent --max-time 20 http://127.0.0.1:${port}${path}`);

  const unit = (name: string, more: Partial<Unit> = {}): Unit => ({
    name,
    description: `test 100% of ${name}`,
    kind: "serving",
    lock: "shop-api",
    command: ["node", "service.mjs"],
    directory: builds,
    environmentFile: `${builds}/${name}.env`,
    stopSeconds,
    ...more,
  });

  /** Installs a unit with its environment. */
  const install = async (one: Unit, values: Record<string, string>) => {
    await box.ssh(`umask 077; cat >'${one.environmentFile}'`, { stdin: environmentFile(values) });
    await call("installUnit", one);
  };
  const installService = (one: Unit, port: number, more: Record<string, string> = {}) =>
    install(one, { PORT: `${port}`, RELEASE: one.name, ...more });
  const answers = (port: number) =>
    until(async () => (await ask(port)) !== "", 15, `nothing answers on ${port}`, 100);

  beforeAll(async () => {
    box = await startBox({ base: "full" });
    const { outputFiles } = await build({
      entryPoints: [join(here, "driver.ts")],
      bundle: true,
      platform: "node",
      target: "node18",
      format: "esm",
      write: false,
    });
    await box.ssh("cat >/usr/local/lib/driver.mjs", { stdin: outputFiles[0]?.text ?? "" });
    const wrapper = '#!/bin/sh\nexec node /usr/local/lib/driver.mjs "$@"\n';
    await box.ssh("cat >/usr/local/bin/switchyard-box; chmod 755 /usr/local/bin/switchyard-box", {
      stdin: wrapper,
    });
    await call("ground", { packages: ["haproxy"], users: ["shop"] });
    await box.ssh(`mkdir -p ${builds}; cat >${builds}/service.mjs; chmod -R a+rX ${builds}`, {
      stdin: readFileSync(join(here, "service.mjs")),
    });
  }, 300_000);
  afterAll(() => box?.stop());

  it("prepares the machine, and finds nothing to do the second time", async () => {
    const look =
      "systemctl is-enabled haproxy switchyard-boot; stat -c '%a %U %n' /var/lib/switchyard /srv/switchyard " +
      "/srv/switchyard/home/* /run/switchyard /etc/switchyard/doors; id -nG shop";
    const expected = [
      "masked",
      "enabled",
      "700 root /var/lib/switchyard",
      "755 root /srv/switchyard",
      "750 shop /srv/switchyard/home/shop",
      "750 switchyard /srv/switchyard/home/switchyard",
      "750 switchyard-build /srv/switchyard/home/switchyard-build",
      "750 root /run/switchyard",
      "755 root /etc/switchyard/doors",
      "shop switchyard",
    ].join("\n");
    expect(await say(look)).toBe(expected);
    await call("ground", { packages: ["haproxy"], users: ["shop"] });
    expect(await say(look)).toBe(expected);
  });

  it("hands every value to the process byte for byte", async () => {
    const awkward = fc.constantFrom(..."\"'\\$`\n\r\t #;=%&|<>!{}()[]~aü€😀\u0001\u007f\u2028\ufeff");
    const value = fc.oneof(
      fc.string({ unit: awkward, maxLength: 40 }),
      fc.string({ unit: "binary", maxLength: 40 }).map((text) => text.replace(noText, "")),
    );
    const special = [
      "",
      " ",
      "  both ends  ",
      '"',
      "'",
      "\\",
      "$HOME",
      "${HOME}",
      "`id`",
      "a\nb\n",
      "\n",
      "\\n",
      "%n",
      "#",
    ];
    const values = [...special, ...fc.sample(value, { numRuns: 400, seed: 7 })];
    const sent = Object.fromEntries(values.map((one, index) => [`V${index}`, one]));
    const one = unit("shop-environment-000000000000", { command: ["sleep", "1000"] });
    await install(one, sent);
    await call("startUnit", one.name);
    const raw = await say(`base64 -w0 /proc/$(systemctl show ${one.name} -p MainPID --value)/environ`);
    const entries = Buffer.from(raw, "base64").toString("utf8").split("\0");
    const got = Object.fromEntries(
      entries
        .filter((entry) => /^V\d+=/.test(entry))
        .map((entry) => [entry.split("=", 1)[0], entry.replace(/^V\d+=/, "")]),
    );
    expect(got).toEqual(sent);
    await call("removeUnit", one.name);
    expect(await say(`ls /etc/systemd/system | grep -c environment-0`)).toBe("0");
  });

  it("passes a command's words on unchanged", async () => {
    const words = [
      "plain",
      "two words",
      "",
      "100%",
      "$HOME",
      "${HOME}",
      "a;b",
      ";",
      "\"q'",
      "back\\slash",
      "tab\tnew\nline",
      "ü😀",
    ];
    const one = unit("shop-words-000000000000", { command: ["sh", "-c", "sleep 1000", ...words] });
    await install(one, {});
    await call("startUnit", one.name);
    const raw = await say(`base64 -w0 /proc/$(systemctl show ${one.name} -p MainPID --value)/cmdline`);
    const line = Buffer.from(raw, "base64").toString("utf8").split("\0").slice(0, -1);
    expect(line).toEqual(["sh", "-c", "sleep 1000", ...words]);
    await call("removeUnit", one.name);
  });

  it("runs a unit without privileges, starts it again when it dies, and stops it for good", async () => {
    const one = unit("shop-api-111111111111", { user: "shop" });
    await installService(one, 21111, { STUBBORN: "1" });
    expect(await stateOf(one.name)).toEqual({ active: "gone", restarts: 0, memoryBytes: 0 });
    await call("startUnit", one.name);
    await answers(21111);
    const running = await stateOf(one.name);
    expect(running).toMatchObject({ active: "running", restarts: 0 });
    expect(running.memoryBytes / 2 ** 20).toBeGreaterThan(20);
    await ask(21111, "/grow");
    expect((await stateOf(one.name)).memoryBytes - running.memoryBytes).toBeGreaterThan(50 * 2 ** 20);
    expect(await say(`ps -o user= -p $(systemctl show ${one.name} -p MainPID --value)`)).toBe("shop");

    await ask(21111, "/crash");
    await until(async () => (await stateOf(one.name)).restarts === 1, 10, "it was not started again", 100);
    await answers(21111);
    const journal = (await call("journal", one.name, 50)).value as string[];
    expect(journal.filter((line) => line.includes("shop-api-111111111111 listens"))).toHaveLength(2);

    const stop = await call("stopUnit", one.name);
    expect(stop.milliseconds).toBeGreaterThan(stopSeconds * 1000 - 200);
    expect(stop.milliseconds).toBeLessThan(stopSeconds * 1000 + 3000);
    expect(await stateOf(one.name)).toEqual({ active: "gone", restarts: 0, memoryBytes: 0 });
    await call("stopUnit", one.name);
    await call("removeUnit", one.name);
    await call("removeUnit", one.name);
  });

  it("never runs two processes of a singleton, whatever is asked", async () => {
    const first = unit("shop-oracle-111111111111", { kind: "singleton", lock: "shop-oracle" });
    const second = unit("shop-oracle-222222222222", { kind: "singleton", lock: "shop-oracle", user: "shop" });
    await installService(first, 21121);
    await installService(second, 21122);
    await call("startUnit", first.name);
    await call("startUnit", first.name);
    await answers(21121);
    await expect(call("startUnit", second.name)).rejects.toThrow(/another process holds its service's lock/);
    expect(await stateOf(second.name)).toMatchObject({ active: "failed", memoryBytes: 0 });
    expect(await ask(21121)).toBe(first.name);

    await box.ssh(`kill -KILL $(systemctl show ${first.name} -p MainPID --value)`);
    await until(async () => (await stateOf(first.name)).restarts === 1, 10, "it was not started again", 100);
    await answers(21121);
    await call("stopUnit", first.name);
    await call("stopUnit", second.name);
    await call("startUnit", second.name);
    await answers(21122);
    expect(await stateOf(first.name)).toMatchObject({ active: "gone" });
    await call("removeUnit", first.name);
    await call("removeUnit", second.name);
  });

  it("moves traffic ten times under load and fails no request", async () => {
    const door = { name: "shop-api-8080", port: 8080 };
    const [one, two] = [unit("shop-api-111111111111"), unit("shop-api-222222222222")];
    const backends: Backend[] = [
      { fingerprint: "111111111111", port: 21131 },
      { fingerprint: "222222222222", port: 21132 },
    ];
    await installService(one, 21131);
    await installService(two, 21132);
    await call("openDoor", door);
    expect(await serves(door)).toBeNull();
    expect(await say("curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:8080/")).toBe("503");
    for (const each of [one, two]) await call("startUnit", each.name);
    await answers(21131);
    await answers(21132);
    await call("pointDoor", door, backends[0]);
    expect(await serves(door)).toEqual(backends[0]);

    const load = await startLoad({
      enter: box.enter,
      urls: [`http://${box.address}:8080/`],
      method: "POST",
      body: "x".repeat(500),
    });
    const times: number[] = [];
    let answered = 500;
    for (let turn = 1; turn <= 10; turn++) {
      await load.until((summary) => summary.total >= answered);
      const to = backends[turn % 2];
      times.push((await call("pointDoor", door, to)).milliseconds);
      expect(await serves(door)).toEqual(to);
      const pointed = Date.now();
      await call("drainDoor", door, 5);
      const now = await load.until((summary) => summary.to > pointed + 300);
      const left = now.releases[turn % 2 ? one.name : two.name];
      for (const kind of ["new", "keepAlive"] as const) {
        expect(left?.[kind]?.lastStart ?? 0).toBeLessThanOrEqual(pointed);
      }
      // What was left is stopped and started again, as a release that goes and another that comes.
      const leaving = turn % 2 ? one : two;
      await call("stopUnit", leaving.name);
      await call("startUnit", leaving.name);
      await answers(turn % 2 ? 21131 : 21132);
      answered = now.total + 500;
    }
    const { total, failed, byConnection, firstFailures } = await load.stop();
    expect({ failed, firstFailures }).toEqual({ failed: 0, firstFailures: [] });
    expect(total).toBeGreaterThan(5000);
    console.log(
      `ten cutovers: ${byConnection.new.total} requests on new connections, ${byConnection.keepAlive.total} on kept ` +
        `ones, ${failed} failed; pointDoor took ${times.map((time) => time.toFixed(0)).join(" ")} ms`,
    );
  }, 120_000);

  it("answers 503 at once when nothing is to serve, and lets or cuts what is in flight as drain says", async () => {
    const door = { name: "shop-api-8080", port: 8080 };
    const slow = box.ssh("curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:8080/wait/1500");
    const cut = box.ssh("curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:8080/wait/20000");
    await until(
      async () => (await say("ss -Htn state established dport = :21131 | wc -l")) === "2",
      5,
      "no requests",
    );
    await call("pointDoor", door, null);
    expect(await say("curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:8080/")).toBe("503");
    const drained = await call("drainDoor", door, 3);
    expect(drained.milliseconds).toBeGreaterThan(2900);
    expect(drained.milliseconds).toBeLessThan(4000);
    expect((await slow).stdout).toBe("200");
    expect((await cut).stdout).not.toBe("200");
  });

  it("comes up with what is remembered, when its process dies", async () => {
    const door = { name: "shop-api-8080", port: 8080 };
    await call("pointDoor", door, { fingerprint: "111111111111", port: 21131 });
    await call("rememberDoor", door, { fingerprint: "222222222222", port: 21132 });
    expect(await ask(8080)).toBe("shop-api-111111111111");
    await box.ssh("kill -KILL $(systemctl show switchyard-door@shop-api-8080 -p MainPID --value)");
    await until(
      async () => (await ask(8080)) === "shop-api-222222222222",
      5,
      "the door did not come back",
      100,
    );
    expect(await serves(door)).toEqual({ fingerprint: "222222222222", port: 21132 });
  });

  it("refuses a port of somebody else, names them, and changes nothing", async () => {
    await box.ssh(
      `systemd-run --quiet --unit=squatter node -e 'require("http").createServer().listen(8099)'`,
    );
    await until(async () => (await say("ss -Hltn sport = :8099")) !== "", 10, "nobody listens");
    await expect(call("openDoor", { name: "shop-api-8099", port: 8099 })).rejects.toThrow(
      /port 8099 of the door shop-api-8099 belongs to node \(pid \d+\).*nothing was changed/,
    );
    expect((await call("doors")).value).toEqual([{ name: "shop-api-8080", port: 8080 }]);
    expect(await say("systemctl list-units --all 'switchyard-door@*8099*' --plain --no-legend")).toBe("");
    await box.ssh("systemctl stop squatter");
  });

  it("runs a job apart from its session until it exits 0", async () => {
    await call("launch", "bake", ["job", "/root/job", "0.5", "1", "7", "0"]);
    await expect(call("launch", "bake", ["job", "/root/job", "0"])).rejects.toThrow(/runs already/);
    expect((await call("launched", "bake")).value).toBe(true);
    await until(async () => (await say("wc -l </root/job")) === "1", 10, "no first run");
    await box.ssh("kill -TERM $(tail -n 1 /root/job)");
    await until(
      async () => (await call("launched", "bake")).value === false,
      15,
      "the job does not end",
      100,
    );
    expect(await say("wc -l </root/job")).toBe("3");
    await call("launch", "bake", ["job", "/root/job2", "0"]);
    await until(
      async () => (await call("launched", "bake")).value === false,
      15,
      "the job does not end",
      100,
    );
    expect(await say("wc -l </root/job2")).toBe("1");
  });

  it("settles what a reboot cut short before it opens doors and starts what serves, and starts no singleton", async () => {
    const oracle = unit("shop-oracle-333333333333", { kind: "singleton", lock: "shop-oracle" });
    await installService(oracle, 21143);
    await call("startUnit", oracle.name);
    await call("stopUnit", "shop-api-111111111111");
    await call("launch", "endless", ["job", "/root/endless", "1000"]);
    const before = (await call("bootId")).value;
    await box.ssh("printf 8080 >/var/lib/switchyard/probe");
    await box.killPower();
    expect((await call("bootId")).value).not.toBe(before);
    expect(JSON.parse(await say("cat /var/lib/switchyard/boots"))).toEqual({
      boot: (await call("bootId")).value,
      doorAccepts: false,
    });
    await until(
      async () => (await ask(8080)) === "shop-api-222222222222",
      20,
      "the door does not serve",
      100,
    );
    const monotonic = async (name: string, property: string) =>
      Number(await say(`systemctl show ${name} -p ${property} --value`));
    const settled = await monotonic("switchyard-boot", "ExecMainExitTimestampMonotonic");
    expect(settled).toBeGreaterThan(0);
    for (const name of ["switchyard-door@shop-api-8080", "shop-api-222222222222"]) {
      expect(await monotonic(name, "ExecMainStartTimestampMonotonic")).toBeGreaterThan(settled);
    }
    expect(await stateOf(oracle.name)).toMatchObject({ active: "gone" });
    expect(await stateOf("shop-api-111111111111")).toMatchObject({ active: "gone" });
    expect((await call("launched", "endless")).value).toBe(false);
    await call("startUnit", oracle.name);
    await answers(21143);
  }, 60_000);

  it("closes a door and leaves nothing of it", async () => {
    const door = { name: "shop-api-8080", port: 8080 };
    await call("closeDoor", door);
    await call("closeDoor", door);
    expect((await call("doors")).value).toEqual([]);
    expect(await serves(door)).toBeNull();
    expect(await say("ls /etc/switchyard/doors /run/switchyard-door; ss -Hltn sport = :8080")).not.toContain(
      "8080",
    );
    await expect(call("pointDoor", door, { fingerprint: "222222222222", port: 21132 })).rejects.toThrow(
      /is not open/,
    );
    await call("pointDoor", door, null);
    await call("drainDoor", door, 1);
    await call("rememberDoor", door, null);
  });
});
