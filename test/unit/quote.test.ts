import { execFileSync } from "node:child_process";
import fc from "fast-check";
import { expect, test } from "vitest";
import { shellCommand } from "../../components/box/quote.ts";

test("whatever a word holds reaches the program byte for byte, through a real shell", () => {
  const word = fc
    .oneof(
      fc.string({ unit: "binary" }),
      fc.constantFrom("", "'", "''", "$HOME", "`id`", "a\nb", '"', "\\", "!", "*", " -n", "é☃", "\t"),
    )
    .map((text) => text.replaceAll("\0", "").replace(/\p{Surrogate}/gu, ""));
  fc.assert(
    fc.property(fc.array(word, { minLength: 1, maxLength: 5 }), (words) => {
      const command = shellCommand("printf", "%s\\0", ...words);
      expect(execFileSync("sh", ["-c", command]).toString()).toBe(words.map((text) => `${text}\0`).join(""));
    }),
    { numRuns: 150 },
  );
});
