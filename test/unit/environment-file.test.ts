import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { environmentFile, readEnvironmentFile } from "../../components/box/toolkit/environment-file.ts";

/** That systemd reads it the same way is shown on a real box: test/box/hosts.test.ts. */

const text = fc
  .oneof(fc.string({ unit: "binary" }), fc.string({ unit: fc.constantFrom(..."\"'\\$`\n\r\t #;=%ü😀") }))
  .map((value) => value.replace(/[\0\p{Noncharacter_Code_Point}]/gu, ""));
const name = fc.stringMatching(/^[A-Za-z_][A-Za-z0-9_]{0,20}$/);

describe("environmentFile", () => {
  it("quotes exactly what has a meaning inside double quotes", () => {
    expect(environmentFile({ PORT: "8080", SAYING: 'it\'s "50$" `now`\\\nand\tthen ü ', EMPTY: "" })).toBe(
      'PORT="8080"\nSAYING="it\'s \\"50\\$\\" \\`now\\`\\\\\nand\tthen ü "\nEMPTY=""\n',
    );
    expect(environmentFile({})).toBe("");
  });

  it("is read back to the same values, whatever they are", () => {
    fc.assert(
      fc.property(fc.dictionary(name, text), (values) => {
        expect(readEnvironmentFile(environmentFile(values))).toEqual({ ...values });
      }),
    );
  });

  it("takes a value as long as Linux does", () => {
    const longest = `${"\\$".repeat(65_534)}`;
    expect(readEnvironmentFile(environmentFile({ V: longest }))).toEqual({ V: longest });
    expect(() => environmentFile({ V: `${longest}xx` })).toThrow(
      "V: 131073 bytes, and Linux passes at most 131072 in one environment variable",
    );
  });

  it.each([
    ["2ND", "", '"2ND" cannot name an environment variable: letters, digits and _, not first a digit'],
    ["A-B", "", '"A-B" cannot name an environment variable: letters, digits and _, not first a digit'],
    ["", "", '"" cannot name an environment variable: letters, digits and _, not first a digit'],
    ["KEY", "top\0secret", "KEY: an environment variable cannot hold a NUL byte"],
    [
      "KEY",
      "secret\ud800",
      "KEY: its value is no Unicode text (half a surrogate pair, or a code point that is none)",
    ],
    [
      "KEY",
      "secret\uffff",
      "KEY: its value is no Unicode text (half a surrogate pair, or a code point that is none)",
    ],
  ])("refuses %j=%j without showing the value", (key, value, message) => {
    expect(() => environmentFile({ [key]: value })).toThrow(new Error(message));
  });
});

describe("readEnvironmentFile", () => {
  it.each([
    ['A="1"\nB=2\n', 2],
    ['A="1', 1],
    ['A="1"', 1],
    ['A="1"\nB="$HOME"\n', 2],
    ['A="two\nlines"\n# comment\n', 3],
  ])("says in which line of %j it is not what was written", (file, line) => {
    expect(() => readEnvironmentFile(file)).toThrow(`environment file, line ${line}: expected NAME="value"`);
  });
});
