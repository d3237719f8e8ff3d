import { afterAll, beforeAll, expect, it } from "vitest";
import { bundleToolkit } from "../../components/box/toolkit-bundle.ts";
import { until } from "../support/box/processes.ts";
import { describeOnBox } from "../support/box/suite.ts";
import { DrivenBox } from "../support/hosts/driven-box.ts";

/** SystemdHost's ground on a box that has nothing but Debian and Node (ALL-7). */

describeOnBox("SystemdHost.ground", () => {
  let on: DrivenBox;
  const spec = { packages: ["haproxy", "git", "redis-tools"], users: ["shop"] };

  beforeAll(async () => {
    on = await DrivenBox.start("empty");
    await on.box.ssh("sync");
  }, 300_000);
  afterAll(() => on?.box.stop());

  it("completes what a power cut in the middle of an installation has left", async () => {
    const cut = on.call("ground", spec).catch(() => "cut");
    await until(async () => (await on.box.inside("pgrep -x dpkg")).code === 0, 120, "dpkg does not run");
    await on.box.killPower();
    expect(await cut).toBe("cut");

    await on.call("ground", spec);
    const packages =
      "dpkg-query --show --showformat='${db:Status-Status} ${Package}\\n' haproxy git redis-tools";
    expect(await on.say(packages)).toBe("installed git\ninstalled haproxy\ninstalled redis-tools");
    expect(await on.say("dpkg --audit; systemctl is-system-running")).toBe("running");
    expect(await on.say("systemctl is-enabled haproxy switchyard-boot; systemctl is-active haproxy")).toBe(
      "masked\nenabled\ninactive",
    );
  });

  it("leaves a machine on which a door can be opened", async () => {
    const door = { name: "shop-api-8080", port: 8080 };
    await on.call("openDoor", door);
    expect(await on.status(8080)).toBe("503");
    expect(await on.serves(door)).toBeNull();
    expect(await on.say("ps -o user= -C haproxy")).toBe("haproxy");
    await on.call("closeDoor", door);
  });

  it("leaves an HAProxy alone that somebody has configured", async () => {
    await on.box.ssh(
      "systemctl unmask haproxy; printf 'defaults\\n mode http\\n timeout client 1s\\n timeout server 1s\\n " +
        "timeout connect 1s\\nlisten mine\\n bind :7777\\n' >/etc/haproxy/haproxy.cfg; systemctl start haproxy",
    );
    await on.call("ground", spec);
    expect(await on.say("systemctl is-active haproxy")).toBe("active");
  });

  // The last one: the command is the toolkit from here on, and not what drives the host.
  it("brings a toolkit again that a power cut has emptied, and takes none of its silence for done", async () => {
    const { installer, sha256 } = await bundleToolkit();
    const install = () => on.box.ssh("sh -s", { stdin: installer });
    expect(await install()).toMatchObject({ code: 0, stdout: `{"toolkit":"${sha256}"}\n` });
    const observed = await on.box.ssh("switchyard-box observe");
    expect(observed).toMatchObject({ code: 0, stdout: expect.stringContaining('"systems"') });

    await on.box.ssh(`truncate --size 0 /opt/switchyard/toolkit/${sha256}/switchyard-box.cjs`);
    expect(await on.box.ssh("switchyard-box observe")).toMatchObject({
      code: 127,
      stdout: "",
      stderr: expect.stringContaining("the toolkit on this box is damaged: the next update brings it again"),
    });
    expect(await install()).toMatchObject({ code: 0, stdout: `{"toolkit":"${sha256}"}\n` });
    expect(await on.box.ssh("switchyard-box observe")).toMatchObject({ code: 0, stdout: observed.stdout });
  });
});
