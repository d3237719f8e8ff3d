import { spawn, spawnSync } from "node:child_process";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { findBackend, stackExists } from "../../operations/backend.ts";
import {
  clearDeadLocks,
  isDead,
  Locked,
  locksInError,
  processStart,
  readLocks,
} from "../../operations/lock.ts";

let checkout: string;
let locks: string;
const said: string[] = [];
const say = (line: string) => said.push(line);

beforeEach(async () => {
  checkout = await mkdtemp(join(tmpdir(), "switchyard-lock-"));
  locks = join(checkout, "state/.pulumi/locks/organization/trial/development");
  await mkdir(locks, { recursive: true });
  await writeFile(
    join(checkout, "Pulumi.yaml"),
    "name: trial\nruntime: nodejs\nbackend: { url: 'file://./state' }\n",
  );
  said.length = 0;
});
afterEach(() => rm(checkout, { recursive: true }));

const backend = () => findBackend(checkout, {});
const clear = async () => clearDeadLocks(await backend(), "development", say);

async function lock(
  name: string,
  owner: { pid: number; hostname?: string; timestamp?: string },
): Promise<void> {
  const whole = { username: "ana", hostname: hostname(), timestamp: new Date().toISOString(), ...owner };
  await writeFile(join(locks, `${name}.json`), JSON.stringify(whole));
  await writeFile(join(locks, `${name}.json.attrs`), "{}");
}

/** Number of a process that has ended. */
const deadPid = () => spawnSync("true").pid;

describe("the engine's lock", () => {
  it("is cleared when its owner was this host and is dead, with a line that says so", async () => {
    const pid = deadPid();
    await lock("a", { pid, timestamp: "2026-11-21T09:00:00Z" });
    await clear();
    expect(await readdir(locks)).toEqual([]);
    expect(said).toEqual([
      `cleared the lock of ana@${hostname()} (process ${pid}, since 2026-11-21T09:00:00Z): that process is dead`,
    ]);
  });

  it("is respected and named when its owner lives", async () => {
    await lock("a", { pid: process.pid, timestamp: new Date(Date.now() + 60_000).toISOString() });
    await expect(clear()).rejects.toThrow(Locked);
    await expect(clear()).rejects.toThrow(
      /^stack "development" is in use: ana@\S+ \(process \d+, since \S+\)\. Nothing was changed\.\nIt is at work on this machine: wait for it to end\.\nIf it is surely gone: switchyard pulumi cancel --yes --stack development$/,
    );
    expect(await readdir(locks)).toHaveLength(2);
    expect(said).toEqual([]);
  });

  it("of another host is never cleared, dead number or not", async () => {
    await lock("a", { pid: deadPid(), hostname: "elsewhere", timestamp: "2026-11-21T09:00:00Z" });
    await expect(clear()).rejects.toThrow(
      /ana@elsewhere .*\nWhether it still works cannot be seen from here: ask\./s,
    );
    expect(await readdir(locks)).toHaveLength(2);
  });

  it("of a dead process stays while another one is held", async () => {
    await lock("a", { pid: deadPid() });
    await lock("b", { pid: 1, hostname: "elsewhere" });
    await expect(clear()).rejects.toThrow(Locked);
    expect((await readLocks(await backend(), "development")).length).toBe(2);
  });

  it("cut off while it was written counts as somebody else's", async () => {
    await writeFile(join(locks, "a.json"), '{"pid": 1');
    await expect(clear()).rejects.toThrow("in use: somebody the backend does not name");
  });

  it("is dead when its process number belongs to a younger process", async () => {
    const child = spawn("sleep", ["30"]);
    try {
      const owner = { user: "ana", host: hostname(), pid: child.pid!, file: null };
      expect(await isDead({ ...owner, since: new Date().toISOString() })).toBe(false);
      expect(await isDead({ ...owner, since: new Date(Date.now() - 60_000).toISOString() })).toBe(true);
      expect(await isDead({ ...owner, since: "unknown" })).toBe(false);
      const { started } = (await processStart(child.pid!))!;
      expect(Math.abs(started! - Date.now())).toBeLessThan(5000);
    } finally {
      child.kill();
    }
  });

  it("is none in a stack that was never locked", async () => {
    expect(await readLocks(await backend(), "production")).toEqual([]);
    await clear();
  });
});

describe("the engine's refusal", () => {
  it("names every owner", () => {
    const text = `error: the stack is currently locked by 2 lock(s). Either wait for the other process(es) to end or delete the lock file with \`pulumi cancel\`.
  s3://bucket/.pulumi/locks/organization/trial/development/1.json: created by ana@box (pid 12) at 2026-11-21T09:00:00+01:00
  file:///tmp/a%20b/2.json: created by jo doe@ci-7 (pid 99) at 2026-11-21T09:00:01Z`;
    expect(locksInError(text)).toEqual([
      { user: "ana", host: "box", pid: 12, since: "2026-11-21T09:00:00+01:00", file: null },
      { user: "jo doe", host: "ci-7", pid: 99, since: "2026-11-21T09:00:01Z", file: "/tmp/a b/2.json" },
    ]);
  });

  it("by a service that names nobody is a lock all the same, and other errors are none", async () => {
    const [somebody] = locksInError("error: [409] Conflict: Another update is currently in progress.");
    expect(await isDead(somebody!)).toBe(false);
    expect(locksInError("error: no stack named 'x' found")).toEqual([]);
  });
});

describe("the backend", () => {
  it("is what Pulumi would take: the environment, then Pulumi.yaml, then the last login", async () => {
    expect(await backend()).toEqual({
      project: "trial",
      url: "file://./state",
      folder: join(checkout, "state"),
    });
    const shared = await findBackend(checkout, { PULUMI_BACKEND_URL: "s3://bucket" });
    expect(shared).toEqual({ project: "trial", url: "s3://bucket", folder: null });
    await writeFile(join(checkout, "Pulumi.yaml"), "name: trial\nruntime: nodejs\n");
    expect(await findBackend(checkout, { PULUMI_HOME: checkout })).toMatchObject({ url: null });
    await writeFile(join(checkout, "credentials.json"), '{"current":"file:///srv/state?metadata=skip"}');
    expect((await findBackend(checkout, { PULUMI_HOME: checkout })).folder).toBe("/srv/state");
  });

  it("knows whether a stack exists only where it is a folder", async () => {
    const stacks = join(checkout, "state/.pulumi/stacks/trial");
    await mkdir(stacks, { recursive: true });
    expect(await stackExists(await backend(), "development")).toBe(false);
    await writeFile(join(stacks, "development.json"), "{}");
    expect(await stackExists(await backend(), "organization/trial/development")).toBe(true);
    expect(
      await stackExists({ project: "trial", url: "s3://bucket", folder: null }, "development"),
    ).toBeNull();
  });
});
