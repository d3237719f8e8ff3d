import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { namesOf } from "../../components/box/toolkit/records.ts";

let stateDirectory: string;
beforeEach(() => {
  stateDirectory = mkdtempSync(join(tmpdir(), "switchyard-records-"));
  for (const system of ["pod", "pod-cluster"]) {
    mkdirSync(join(stateDirectory, "systems", system), { recursive: true });
  }
});
afterEach(() => rmSync(stateDirectory, { recursive: true }));

test("what a system with a longer name owns is not taken for one with a shorter", async () => {
  const names = ["pod-api-8110", "pod-cluster-mcp-8111", "podium-api-80", "pod-clusters-80"];
  expect(names.filter(await namesOf({ stateDirectory }, "pod"))).toEqual(["pod-api-8110", "pod-clusters-80"]);
  expect(names.filter(await namesOf({ stateDirectory }, "pod-cluster"))).toEqual(["pod-cluster-mcp-8111"]);
});
