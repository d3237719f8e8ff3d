import { lstat, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { releaseVersion, rollbackToKept } from "../../operations/moves.ts";
import { markBad, type Pins } from "../../operations/pins.ts";
import { parseStackFile, readStackFile, type StackFile, writePins } from "../../operations/stackfile.ts";
import { editPins } from "../../operations/stacktext.ts";

const text = `# Khala
encryptionsalt: v1:abc=:v1:x
config:
  chrono:box: local # this machine
  # The pins.
  chrono:live: v1 # by hand
  chrono:kept: [v0]
  chrono:releases:
    # one line each
    v0: { version: v0, colour: blue, fingerprint: 0c1f11111111 }
    v1: { colour: green } # no version: it is the name
  chrono:settings: {LEVEL: 1,   LIST: [a,b]}
  chrono:databaseUrl:
    secure: v1:nonce:cipher
`;

const withPins = (file: StackFile, after: Pins) => editPins(file.path, file.text, file.pins, after);

describe("the stack's file", () => {
  it("is read with secrets left as they are, and names that stand for versions", () => {
    const { pins, config } = parseStackFile("Pulumi.x.yaml", text);
    expect(pins).toEqual({
      chrono: {
        live: "v1",
        kept: ["v0"],
        keep: 1,
        settings: { LEVEL: 1, LIST: ["a", "b"] },
        releases: {
          v0: { version: "v0", colour: "blue", fingerprint: "0c1f11111111" },
          v1: { version: "v1", colour: "green" },
        },
      },
    });
    expect(config["chrono:databaseUrl"]).toEqual({ secure: "v1:nonce:cipher" });
  });

  it("keeps comments, order and secrets when a version is released", () => {
    const file = parseStackFile("Pulumi.x.yaml", text);
    const { pins } = releaseVersion(file.pins, "chrono", {
      version: "2026-11-21",
      commit: "1e40".repeat(10),
    });
    expect(withPins(file, pins)).toBe(`# Khala
encryptionsalt: v1:abc=:v1:x
config:
  chrono:box: local # this machine
  # The pins.
  chrono:live: "2026-11-21" # by hand
  chrono:kept: [v1]
  chrono:releases:
    # one line each
    v1: { colour: green } # no version: it is the name
    "2026-11-21":
      version: "2026-11-21"
      commit: "${"1e40".repeat(10)}"
      colour: blue
  chrono:settings: {LEVEL: 1,   LIST: [a,b]}
  chrono:databaseUrl:
    secure: v1:nonce:cipher
`);
  });

  it("is changed by a rollback in two words", () => {
    const file = parseStackFile("Pulumi.x.yaml", text);
    const { pins } = rollbackToKept(file.pins, "chrono");
    const changed = withPins(file, pins)
      .split("\n")
      .filter((line) => !text.split("\n").includes(line));
    expect(changed).toEqual(["  chrono:live: v0 # by hand", "  chrono:kept: [v1]"]);
  });

  it("says which number should have been text, and how", () => {
    expect(() => parseStackFile("Pulumi.x.yaml", "config:\n  chrono:live: 1.10\n")).toThrow(
      'Pulumi.x.yaml: chrono:live is 1.1, expected the name of a release (text); quote it ("1.1" may already have lost digits)',
    );
    expect(() =>
      parseStackFile("Pulumi.x.yaml", "config:\n  chrono:releases: { v1: { version: 1e5 } }\n"),
    ).toThrow(
      'Pulumi.x.yaml: chrono:releases.v1.version is 100000, expected the version (text); quote it ("100000" may already have lost digits)',
    );
    expect(() => parseStackFile("Pulumi.x.yaml", "config: {")).toThrow(/^Pulumi\.x\.yaml is not YAML: /);
  });

  it("reads back exactly what was written, whatever the names and reasons are", () => {
    const name = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,12}$/);
    const reason = fc.string({ unit: "grapheme", maxLength: 40 });
    fc.assert(
      fc.property(name, name, reason, fc.json(), (first, second, why, settings) => {
        const file = parseStackFile("Pulumi.x.yaml", text);
        let { pins } = releaseVersion(file.pins, "chrono", {
          version: first,
          settings: JSON.parse(settings),
        });
        pins = markBad(pins, "chrono", `${second}-bad`, { version: second }, why);
        expect(parseStackFile("Pulumi.x.yaml", withPins(file, pins)).pins).toEqual(pins);
      }),
    );
  });
});

describe("files of other shapes", () => {
  const entry = "      v1:\n          version: v1\n";
  const shapes = {
    empty: "",
    "without pins": "config:\n  chrono:source: { git: x } # from\nencryptionsalt: v1:a=\n",
    "with wider indents": `config:\n    chrono:live: v1\n    chrono:releases:\n  ${entry}# end\n`,
    "without a line's end": "config:\n  chrono:live: v1\n  chrono:releases:\n    v1:",
    "in one line": "config: { 'chrono:live': v1, 'chrono:releases': { v1: { colour: blue } } }\n",
    "with comments after what changes":
      "config:\n  chrono:releases:\n    v1: { colour: blue } # one\n    # between\n  # before live\n  chrono:live: v1 # live\n# end\n",
  };
  it.each(Object.entries(shapes))("%s: what is released is read back, no comment goes", (_, shape) => {
    const file = parseStackFile("Pulumi.x.yaml", shape);
    const start = file.pins.chrono ? file.pins : { chrono: { live: null, kept: [], releases: {}, keep: 1 } };
    const { pins } = releaseVersion(start, "chrono", { version: "1.10", settings: { A: "on", B: [1, "2"] } });
    const after = withPins(file, pins);
    expect(parseStackFile("Pulumi.x.yaml", after).pins).toEqual(pins);
    for (const [comment] of shape.matchAll(/#.*/g)) expect(after.split(comment)).toHaveLength(2);
    const other = shape.split("\n").filter((line) => !/chrono:|v1/.test(line));
    expect(after.split("\n")).toEqual(expect.arrayContaining(other));
  });
});

describe("writing", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "switchyard-pins-"));
  });
  afterEach(() => rm(folder, { recursive: true }));

  it("replaces the file whole, leaves nothing beside it and nothing when there is nothing to change", async () => {
    const path = join(folder, "Pulumi.x.yaml");
    await writeFile(path, text, { mode: 0o640 });
    const file = await readStackFile(folder, "organization/switchyard/x");
    expect(await writePins(file, file.pins)).toBe(file);
    const after = await writePins(file, rollbackToKept(file.pins, "chrono").pins);
    expect(after.pins.chrono!.live).toBe("v0");
    expect(await readFile(path, "utf8")).toBe(after.text);
    expect(await readdir(folder)).toEqual(["Pulumi.x.yaml"]);
  });

  it("writes through a link: the file that others share changes, and the link stays one", async () => {
    const shared = join(folder, "shared");
    await mkdir(shared);
    await writeFile(join(shared, "stack.yaml"), text);
    await symlink("shared/stack.yaml", join(folder, "Pulumi.x.yaml"));
    const file = await readStackFile(folder, "x");
    const after = await writePins(file, rollbackToKept(file.pins, "chrono").pins);
    expect((await lstat(join(folder, "Pulumi.x.yaml"))).isSymbolicLink()).toBe(true);
    expect(await readFile(join(shared, "stack.yaml"), "utf8")).toBe(after.text);
    expect(await readdir(shared)).toEqual(["stack.yaml"]);
  });

  it("names the file of a stack that has none", async () => {
    await expect(readStackFile(folder, "nowhere")).rejects.toThrow(
      `${join(folder, "Pulumi.nowhere.yaml")} does not exist: stack "nowhere" has no config; name another with --stack`,
    );
  });
});
