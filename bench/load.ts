import { fork } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { lineText } from "../components/gates/gate-report.ts";
import { sanctumTests } from "../components/gates/limits.ts";
import { loadGate } from "../components/gates/load.ts";
import type { LoadSummary } from "../components/gates/load-result.ts";
import { locateGenerator } from "../engine/generator.ts";
import { progressLine } from "../engine/progress.ts";

/**
 * Whether the load generator holds its rate, and hides no waiting: `node bench/load.ts [seconds]` runs the load gates of
 * SAN-3 (1 KiB and 64 KiB at 1000 requests/s; `120` is the document's time) against a small server in a process of its
 * own, then once more with a server that stalls for 1 s in the middle. The last column is what the p99 must be when
 * every request that was due during the stall counts with the time it really waited.
 */
const seconds = Number(process.argv[2] ?? 20);
const stallSeconds = 1;

if (process.argv[2] === "serve") serve();
else await bench();

async function bench(): Promise<void> {
  const server = fork(new URL(import.meta.url), ["serve"]);
  try {
    const [port] = (await once(server, "message")) as [number];
    const targets = [{ url: `http://127.0.0.1:${port}/` }];
    const find = () => locateGenerator(process.env, progressLine(process.stderr));
    for (const test of sanctumTests.load) {
      const report = await loadGate({ ...test, seconds, targets }, find);
      print(`${test.name}, ${test.rate}/s for ${seconds} s`, report.lines.map(lineText), report.evidence);
    }
    const [small] = sanctumTests.load;
    const timer = setTimeout(() => server.send(stallSeconds), (seconds * 1000) / 2);
    const report = await loadGate({ ...small, name: "stall", seconds, targets }, find);
    clearTimeout(timer);
    print(`a stall of ${stallSeconds} s in the middle`, report.lines.map(lineText), report.evidence);
    // Of all requests, the share that was due during the stall waited evenly between 0 and its length.
    const expected = stallSeconds - 0.01 * seconds;
    console.log(
      `  p99 expected from the arithmetic: ${expected > 0 ? `${expected.toFixed(3)} s` : "below the stall"}`,
    );
  } finally {
    server.kill();
  }
}

function print(title: string, lines: readonly string[], evidence: object): void {
  const { summary } = evidence as { summary: LoadSummary };
  const { latency, lateness } = summary;
  const milliseconds = (value: number | undefined) => `${((value ?? 0) * 1000).toFixed(2)} ms`;
  console.log(title);
  for (const line of lines) console.log(`  ${line}`);
  console.log(
    `  latency p50 ${milliseconds(latency?.p50)}, p95 ${milliseconds(latency?.p95)}, p99 ${milliseconds(latency?.p99)}, ` +
      `max ${milliseconds(latency?.max)}; sent late by p50 ${milliseconds(lateness?.p50)}, ` +
      `p99 ${milliseconds(lateness?.p99)}, max ${milliseconds(lateness?.max)}`,
  );
}

/** Answers at once, except for the seconds it is told to stall. */
function serve(): void {
  let until = 0;
  const server = createServer((request, response) => {
    request.resume().on("end", () => {
      const left = until - performance.now();
      if (left > 0) setTimeout(() => response.end("ok"), left);
      else response.end("ok");
    });
  });
  server.listen(0, "127.0.0.1", () => process.send?.((server.address() as AddressInfo).port));
  process.on("message", (stall: number) => {
    until = performance.now() + stall * 1000;
  });
}
