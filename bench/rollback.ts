import { readFileSync } from "node:fs";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { setTimeout as pause } from "node:timers/promises";
import { Checkout, type Ended } from "../test/support/checkout.ts";

/**
 * A rollback to the kept release beside the engine's own no-op update of the same stack, in the same run, in turn:
 * `node bench/rollback.ts [rounds]`. Prints seconds: the whole command, the bake's share, and the time from the command
 * to the first request that the old release answers. The goal is a rollback, bake apart, below 1.5 × the no-op.
 */
const rounds = Number(process.argv[2] ?? 5);
const port = 18_080;
const shortBakeSeconds = 1;
const checkout = new Checkout();

try {
  checkout.editConfig((document) => {
    document.setIn(["config", "chrono:services", "api", "port"], port);
    document.setIn(["config", "chrono:services", "dashboard", "port"], port + 1);
    document.setIn(["config", "chrono:bake"], {
      seconds: 2,
      shortSeconds: shortBakeSeconds,
      healthSeconds: 5,
    });
  });
  must(await checkout.switchyard("start"));
  must(await checkout.switchyard("start", "chrono=v2"));
  const rows: { noop: number; own: number; rollback: number; bake: number; firstAnswer: number }[] = [];
  for (let round = 0; round < rounds; round++) {
    const noop = must(await checkout.pulumi("up", "--stack", "development", "--yes", "--skip-preview"));
    const own = must(await checkout.switchyard("up"));
    const old = (checkout.readConfig()["chrono:kept"] as string[])[0] ?? "";
    const first = firstAnswer(old);
    const rollback = must(await checkout.switchyard("rollback"));
    rows.push({ noop, own, rollback, bake: lastBake(), firstAnswer: await first });
  }
  for (const name of ["noop", "own", "rollback", "bake", "firstAnswer"] as const) {
    const values = rows.map((row) => row[name]).sort((a, b) => a - b);
    console.log(
      `${name.padEnd(12)} min ${show(values[0])}  median ${show(values[Math.floor(values.length / 2)])}  max ${show(values.at(-1))}`,
    );
  }
  const ratios = rows.map(({ noop, rollback, bake }) => (rollback - bake) / noop).sort((a, b) => a - b);
  console.log(`(rollback - bake) / noop, in pairs: ${ratios.map((ratio) => ratio.toFixed(2)).join(" ")}`);
} finally {
  await checkout.start(["components/box/switchyard-box.sh", "shutdown"]).ended;
  checkout.remove();
}

/** Milliseconds that the last cutover spent in its bake, by the baker's own times. */
function lastBake(): number {
  const file = join(checkout.directory, ".switchyard/box/state/systems/chrono/cutover-phase.json");
  const { steps } = JSON.parse(readFileSync(file, "utf8")) as { steps: { step: string; at: string }[] };
  const at = (name: string) => Date.parse(steps.find(({ step }) => step === name)?.at ?? "");
  return at("confirm") - at("bake");
}

/** Milliseconds from now until the release answers. */
async function firstAnswer(release: string): Promise<number> {
  const began = performance.now();
  for (;;) {
    const response = await fetch(`http://127.0.0.1:${port}/`);
    await response.text();
    if (response.headers.get("x-release") === release) return performance.now() - began;
    await pause(5);
  }
}

function must({ code, output, milliseconds }: Ended): number {
  if (code !== 0) throw new Error(output);
  return milliseconds;
}

function show(milliseconds = 0): string {
  return `${(milliseconds / 1000).toFixed(2)} s`;
}
