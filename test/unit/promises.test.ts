import { existsSync, readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";

/** docs/systems has every promise once, and what it names (tests, lines of the runbooks) is there. */
const root = new URL("../../", import.meta.url);
const folder = new URL("docs/systems/", root);
const pages = readdirSync(folder).filter((name) => name !== "README.md");
const textOf = (page: string) => readFileSync(new URL(page, folder), "utf8");

/** How many promises each system has. */
const promised = { CHR: 19, SAN: 12, POD: 17, TRD: 15, DEI: 8, ALL: 9 };

/** Those that `pulumi up` keeps, with a test each. */
const keptByUpdates = [
  ...["CHR-1", "CHR-5", "CHR-6", "CHR-7", "CHR-8", "CHR-9", "CHR-10", "CHR-11", "CHR-13", "CHR-15"],
  ...["SAN-3", "SAN-4"],
  ...["POD-1", "POD-2", "POD-3", "POD-4", "POD-5", "POD-6", "POD-7", "POD-8", "POD-11"],
  ...["TRD-1", "TRD-2", "TRD-3", "TRD-5", "TRD-6", "TRD-10", "TRD-11"],
  ...["DEI-1", "DEI-2", "DEI-3", "DEI-6"],
  ...["ALL-1", "ALL-4", "ALL-6", "ALL-7", "ALL-8"],
];

interface Row {
  readonly id: string;
  readonly kinds: string;
  readonly promise: string;
  readonly shownBy: string;
}

function rowsOf(page: string): Row[] {
  const lines = [...textOf(page).matchAll(/^\| ([A-Z]{3}-\d+) ([POWM ]+) \| (.+?) \| (.+?) \|/gm)];
  return lines.map(([, id = "", kinds = "", promise = "", shownBy = ""]) => ({
    id,
    kinds,
    promise,
    shownBy,
  }));
}

const rows = pages.flatMap(rowsOf);

describe("the promises", () => {
  it("are all there, each once", () => {
    const wanted = Object.entries(promised).flatMap(([system, count]) =>
      Array.from({ length: count }, (_, index) => `${system}-${index + 1}`),
    );
    expect(rows.map(({ id }) => id).toSorted()).toEqual(wanted.toSorted());
  });

  it("are each shown by a test, or said to be open", () => {
    const silent = rows.filter(({ shownBy }) => !/`test\/|\bopen\b|the same/i.test(shownBy));
    expect(silent).toEqual([]);
  });

  it("of an update are none of them open", () => {
    const shown = rows.filter(({ kinds, shownBy }) => kinds.includes("P") && !shownBy.startsWith("open"));
    expect(shown.map(({ id }) => id).toSorted()).toEqual(keptByUpdates.toSorted());
  });
});

describe("what the pages name", () => {
  it("of files is there", () => {
    const named = pages.flatMap(
      (page) => textOf(page).match(/\b(?:test|bench|engine)\/[a-z0-9/-]+(?:\.test)?\.ts\b/g) ?? [],
    );
    expect(new Set(named).size).toBeGreaterThan(60);
    expect([...new Set(named)].filter((path) => !existsSync(new URL(path, root)))).toEqual([]);
  });

  it("of the program is there: `file` `name`, `name`", () => {
    const named = pages.flatMap((page) =>
      [...textOf(page).matchAll(/`((?:stacks|components)\/[\w./-]+\.ts)`:? ((?:`\w+`(?:, )?)+)/g)].flatMap(
        ([, file = "", names = ""]) =>
          [...names.matchAll(/`(\w+)`/g)].map(([, name = ""]) => ({ file, name })),
      ),
    );
    expect(named.length).toBeGreaterThan(30);
    const missing = named.filter(({ file, name }) => {
      const path = new URL(file, root);
      return !existsSync(path) || !new RegExp(`\\b${name}\\b`).test(readFileSync(path, "utf8"));
    });
    expect(missing).toEqual([]);
  });

  it("of promises in a document's steps is among those below", () => {
    for (const page of pages) {
      const known = new Set(rows.map(({ id }) => id));
      const named = textOf(page).match(/\b(?:CHR|SAN|POD|TRD|DEI|ALL)-\d+\b/g) ?? [];
      expect(named.filter((id) => !known.has(id))).toEqual([]);
    }
  });

  it("says of every promise of a document in which step it is kept", () => {
    for (const page of pages.filter((name) => name !== "all.md")) {
      const [steps = ""] = textOf(page).split("## Promises");
      const named = new Set(steps.match(/\b[A-Z]{3}-\d+\b/g));
      expect(rowsOf(page).filter(({ id }) => !named.has(id))).toEqual([]);
    }
  });
});
