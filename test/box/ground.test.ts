import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Box, startBox } from "../support/box/box.ts";
import { children, identify, isAlive, type ProcessIdentity, until } from "../support/box/processes.ts";
import { boxes, removeLeftovers } from "../support/box/records.ts";
import { run } from "../support/box/run.ts";
import { describeOnBox } from "../support/box/suite.ts";

/** The test ground itself: what the other box tests rely on. */

/** Paths and mounts that name the box. */
async function leftOf(name: string): Promise<string[]> {
  const paths = await run([
    "find",
    "/run/switchyard-box",
    "/sys/fs/cgroup",
    "-maxdepth",
    "2",
    "-name",
    `*${name}*`,
  ]);
  const mounts = readFileSync("/proc/self/mounts", "utf8").split("\n");
  return [...paths.stdout.split("\n").filter(Boolean), ...mounts.filter((line) => line.includes(name))];
}

function descendants(pid: number): ProcessIdentity[] {
  return children(pid).flatMap((child) => [identify(child) ?? [], descendants(child)].flat());
}

describeOnBox("a real box", () => {
  let box: Box;
  beforeAll(async () => {
    box = await startBox({ base: "full" });
  });
  afterAll(() => box?.stop());

  const answer = async (command: string) => {
    const { code, stdout, stderr } = await box.ssh(command);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    return stdout.trim();
  };
  const databaseAnswers = "sudo -u postgres psql --tuples-only --no-align --command 'select 6 * 7'";

  it("lets root log in and runs systemd, PostgreSQL and Redis, but not HAProxy", async () => {
    expect(await answer("id -un; ps -p 1 -o comm=; systemctl is-system-running")).toBe(
      "root\nsystemd\nrunning",
    );
    expect(await answer(`cd / && ${databaseAnswers}; redis-cli ping`)).toBe("42\nPONG");
    expect((await box.ssh("systemctl is-enabled haproxy; systemctl is-active haproxy")).stdout).toBe(
      "disabled\ninactive\n",
    );
  });

  it("passes exit codes, stdin and stderr through unchanged", async () => {
    const text = 'it\'s $HOME `id` "ü"\n\\';
    expect(await box.ssh("cat; echo bad >&2; exit 7", { stdin: text })).toEqual({
      code: 7,
      stdout: text,
      stderr: "bad\n",
    });
    await expect(box.ssh("sleep 60", { timeoutSeconds: 1 })).rejects.toThrow(/not done after 1 s/);
  });

  it("is reached from the client's network only", async () => {
    expect((await box.ssh("curl -s -o /dev/null -m 2 http://192.0.2.1/")).code).not.toBe(0);
    expect(await answer(`ip -brief address show eth0 | awk '{print $3}'`)).toBe(`${box.address}/24`);
  });

  it("keeps its disk over a reboot", async () => {
    const boot = await answer("echo kept >/root/mark; cat /proc/sys/kernel/random/boot_id");
    expect(await box.reboot()).toBeLessThan(30);
    expect(await answer("cat /root/mark")).toBe("kept");
    expect(await answer("cat /proc/sys/kernel/random/boot_id")).not.toBe(boot);
  });

  it("keeps its disk when the power is cut, and is off until it is switched on", async () => {
    await answer("echo still >/root/mark; systemd-run --unit=runs sleep 1000 2>/dev/null");
    expect(await box.killPower()).toBeLessThan(30);
    expect(await answer("cat /root/mark; systemctl list-units --all --no-legend runs.service")).toBe("still");
    await box.powerOff();
    expect((await box.ssh("true")).code).toBe(255);
    expect(await box.powerOn()).toBeLessThan(30);
    expect(await answer("cat /root/mark")).toBe("still");
  });

  it("loses packets silently while the network is cut", async () => {
    await box.cutNetwork();
    const request = ["curl", "--silent", "--max-time", "1", `http://${box.address}:22/`];
    // 28: curl's timeout. A refused connection would be 7.
    expect((await run([...box.enter, ...request])).code).toBe(28);
    expect((await box.inside(`timeout 1 bash -c 'echo >/dev/tcp/${box.clientAddress}/9'`)).code).toBe(124);
    await box.restoreNetwork();
    expect(await answer("echo back")).toBe("back");
  });

  it("has a disk that can be full", async () => {
    await box.fillDisk();
    const full = await box.ssh("head -c 100000 /dev/zero >/var/tmp/more");
    expect(full.code).not.toBe(0);
    expect(full.stderr).toContain("No space left on device");
    await box.freeDisk();
    expect(await answer("head -c 100000 /dev/zero >/var/tmp/more && stat -c %s /var/tmp/more")).toBe(
      "100000",
    );
  });

  it("changes the agent's only key and lets in the new one", async () => {
    const keys = () => run(["ssh-add", "-L"], { environment: { SSH_AUTH_SOCK: box.agentSocket } });
    const before = (await keys()).stdout;
    await box.rotateKey();
    const after = (await keys()).stdout.trim().split("\n");
    expect(after).toHaveLength(1);
    expect(after[0]).not.toBe(before.trim());
    expect(after[0]).toContain(await answer("cat /root/.ssh/authorized_keys"));
  });

  it("stands beside a second one of its own", async () => {
    const other = await startBox({ base: "full", name: "second" });
    await expect(startBox({ base: "full", name: "second" })).rejects.toThrow(/up already.*down second/);
    expect((await other.ssh("cat /root/mark")).code).toBe(1);
    expect(other.hostKey).not.toBe(box.hostKey);
    expect(boxes.names()).toContain("second");
    await other.stop();
    expect(await leftOf("second")).toEqual([]);
  });

  it("ends with a test run that is killed, and the next start removes what is left of it alone", async () => {
    const program = `
      import { startBox } from ${JSON.stringify(join(import.meta.dirname, "../support/box/box.ts"))};
      await startBox({ base: "full", name: "orphan" });
      console.log("up");
      setInterval(() => {}, 1000);`;
    const owner = spawn(process.execPath, ["--input-type=module", "--eval", program], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    await once(owner.stdout, "data");
    const supervisor = boxes.read("orphan")!.supervisor!;
    const ofBox = [supervisor, ...descendants(supervisor.pid)];
    expect(ofBox.length).toBeGreaterThan(10);
    owner.kill("SIGKILL");
    await until(() => !ofBox.some(isAlive), 120, "processes of the killed run's box go on");
    expect(await removeLeftovers()).toContain("orphan");
    expect(await leftOf("orphan")).toEqual([]);
    expect(await answer("echo untouched")).toBe("untouched");
  });
});

describeOnBox("an empty box", () => {
  it("has none of what a deployment needs, and installs it without a network", async () => {
    const box = await startBox({ base: "empty" });
    try {
      const missing = "for p in node haproxy git restic psql redis-cli; do command -v $p; done; true";
      expect((await box.ssh(missing)).stdout).toBe("");
      const install =
        "apt-get update -q && apt-get install -q -y nodejs haproxy git restic postgresql redis-server";
      const installed = await box.ssh(`export DEBIAN_FRONTEND=noninteractive; ${install}`, {
        timeoutSeconds: 180,
      });
      expect(installed.code, installed.stderr + installed.stdout).toBe(0);
      const versions = await box.ssh(
        "node --version; haproxy -v | head -n 1; systemctl is-active haproxy postgresql",
      );
      expect(versions.stdout).toMatch(/^v18\..*\nHAProxy version 2\.6.*\nactive\nactive\n$/);
    } finally {
      await box.stop();
    }
  });
});
