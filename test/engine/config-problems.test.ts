import { afterAll, beforeAll, expect, test } from "vitest";
import { Checkout } from "../support/checkout.ts";

/** A config with many things wrong: each is said once, in plain text, and the command beside it mends it. */
let checkout: Checkout;

beforeAll(async () => {
  checkout = new Checkout();
  const made = await checkout.pulumi("stack", "init", "--stack", "development");
  expect(made.code, made.output).toBe(0);
  checkout.editConfig((document) => {
    const set = (key: readonly unknown[], value: unknown) => document.setIn(["config", ...key], value);
    set(["chrono:releases", "v1.5.0"], { colour: "purple" });
    set(["chrono:releases", "v1", "colour"], "red");
    set(["chrono:colour"], "blue");
    set(["chrono:services", "api", "port"], 99_999);
    set(["chrono:services", "api", "prot"], 8080);
    set(["chrono:bake"], { seconds: -1 });
    set(["chrono:keep"], "many");
    set(["chrono:databaseUrl"], "postgres://chrono:in-clear@127.0.0.1:5432/chrono");
    set(["chrono:kept"], ["v9"]);
    set(["switchyard:colour"], "blue");
    set(["crono:live"], "v1");
  });
});
afterAll(() => checkout.remove());

/** What somebody fills in for `<value>`. */
const values: Readonly<Record<string, string>> = {
  'chrono:releases["v1.5.0"].colour': "green",
  "chrono:releases.v1.colour": "blue",
  "chrono:services.api.port": "8080",
  "chrono:bake.seconds": "10",
  "chrono:keep": "1",
  "chrono:kept": "[]",
};

interface Problem {
  readonly key: string;
  readonly command: string;
}

const preview = () => checkout.pulumi("preview", "--stack", "development");

function problemsOf(output: string): Problem[] {
  const lines = output.split("\n").map((line) => line.trim());
  return lines.flatMap((line, index) => {
    const [, key] = /^(\S+): found .*; allowed: /.exec(line) ?? [];
    return key === undefined ? [] : [{ key, command: lines[index + 1] ?? "" }];
  });
}

test("names each problem once, as text", async () => {
  const { code, output } = await preview();
  expect(code).not.toBe(0);
  expect(problemsOf(output).map(({ key }) => key)).toEqual([
    ...["crono:live", "switchyard:colour", "chrono:databaseUrl", "chrono:keep"],
    ...["chrono:releases.v1.colour", 'chrono:releases["v1.5.0"].colour'],
    ...["chrono:services.api.port", "chrono:services.api.prot", "chrono:bake.seconds", "chrono:colour"],
  ]);
  expect(output).not.toContain("unhandled exception");
  expect(output).not.toContain("in-clear");
  expect(output).not.toMatch(/^\s+at /m);
});

test("each command that it advises mends what it says, until nothing is left", async () => {
  let { output } = await preview();
  for (let round = 0; round < 3; round++) {
    const problems = problemsOf(output);
    if (problems.length === 0) break;
    for (const { key, command } of problems) {
      expect(command).toMatch(/^pulumi config (set|rm) --stack development /);
      const run = command.replace("<value>", `'${values[key] ?? "no value for it in this test"}'`);
      const shell = `pulumi() { operations/switchyard.sh pulumi "$@"; }\n${run}`;
      const ended = await checkout.start(
        ["sh", "-c", shell],
        "postgres://chrono:secret@127.0.0.1:5432/chrono",
      ).ended;
      expect(ended.code, `${run}\n${ended.output}`).toBe(0);
    }
    const next = await preview();
    output = next.output;
    const left = problemsOf(output).map(({ key }) => key);
    expect(left.filter((key) => problems.some((mended) => mended.key === key))).toEqual([]);
  }
  expect(output).not.toContain("found");
  expect(output).toContain("chrono-v1");
});
