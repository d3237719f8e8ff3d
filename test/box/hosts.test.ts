import fc from "fast-check";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Backend } from "../../components/box/toolkit/host.ts";
import { until } from "../support/box/processes.ts";
import { describeOnBox } from "../support/box/suite.ts";
import { DrivenBox } from "../support/hosts/driven-box.ts";
import { startLoad } from "../support/load/load.ts";

/** SystemdHost on a real Debian box: units, singletons, doors, jobs, and what a boot brings back. */

/** What environmentFile refuses, as its unit test shows. */
const noText = /[\0\p{Surrogate}\p{Noncharacter_Code_Point}]/gu;

describeOnBox("SystemdHost", () => {
  let on: DrivenBox;

  beforeAll(async () => {
    on = await DrivenBox.start("full");
    await on.call("ground", { packages: ["haproxy"], users: ["shop"] });
    await on.putService();
  }, 300_000);
  afterAll(() => on?.box.stop());

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
    expect(await on.say(look)).toBe(expected);
    await on.call("ground", { packages: ["haproxy"], users: ["shop"] });
    expect(await on.say(look)).toBe(expected);
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
    const one = on.unit("shop-environment-000000000000", { command: ["sleep", "1000"] });
    await on.install(one, sent);
    await on.call("startUnit", one.name);
    const raw = await on.say(`base64 -w0 /proc/$(systemctl show ${one.name} -p MainPID --value)/environ`);
    const entries = Buffer.from(raw, "base64").toString("utf8").split("\0");
    const got = Object.fromEntries(
      entries
        .filter((entry) => /^V\d+=/.test(entry))
        .map((entry) => [entry.split("=", 1)[0], entry.replace(/^V\d+=/, "")]),
    );
    expect(got).toEqual(sent);
    await on.call("removeUnit", one.name);
    expect(await on.say(`ls /etc/systemd/system | grep -c environment-0`)).toBe("0");
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
    const one = on.unit("shop-words-000000000000", { command: ["sh", "-c", "sleep 1000", ...words] });
    await on.install(one, {});
    await on.call("startUnit", one.name);
    const raw = await on.say(`base64 -w0 /proc/$(systemctl show ${one.name} -p MainPID --value)/cmdline`);
    const line = Buffer.from(raw, "base64").toString("utf8").split("\0").slice(0, -1);
    expect(line).toEqual(["sh", "-c", "sleep 1000", ...words]);
    await on.call("removeUnit", one.name);
  });

  it("runs a unit without privileges, starts it again when it dies, and stops it for good", async () => {
    const one = on.unit("shop-api-111111111111", { user: "shop" });
    await on.installService(one, 21111, { STUBBORN: "1" });
    expect(await on.stateOf(one.name)).toEqual({ active: "gone", restarts: 0, memoryBytes: 0 });
    await on.call("startUnit", one.name);
    await on.answers(21111);
    const running = await on.stateOf(one.name);
    expect(running).toMatchObject({ active: "running", restarts: 0 });
    expect(running.memoryBytes / 2 ** 20).toBeGreaterThan(20);
    await on.ask(21111, "/grow");
    expect((await on.stateOf(one.name)).memoryBytes - running.memoryBytes).toBeGreaterThan(50 * 2 ** 20);
    expect(await on.say(`ps -o user= -p $(systemctl show ${one.name} -p MainPID --value)`)).toBe("shop");

    await on.ask(21111, "/crash");
    await until(
      async () => (await on.stateOf(one.name)).restarts === 1,
      120,
      "it was not started again",
      100,
    );
    await on.answers(21111);
    const journal = (await on.call("journal", one.name, 50)).value as string[];
    expect(journal.filter((line) => line.includes("shop-api-111111111111 listens"))).toHaveLength(2);

    const stop = await on.call("stopUnit", one.name);
    expect(stop.milliseconds).toBeGreaterThan(on.stopSeconds * 1000 - 200);
    expect(stop.milliseconds).toBeLessThan(on.stopSeconds * 1000 + 15_000);
    expect(await on.stateOf(one.name)).toEqual({ active: "gone", restarts: 0, memoryBytes: 0 });
    await on.call("stopUnit", one.name);
    await on.call("removeUnit", one.name);
    await on.call("removeUnit", one.name);
  });

  it("never runs two processes of a singleton, whatever is asked", async () => {
    const first = on.unit("shop-oracle-111111111111", { kind: "singleton", lock: "shop-oracle" });
    const second = on.unit("shop-oracle-222222222222", {
      kind: "singleton",
      lock: "shop-oracle",
      user: "shop",
    });
    await on.installService(first, 21121);
    await on.installService(second, 21122);
    await on.call("startUnit", first.name);
    await on.call("startUnit", first.name);
    await on.answers(21121);
    await expect(on.call("startUnit", second.name)).rejects.toThrow(
      /another process holds its service's lock/,
    );
    expect(await on.stateOf(second.name)).toMatchObject({ active: "failed", memoryBytes: 0 });
    expect(await on.ask(21121)).toBe(first.name);

    await on.box.ssh(`kill -KILL $(systemctl show ${first.name} -p MainPID --value)`);
    await until(
      async () => (await on.stateOf(first.name)).restarts === 1,
      10,
      "it was not started again",
      100,
    );
    await on.answers(21121);
    await on.call("stopUnit", first.name);
    await on.call("stopUnit", second.name);
    await on.call("startUnit", second.name);
    await on.answers(21122);
    expect(await on.stateOf(first.name)).toMatchObject({ active: "gone" });
    await on.call("removeUnit", first.name);
    await on.call("removeUnit", second.name);
  });

  it("moves traffic ten times under load and fails no request", async () => {
    const door = { name: "shop-api-8080", port: 8080 };
    const [one, two] = [on.unit("shop-api-111111111111"), on.unit("shop-api-222222222222")];
    const backends: Backend[] = [
      { fingerprint: "111111111111", port: 21131 },
      { fingerprint: "222222222222", port: 21132 },
    ];
    await on.installService(one, 21131);
    await on.installService(two, 21132);
    await on.call("openDoor", door);
    expect(await on.serves(door)).toBeNull();
    expect(await on.status(8080)).toBe("503");
    for (const each of [one, two]) await on.call("startUnit", each.name);
    await on.answers(21131);
    await on.answers(21132);
    await on.call("pointDoor", door, backends[0]);
    expect(await on.serves(door)).toEqual(backends[0]);

    const load = await startLoad({
      enter: on.box.enter,
      urls: [`http://${on.box.address}:8080/`],
      method: "POST",
      body: "x".repeat(500),
      requestsPerSecond: 30,
    });
    const times: number[] = [];
    let answered = 500;
    for (let turn = 1; turn <= 10; turn++) {
      await load.until((summary) => summary.total >= answered);
      const to = backends[turn % 2];
      times.push((await on.call("pointDoor", door, to)).milliseconds);
      expect(await on.serves(door)).toEqual(to);
      const pointed = Date.now();
      await on.call("drainDoor", door, 5);
      const now = await load.until((summary) => summary.to > pointed + 300);
      const left = now.releases[turn % 2 ? one.name : two.name];
      for (const kind of ["new", "keepAlive"] as const) {
        expect(left?.[kind]?.lastStart ?? 0).toBeLessThanOrEqual(pointed);
      }
      // What was left is stopped and started again, as a release that goes and another that comes.
      const leaving = turn % 2 ? one : two;
      await on.call("stopUnit", leaving.name);
      await on.call("startUnit", leaving.name);
      await on.answers(turn % 2 ? 21131 : 21132);
      answered = now.total + 500;
    }
    const { total, failed, byConnection, firstFailures } = await load.stop();
    expect({ failed, firstFailures }).toEqual({ failed: 0, firstFailures: [] });
    expect(total).toBeGreaterThan(5000);
    console.log(
      `ten cutovers: ${byConnection.new.total} requests on new connections, ${byConnection.keepAlive.total} on kept ` +
        `ones, ${failed} failed; pointDoor took ${times.map((time) => time.toFixed(0)).join(" ")} ms`,
    );
  }, 240_000);

  it("answers 503 at once when nothing is to serve, and lets or cuts what is in flight as drain says", async () => {
    const door = { name: "shop-api-8080", port: 8080 };
    const slow = on.status(8080, "/wait/1500");
    const cut = on.status(8080, "/wait/20000");
    await until(
      async () => (await on.say("ss -Htn state established dport = :21131 | wc -l")) === "2",
      5,
      "no requests",
    );
    await on.call("pointDoor", door, null);
    expect(await on.status(8080)).toBe("503");
    const drained = await on.call("drainDoor", door, 3);
    expect(drained.milliseconds).toBeGreaterThan(2900);
    expect(drained.milliseconds).toBeLessThan(15_000);
    expect(await slow).toBe("200");
    expect(await cut).not.toBe("200");
  });

  it("comes up with what is remembered, when its process dies", async () => {
    const door = { name: "shop-api-8080", port: 8080 };
    await on.call("pointDoor", door, { fingerprint: "111111111111", port: 21131 });
    await on.call("rememberDoor", door, { fingerprint: "222222222222", port: 21132 });
    expect(await on.ask(8080)).toBe("shop-api-111111111111");
    await on.box.ssh("kill -KILL $(systemctl show switchyard-door@shop-api-8080 -p MainPID --value)");
    await until(
      async () => (await on.ask(8080)) === "shop-api-222222222222",
      5,
      "the door did not come back",
      100,
    );
    expect(await on.serves(door)).toEqual({ fingerprint: "222222222222", port: 21132 });
  });

  it("refuses a port of somebody else, names them, and changes nothing", async () => {
    await on.box.ssh(
      `systemd-run --quiet --unit=squatter node -e 'require("http").createServer().listen(8099)'`,
    );
    await until(async () => (await on.say("ss -Hltn sport = :8099")) !== "", 120, "nobody listens");
    await expect(on.call("openDoor", { name: "shop-api-8099", port: 8099 })).rejects.toThrow(
      /port 8099 of the door shop-api-8099 belongs to node \(pid \d+\).*nothing was changed/,
    );
    expect((await on.call("doors")).value).toEqual([{ name: "shop-api-8080", port: 8080 }]);
    expect(await on.say("systemctl list-units --all 'switchyard-door@*8099*' --plain --no-legend")).toBe("");
    await on.box.ssh("systemctl stop squatter");
  });

  it("runs a job apart from its session until it exits 0", async () => {
    await on.call("launch", "bake", ["job", "/root/job", "1000", "0", "7", "0"]);
    await expect(on.call("launch", "bake", ["job", "/root/job", "0"])).rejects.toThrow(/runs already/);
    expect((await on.call("launched", "bake")).value).toBe(true);
    await until(async () => (await on.say("wc -l </root/job")) === "1", 120, "no first run");
    await on.box.ssh("kill -TERM $(tail -n 1 /root/job)");
    await until(
      async () => (await on.call("launched", "bake")).value === false,
      15,
      "the job does not end",
      100,
    );
    expect(await on.say("wc -l </root/job")).toBe("3");
    await on.call("launch", "bake", ["job", "/root/job2", "0"]);
    await until(
      async () => (await on.call("launched", "bake")).value === false,
      15,
      "the job does not end",
      100,
    );
    expect(await on.say("wc -l </root/job2")).toBe("1");
  });

  it("settles what a reboot cut short before it opens doors and starts what serves, and starts no singleton", async () => {
    const oracle = on.unit("shop-oracle-333333333333", { kind: "singleton", lock: "shop-oracle" });
    await on.installService(oracle, 21143);
    await on.call("startUnit", oracle.name);
    await on.call("stopUnit", "shop-api-111111111111");
    await on.call("launch", "endless", ["job", "/root/endless", "1000"]);
    const before = (await on.call("bootId")).value;
    await on.box.ssh("printf 8080 >/var/lib/switchyard/probe");
    await on.box.killPower();
    expect((await on.call("bootId")).value).not.toBe(before);
    expect(JSON.parse(await on.say("cat /var/lib/switchyard/boots"))).toEqual({
      boot: (await on.call("bootId")).value,
      doorAccepts: false,
    });
    await until(
      async () => (await on.ask(8080)) === "shop-api-222222222222",
      20,
      "the door does not serve",
      100,
    );
    const monotonic = async (name: string, property: string) =>
      Number(await on.say(`systemctl show ${name} -p ${property} --value`));
    const settled = await monotonic("switchyard-boot", "ExecMainExitTimestampMonotonic");
    expect(settled).toBeGreaterThan(0);
    for (const name of ["switchyard-door@shop-api-8080", "shop-api-222222222222"]) {
      expect(await monotonic(name, "ExecMainStartTimestampMonotonic")).toBeGreaterThan(settled);
    }
    expect(await on.stateOf(oracle.name)).toMatchObject({ active: "gone" });
    expect(await on.stateOf("shop-api-111111111111")).toMatchObject({ active: "gone" });
    expect((await on.call("launched", "endless")).value).toBe(false);
    await on.call("startUnit", oracle.name);
    await on.answers(21143);
  }, 60_000);

  it("closes a door and leaves nothing of it", async () => {
    const door = { name: "shop-api-8080", port: 8080 };
    await on.call("closeDoor", door);
    await on.call("closeDoor", door);
    expect((await on.call("doors")).value).toEqual([]);
    expect(await on.serves(door)).toBeNull();
    expect(
      await on.say("ls /etc/switchyard/doors /run/switchyard-door; ss -Hltn sport = :8080"),
    ).not.toContain("8080");
    await expect(on.call("pointDoor", door, { fingerprint: "222222222222", port: 21132 })).rejects.toThrow(
      /is not open/,
    );
    await on.call("pointDoor", door, null);
    await on.call("drainDoor", door, 1);
    await on.call("rememberDoor", door, null);
  });
});
