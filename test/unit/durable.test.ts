import { mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { removeDurably, writeDurably } from "../../components/box/toolkit/durable.ts";

/** As a writer leaves it that is killed between writing and renaming. */
const part = "settings.json.0b0e6c3e-0000-4000-8000-000000000000.partial";

function settings(): { folder: string; path: string } {
  const folder = mkdtempSync(join(tmpdir(), "durable-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return { folder, path: join(folder, "settings.json") };
}

test("a file is replaced whole, and leaves with what killed writers of it left; its neighbours stay", async () => {
  const { folder, path } = settings();
  await writeDurably(path, "one");
  await writeDurably(path, "two");
  expect(readdirSync(folder)).toEqual(["settings.json"]);
  expect(readFileSync(path, "utf8")).toBe("two");
  writeFileSync(join(folder, part), "a secret");
  writeFileSync(join(folder, "settings.json5"), "");
  writeFileSync(join(folder, "password"), "");
  await removeDurably(path);
  await removeDurably(path);
  expect(readdirSync(folder).sort()).toEqual(["password", "settings.json5"]);
});

test("the next write takes away what a killed writer left an hour ago, and not what is being written now", async () => {
  const { folder, path } = settings();
  writeFileSync(join(folder, part), "a secret");
  await writeDurably(path, "one");
  expect(readdirSync(folder).sort()).toEqual(["settings.json", part]);
  const before = Date.now() / 1000 - 3601;
  utimesSync(join(folder, part), before, before);
  await writeDurably(path, "two");
  expect(readdirSync(folder)).toEqual(["settings.json"]);
});

test("removing what is not there, in a folder that is not there, is no fault", async () => {
  const { folder } = settings();
  await removeDurably(join(folder, "gone", "settings.json"));
  expect(readdirSync(folder)).toEqual([]);
});
