import { createInterface } from "node:readline";
import { Tally } from "./tally.ts";
import { startTraffic } from "./traffic.ts";

/**
 * The load as a process of its own (load.ts starts it in the client's network). Lines on stdin: first the plan as
 * JSON, then `summary`, `recent` or `stop`; each is answered by one line of JSON on stdout. Ends after `stop`, or when
 * stdin does.
 */

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const plan = await lines.next();
if (!plan.done) {
  const tally = new Tally();
  const stop = startTraffic(JSON.parse(plan.value), (record) => tally.add(record));
  answer("started");
  for (let line = await lines.next(); !line.done; line = await lines.next()) {
    if (line.value === "stop") break;
    answer(line.value === "recent" ? tally.recent() : tally.summary());
  }
  await stop();
  answer(tally.summary());
}
process.stdin.destroy();

function answer(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}
