import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { EdgeAddress } from "../../../components/edge/api.ts";
import { inTurn, isRunning } from "../../../components/edge/turn.ts";

const address: EdgeAddress = {
  kind: "edge",
  system: "chrono",
  accountId: "a",
  worker: "chrono-staging",
  api: "local",
};
const module = new URL("../../../components/edge/turn.ts", import.meta.url).href;
const patient = { seconds: 20, isUnwanted: async () => false };
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "switchyard-turn-"));
  vi.stubEnv("SWITCHYARD_EDGE_ROOT", folder);
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

test("a cutover runs alone, says so while it runs, and leaves nothing", async () => {
  expect(await isRunning(address)).toBe(false);
  const running = await inTurn(address, "new", patient, () => isRunning(address));
  expect(running).toBe(true);
  expect(await isRunning(address)).toBe(false);
  expect(readdirSync(join(folder, "turns"))).toEqual([]);
});

test("one that still runs is waited for; one that tries what must not be is ended", async () => {
  const other = await holder();
  const refused = inTurn(address, "new", { ...patient, seconds: 0.5 }, async () => {});
  await expect(refused).rejects.toThrow(`another cutover (process ${other.pid}) has not ended within 0.5 s`);
  expect(other.exitCode).toBe(null);
  const unwanted: string[] = [];
  const isUnwanted = async (to: string) => unwanted.push(to) > 0;
  expect(await inTurn(address, "old", { ...patient, isUnwanted }, async () => "mine")).toBe("mine");
  expect(new Set(unwanted)).toEqual(new Set(["new"]));
  await expect.poll(() => other.signalCode).toBe("SIGKILL");
});

test("a holder that died holds nothing", async () => {
  const other = await holder();
  other.kill("SIGKILL");
  await once(other, "close");
  expect(await isRunning(address)).toBe(false);
  expect(await inTurn(address, "old", patient, async () => "mine")).toBe("mine");
});

/** Another process that has the turn, for the release `new`. */
async function holder() {
  const program = `
    import { writeFileSync } from "node:fs";
    import { inTurn } from ${JSON.stringify(module)};
    await inTurn(${JSON.stringify(address)}, "new", { seconds: 20, isUnwanted: async () => false }, async () => {
      writeFileSync(${JSON.stringify(join(folder, "held"))}, "");
      await new Promise(() => setInterval(() => {}, 1000));
    });`;
  const words = ["--disable-warning=ExperimentalWarning", "--input-type=module", "-e", program];
  const child = spawn(process.execPath, words, { stdio: "inherit" });
  await expect.poll(() => existsSync(join(folder, "held")), { timeout: 15_000 }).toBe(true);
  return child;
}
