#!/usr/bin/env node
import { text } from "node:stream/consumers";
import { type EdgeAddress, WorkerApi } from "./api.ts";
import { arm, cutover, recover, withdrawTraffic } from "./verbs/cutover.ts";
import { type Delivery, gates, preflight, refuseIfServing, remove, upload } from "./verbs/place.ts";
import { dismantle, type Ground, prepare } from "./verbs/prepare.ts";

/**
 * The verbs of the edge, run on the runner: `main.ts <verb> <system> [<release> <fingerprint>]`, with the leg's address
 * and whatever else the verb reads as JSON on standard input. Each says what it left in one line of JSON, and is safe
 * to repeat and to be killed. The API's token is CLOUDFLARE_API_TOKEN of the environment.
 */
interface Input {
  readonly address: EdgeAddress;
}

type Verb = (api: WorkerApi, input: unknown, system: string, release: string, id: string) => Promise<unknown>;

const verbs: Readonly<Record<string, Verb>> = {
  ground: (api, input) => prepare(api, input as Ground),
  dismantle: (api) => dismantle(api),
  preflight: (api, input) => preflight(api, deliveryOf(input)),
  upload: (api, input) => upload(api, deliveryOf(input)),
  remove: (api, _input, system, release, id) => remove(api, system, release, id),
  gates: (api, _input, system, release, id) => gates(api, system, release, id),
  guarded: async () => undefined,
  guard: (api, _input, system, release, id) => refuseIfServing(api, system, release, id),
  cutover: (api, input, system, release, id) =>
    cutover(api, system, release, { to: id, receipt: (input as { receipt: string }).receipt }),
  withdraw: (api, _input, system) => withdrawTraffic(api, system),
  arm: (api, input) => arm(api, (input as { minutes: number }).minutes),
  recover: (api) => recover(api),
};

function deliveryOf(input: unknown): Delivery {
  const { fingerprint, colour, manifest, receipt, secrets } = input as Delivery;
  return { fingerprint, colour, manifest, receipt, ...(secrets ? { secrets } : {}) };
}

async function main([name = "", system = "", release = "", id = ""]: string[]): Promise<string> {
  const verb = verbs[name];
  if (!verb) throw new Error(`there is no verb "${name}"; there are: ${Object.keys(verbs).join(", ")}`);
  const input = JSON.parse(await text(process.stdin)) as Input;
  const left = await verb(new WorkerApi(input.address), input, system, release, id);
  return `${JSON.stringify(left ?? { done: name })}\n`;
}

main(process.argv.slice(2)).then(
  (line) => process.stdout.write(line, () => process.exit(0)),
  (error: Error) => process.stderr.write(`${error.message}\n`, () => process.exit(1)),
);
