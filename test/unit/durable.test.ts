import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { removeDurably, writeDurably } from "../../components/box/toolkit/durable.ts";

test("a file is replaced whole, and leaves with what killed writers of it left; its neighbours stay", async () => {
  const folder = mkdtempSync(join(tmpdir(), "durable-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "settings.json");
  await writeDurably(path, "one");
  await writeDurably(path, "two");
  expect(readdirSync(folder)).toEqual(["settings.json"]);
  expect(readFileSync(path, "utf8")).toBe("two");
  // As a writer leaves it that is killed between writing and renaming.
  writeFileSync(`${path}.0b0e6c3e-0000-4000-8000-000000000000.partial`, "a secret");
  writeFileSync(join(folder, "settings.json5"), "");
  writeFileSync(join(folder, "password"), "");
  await removeDurably(path);
  await removeDurably(path);
  expect(readdirSync(folder).sort()).toEqual(["password", "settings.json5"]);
});
