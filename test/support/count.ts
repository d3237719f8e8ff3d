import { readFileSync } from "node:fs";

/** Prints the closing line of `test/run.sh` from vitest's JSON report; usage: count.ts <report> <vitest's exit code>. */

interface Report {
  readonly testResults: readonly {
    readonly status: string;
    readonly assertionResults: readonly {
      readonly status: string;
      readonly ancestorTitles: readonly string[];
    }[];
  }[];
}

const [file = "", vitestCode = "1"] = process.argv.slice(2);
const { testResults } = read(file);
const tests = testResults.flatMap((result) => result.assertionResults);
const count = (...statuses: string[]) => tests.filter(({ status }) => statuses.includes(status)).length;

const skippedSuites = tests.flatMap(({ ancestorTitles }) =>
  ancestorTitles.filter((title) => title.includes("(skipped: ")),
);
for (const title of new Set(skippedSuites)) console.log(title);

// A file that fails without a failed test could not be loaded, or its hooks failed.
const brokenFiles = testResults.filter(
  ({ status, assertionResults }) =>
    status === "failed" && !assertionResults.some((test) => test.status === "failed"),
).length;
const failed = count("failed") + brokenFiles;
// Whatever else makes vitest fail (an unhandled error, no test at all) must not read as "0 failed".
const shown = vitestCode !== "0" && failed === 0 ? 1 : failed;
console.log(`${count("passed")} passed, ${shown} failed, ${count("pending", "skipped", "todo")} skipped`);
process.exitCode = shown === 0 ? 0 : 1;

function read(path: string): Report {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch {
    return { testResults: [] };
  }
}
