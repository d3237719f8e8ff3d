import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { systemOn } from "../../components/box/driver.ts";
import type { Host } from "../../components/box/toolkit/host.ts";
import { writeCutover, writeRelease } from "../../components/box/toolkit/records.ts";
import { startSingletons } from "../../components/box/toolkit/verbs/boot.ts";
import { observe } from "../../components/box/toolkit/verbs/observe.ts";
import { untouched } from "../../components/rollout/cutover/state.ts";

/** A box with several systems: what is wrong with one is no trouble of the others. */
let folder: string;
let host: Host;
let started: string[];

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "switchyard-systems-"));
  started = [];
  host = {
    ...{ stateDirectory: folder, releasesDirectory: folder },
    launched: async () => false,
    unitState: async () => ({ active: "running", restarts: 0, memoryBytes: null }),
    doorServes: async () => null,
    startUnit: async (name: string) => {
      if (name.startsWith("chrono-")) throw new Error(`${name} does not start`);
      started.push(name);
    },
  } as unknown as Host;
  for (const system of ["chrono", "deia", "traider"]) await confirmed(system);
});
afterEach(() => rmSync(folder, { recursive: true }));

/** A system whose release is confirmed and has one singleton. */
async function confirmed(system: string): Promise<void> {
  const fingerprint = "0123456789ab";
  await writeRelease(host, {
    ...{ fingerprint, colour: "blue", receipt: "r1", ports: { worker: 1 }, done: {} },
    manifest: {
      ...{ environment: "development", system, release: "v1", version: "v1" },
      ...{ source: { kind: "images" }, build: [], buildSeconds: 1, checks: {} },
      services: [
        {
          ...{ name: "worker", kind: "singleton", command: ["worker"], environment: {}, secrets: {} },
          ...{ health: "/health", drainSeconds: 1, stopSeconds: 1 },
        },
      ],
    },
  });
  await writeCutover(host, system, { ...untouched, confirmed: fingerprint });
}

it("says which system it cannot read, and how the others are", async () => {
  writeFileSync(join(folder, "systems/deia/cutover.json"), "");
  mkdirSync(join(folder, "systems/empty"));
  const observed = await observe(host);
  expect(Object.keys(observed.unreadable ?? {})).toEqual(["deia"]);
  expect(Object.keys(observed.systems)).toEqual(["chrono", "empty", "traider"]);
  expect(systemOn(observed, "traider").confirmed).toBe("0123456789ab");
  expect(() => systemOn(observed, "deia")).toThrow(
    `deia on its box cannot be reached: what the box keeps of it: ${join(folder, "systems/deia/cutover.json")} does not hold JSON: ` +
      "somebody edited it, or the disk lost it; put it right by hand",
  );
  // Never heard of is something else.
  expect(systemOn(observed, "sanctum").confirmed).toBeNull();
});

it("starts every singleton after a boot but the one that cannot, and says so", async () => {
  await expect(startSingletons(host)).rejects.toThrow("chrono-worker-0123456789ab does not start");
  expect(started.toSorted()).toEqual(["deia-worker-0123456789ab", "traider-worker-0123456789ab"]);
});
