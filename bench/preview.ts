import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Ended } from "../test/support/checkout.ts";
import { EnvironmentTrial, systems } from "../test/support/environment/environment.ts";

/**
 * A preview of the production stack, all five systems, beside a bare program that registers the same resources with the
 * same inputs, in the same run, in turn: `node bench/preview.ts [rounds]`, as root on Debian. Both have the same engine
 * and plugins (the recorder and the bundled `command`). The goal is at most 1.25 × the bare program.
 */
const rounds = Number(process.argv[2] ?? 7);
const trial = await EnvironmentTrial.start();
const bare = mkdtempSync(join(tmpdir(), "switchyard-bare-"));

try {
  await trial.make("production");
  // Evidence of staging is asked for by releases; the stack before its first has none.
  trial.pin("production", Object.fromEntries(systems.map((system) => [system, { live: "v1" }])));
  const preview = (...words: string[]) => trial.checkout.pulumi("preview", "--stack", "production", ...words);
  const planned = JSON.parse(stdoutOf(await preview("--json"))) as { steps: { newState: object }[] };
  writeFileSync(join(bare, "resources.json"), JSON.stringify(planned.steps.map(({ newState }) => newState)));
  cpSync(join(import.meta.dirname, "preview", "bare.ts"), join(bare, "index.ts"));
  symlinkSync(join(import.meta.dirname, "..", "node_modules"), join(bare, "node_modules"));
  const config = readFileSync(join(trial.checkout.directory, "Pulumi.yaml"), "utf8");
  writeFileSync(join(bare, "Pulumi.yaml"), config);
  writeFileSync(join(bare, "package.json"), '{ "type": "module", "main": "index.ts" }');
  const there = ["--cwd", bare, "--stack", "bare"];
  must(await trial.checkout.pulumi("stack", "init", ...there));
  const rows: { own: number; bare: number }[] = [];
  for (let round = 0; round < rounds; round++) {
    rows.push({ own: must(await preview()), bare: must(await trial.checkout.pulumi("preview", ...there)) });
  }
  console.log(`${planned.steps.length} resources`);
  for (const name of ["own", "bare"] as const) {
    const values = rows.map((row) => row[name]).sort((a, b) => a - b);
    console.log(
      `${name.padEnd(6)} min ${show(values[0])}  median ${show(middle(values))}  max ${show(values.at(-1))}`,
    );
  }
  const ratios = rows.map(({ own, bare: other }) => own / other).sort((a, b) => a - b);
  console.log(`own / bare, in pairs: ${ratios.map((ratio) => ratio.toFixed(2)).join(" ")}`);
} finally {
  await trial.stop();
  rmSync(bare, { recursive: true, force: true });
}
process.exit();

function stdoutOf({ code, output, stdout }: Ended): string {
  if (code !== 0) throw new Error(output);
  return stdout;
}

function must({ code, output, milliseconds }: Ended): number {
  if (code !== 0) throw new Error(output);
  return milliseconds;
}

function middle(sorted: readonly number[]): number {
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}

function show(milliseconds = 0): string {
  return `${(milliseconds / 1000).toFixed(2)} s`;
}
