import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { claimant, claimFor } from "../../components/box/supervisor/claim.ts";
import { inheritedEnvironment } from "../../components/box/supervisor/environment.ts";
import { startGated } from "../../components/box/supervisor/gated-process.ts";
import { endGroup, membersOf } from "../../components/box/supervisor/group.ts";
import { boundLog, lastLines } from "../../components/box/supervisor/log-file.ts";
import { MemoryFile, recall } from "../../components/box/supervisor/memory.ts";
import { placesOf, socketPath } from "../../components/box/supervisor/places.ts";
import { identify } from "../../components/box/toolkit/process-identity.ts";
import { until } from "../support/box/processes.ts";

/** The supervisor's parts, each with real processes. The whole of it: local-host.test.ts. */

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "switchyard-supervisor-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe("the claim on a folder", () => {
  const claim = (number: number, content: object) =>
    writeFileSync(join(folder, String(number)), JSON.stringify(content));
  const boot = existsSync("/proc/sys/kernel/random/boot_id")
    ? readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()
    : "";

  it("goes to one process, and to the next when that is dead", async () => {
    expect(await claimant(folder)).toBeNull();
    expect(await claimFor(folder)).toBe(true);
    expect(await claimFor(folder)).toBe(false);
    expect((await claimant(folder))?.pid).toBe(process.pid);

    claim(7, { pid: process.pid, started: "another start", boot });
    expect(await claimant(folder)).toBeNull();
    expect(await claimFor(folder)).toBe(true);
    expect(readdirSync(folder)).toEqual(["8"]);
  });

  it("of an earlier boot is no claim, though a process has that pid and start time now", async () => {
    claim(3, { ...(await identify(process.pid)), boot: "another boot" });
    expect(await claimant(folder)).toBeNull();
  });

  it("is had by exactly one of twenty who ask at once", async () => {
    claim(1, { pid: 1, started: "long ago", boot });
    const program = `
      import { claimFor } from ${JSON.stringify(new URL("../../components/box/supervisor/claim.ts", import.meta.url).href)};
      process.stdout.write("ready\\n");
      process.stdin.once("data", async () => {
        process.stdout.write(String(await claimFor(${JSON.stringify(folder)})) + "\\n");
      });`;
    const children = Array.from({ length: 20 }, () =>
      spawn(process.execPath, ["--input-type=module-typescript", "--eval", program], {
        stdio: ["pipe", "pipe", "inherit"],
      }),
    );
    try {
      await Promise.all(children.map((child) => once(child.stdout, "data")));
      const answers = children.map(async (child) => String((await once(child.stdout, "data"))[0]).trim());
      for (const child of children) child.stdin.write("go\n");
      const got = await Promise.all(answers);
      expect(got.filter((answer) => answer === "true")).toHaveLength(1);
      expect(got.filter((answer) => answer === "false")).toHaveLength(19);
    } finally {
      await Promise.all(children.map((child) => (child.kill("SIGKILL") ? once(child, "close") : null)));
    }
  });
});

describe("a gated process", () => {
  const start = (command: readonly string[]) => ({
    command,
    directory: folder,
    environment: { PATH: process.env.PATH ?? "" },
    log: join(folder, "log"),
  });

  it("does nothing before it is remembered, and keeps its identity", async () => {
    const started = await startGated(start(["sh", "-c", "echo runs; exec sleep 100"]), async () => {
      await new Promise((resolve) => setTimeout(resolve, 100));
      expect(readFileSync(join(folder, "log"), "utf8")).toBe("");
    });
    await until(
      async () => (await lastLines(join(folder, "log"), 5)).join() === "runs",
      5,
      "it does not run",
    );
    expect(await identify(started.identity.pid)).toEqual(started.identity);
    await endGroup(started.identity, 2);
    expect(await started.ended).toEqual({ code: null, signal: "SIGTERM" });
  });

  it("never begins when it cannot be remembered", async () => {
    let pid = 0;
    const failing = startGated(start(["sh", "-c", "echo runs"]), async (identity) => {
      pid = identity.pid;
      throw new Error("disk full");
    });
    await expect(failing).rejects.toThrow("disk full");
    await until(async () => (await identify(pid)) === null, 5, "it waits for ever");
    expect(readFileSync(join(folder, "log"), "utf8")).toBe("");
  });

  it("is ended with everything it has started, also what outlives it", async () => {
    const started = await startGated(
      start(["sh", "-c", "sleep 100 & sleep 101 & echo runs; exit 0"]),
      async () => {},
    );
    await started.ended;
    expect(await membersOf(started.identity.pid)).toHaveLength(2);
    await endGroup(started.identity, 0);
    expect(await membersOf(started.identity.pid)).toEqual([]);
  });

  it("is not mistaken for a later process with its pid", async () => {
    const child = spawn("sleep", ["100"], { detached: true, stdio: "ignore" });
    await once(child, "spawn");
    await endGroup({ pid: child.pid ?? 0, started: "another start" }, 1);
    expect(await membersOf(child.pid ?? 0)).toHaveLength(1);
    child.kill("SIGKILL");
    await once(child, "exit");
  });
});

describe("what the supervisor keeps", () => {
  it("has its socket beside the rest, or where a socket's path has room", () => {
    expect(placesOf("/home/me/box").socket).toBe("/home/me/box/supervisor/control.sock");
    const deep = `/home/me/${"deep/".repeat(30)}supervisor`;
    expect(socketPath(deep, "/tmp")).toMatch(
      new RegExp(`^/tmp/switchyard-${process.getuid?.()}/[0-9a-f]{16}$`),
    );
    expect(socketPath(`${deep}2`, "/tmp")).not.toBe(socketPath(deep, "/tmp"));
  });

  it("is written whole, with the latest change in it", async () => {
    const file = join(folder, "memory.json");
    const memory = new MemoryFile(file, await recall(file));
    const writes = Array.from({ length: 50 }, (_, index) => {
      memory.now.doors[`door-${index}`] = {
        door: { name: `door-${index}`, port: index },
        remembered: null,
        open: true,
      };
      return memory.save();
    });
    await Promise.all(writes);
    expect(Object.keys((await recall(file)).doors)).toHaveLength(50);
    expect(readdirSync(folder)).toEqual(["memory.json"]);
    memory.now.doors = {};
    memory.discard();
    await memory.save();
    expect(Object.keys((await recall(file)).doors)).toHaveLength(50);
  });

  it("is a log that ends with the last lines however much is written", async () => {
    const file = join(folder, "log");
    expect(await lastLines(file, 10)).toEqual([]);
    for (let line = 0; line < 30_000; line++) appendFileSync(file, `line ${line} ${"x".repeat(40)}\n`);
    await boundLog(file);
    expect(readFileSync(file).length).toBeLessThanOrEqual(1 << 18);
    appendFileSync(file, "the end\n");
    const last = await lastLines(file, 3);
    expect(last.map((line) => line.slice(0, 10))).toEqual(["line 29998", "line 29999", "the end"]);
    expect(readFileSync(file, "utf8")).toMatch(/^line \d+ x{40}\n/);
  });

  it("is no secret of whoever started it", () => {
    const from = {
      PATH: "/bin",
      HOME: "/home/me",
      PULUMI_CONFIG_PASSPHRASE: "p",
      AWS_SECRET_ACCESS_KEY: "s",
      NODE_OPTIONS: "-r x",
    };
    expect(inheritedEnvironment(from)).toEqual({ PATH: "/bin", HOME: "/home/me" });
  });
});
