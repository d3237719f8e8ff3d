import { createInterface } from "node:readline";
import { Tally } from "./tally.ts";
import { startTraffic, type TrafficPlan } from "./traffic.ts";

/**
 * The load as a process of its own (load.ts starts it in the client's network). Lines on stdin: first the plan as
 * JSON, then `begin`, `summary`, `recent` or `stop`; each is answered by one line of JSON on stdout. Ends after `stop`, or when
 * stdin does.
 */

// Whoever asked may be gone before the answer is there: a test that failed, or was stopped. That is no fault of the load.
process.stdout.on("error", () => process.exit(0));

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const first = await lines.next();
if (!first.done) {
  const plan = JSON.parse(first.value) as TrafficPlan & { readonly held: boolean };
  const tally = new Tally();
  let stop = async () => {};
  const begin = () => {
    stop = startTraffic(plan, (record) => tally.add(record));
  };
  if (!plan.held) begin();
  answer("started");
  for (let line = await lines.next(); !line.done; line = await lines.next()) {
    if (line.value === "stop") break;
    if (line.value === "begin") begin();
    answer(line.value === "recent" ? tally.recent() : tally.summary());
  }
  await stop();
  answer(tally.summary());
}
process.stdin.destroy();

function answer(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}
