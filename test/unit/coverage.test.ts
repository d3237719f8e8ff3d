import { existsSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";

/** docs/coverage.md has a row for every promise that an update keeps, and names tests that are there. */
const root = new URL("../../", import.meta.url);
const coverage = readFileSync(new URL("docs/coverage.md", root), "utf8");

const promised = [
  ...["CHR-1", "CHR-5", "CHR-6", "CHR-7", "CHR-8", "CHR-9", "CHR-10", "CHR-11", "CHR-13", "CHR-15"],
  ...["SAN-3", "SAN-4"],
  ...["POD-1", "POD-2", "POD-3", "POD-4", "POD-5", "POD-6", "POD-7", "POD-8", "POD-11"],
  ...["TRD-1", "TRD-2", "TRD-3", "TRD-5", "TRD-6", "TRD-10", "TRD-11"],
  ...["DEI-1", "DEI-2", "DEI-3", "DEI-6"],
  ...["ALL-1", "ALL-4", "ALL-6", "ALL-7"],
];

test("every promise has one row", () => {
  const rows = [...coverage.matchAll(/^\| ([A-Z]{3}-\d+) P \|/gm)].map(([, id]) => id);
  expect(rows.toSorted()).toEqual(promised.toSorted());
});

test("every file that is named is there", () => {
  const named = [...new Set(coverage.match(/\b(?:test|bench|engine)\/[a-z0-9/-]+(?:\.test)?\.ts\b/g))];
  expect(named.length).toBeGreaterThan(40);
  expect(named.filter((path) => !existsSync(new URL(path, root)))).toEqual([]);
});
