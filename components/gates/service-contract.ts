import { Agent, request } from "node:http";
import { setTimeout as pause } from "node:timers/promises";
import { identify, isAlive } from "../box/toolkit/process-identity.ts";
import { ask } from "./ask.ts";
import { increaseBetween, readScrape, type Scrape } from "./metrics.ts";

/** Asks a running service whether it offers what a release of it is judged by; see docs/service-contract.md. */

export interface ContractArgs {
  /** Origin without a slash at the end. @example "http://127.0.0.1:3000" */
  readonly origin: string;
  /** A path that users ask; it has to answer 2xx. @example "/" */
  readonly path: string;
  /** @example "/health" */
  readonly health: string;
  /** @example "/metrics" */
  readonly metrics: string;
  /** Counters that the system's rules name. @example ["ftso_submissions_failed_total"] */
  readonly counters: readonly string[];
}

export interface ContractRow {
  readonly what: string;
  readonly found: string;
  readonly expected: string;
  readonly ok: boolean;
}

/** Requests made between the two scrapes. */
const asked = 20;

/** A front door has moved traffic before a process is ended; what was on its way to it then arrives within this time. */
const onTheirWayMilliseconds = 100;

/** Every line of the contract that can be seen from outside. Makes 20 requests; changes nothing. */
export async function checkContract(args: ContractArgs): Promise<ContractRow[]> {
  const { origin, path, health } = args;
  const healthy = await ask(`${origin}${health}`);
  const before = await scrape(args);
  const answers = [];
  for (let count = 0; count < asked; count += 1) answers.push(await ask(`${origin}${path}`));
  const after = await scrape(args);
  const good = answers.filter(({ ok }) => ok).length;
  const bad = answers.find(({ ok }) => !ok);
  return [
    row("health", `${health} answers 2xx`, healthy.ok, statusText(healthy)),
    row(
      "requests",
      `${path} answers 2xx`,
      good === asked,
      bad ? `${good} of ${asked}, ${statusText(bad)}` : "200",
    ),
    ...metricRows(args, before, after),
  ];
}

/** @param before What the metrics page said, or why it cannot be read. */
function metricRows(args: ContractArgs, before: Scrape | string, after: Scrape | string): ContractRow[] {
  const unread = [before, after].find((one) => typeof one === "string");
  if (unread !== undefined) return [row("metrics", metricsText(args), false, unread)];
  return measuredRows(args, before as Scrape, after as Scrape);
}

const metricsText = ({ metrics }: ContractArgs) => `${metrics} answers Prometheus text`;

function measuredRows(args: ContractArgs, before: Scrape, after: Scrape): ContractRow[] {
  const { requests } = increaseBetween(before, after);
  const bounds = after.latency?.bounds.filter(Number.isFinite) ?? [];
  const shown = (there: boolean) => (there ? "shown" : "not shown");
  return [
    row("metrics", metricsText(args), true, "read"),
    row(
      "requests counted",
      `http_requests_total, else http_request_duration_seconds_count, rises with each request`,
      requests !== null && requests >= asked,
      requests === null ? "neither is shown" : `${requests} more after ${asked}`,
    ),
    row(
      "errors told apart",
      "one of these two has a label status, status_code, code or statusCode",
      after.errors !== null,
      shown(after.errors !== null),
    ),
    row(
      "paths told apart",
      "every series of it has a label route, path, handler, endpoint, uri or url",
      after.requests !== null && after.pathsTold,
      shown(after.requests !== null && after.pathsTold),
    ),
    row(
      "latency",
      "http_request_duration_seconds_bucket, in seconds, a bound at or above what the rules allow",
      bounds.length > 0,
      bounds.length === 0 ? "not shown" : `bounds up to ${bounds.at(-1)} s`,
    ),
    row(
      "restarts",
      "process_start_time_seconds",
      after.processStart !== null,
      shown(after.processStart !== null),
    ),
    ...args.counters.map((name) => {
      const value = after.counters[name] ?? null;
      return row(`counter ${name}`, "a counter", value !== null, value === null ? "not shown" : `${value}`);
    }),
  ];
}

/** What the metrics page says, or why it cannot be read. */
async function scrape({ origin, health, metrics, counters }: ContractArgs): Promise<Scrape | string> {
  const answer = await ask(`${origin}${metrics}`);
  if (!answer.ok) return statusText(answer);
  try {
    return readScrape(answer.text, { ownPaths: [health, metrics], counters });
  } catch (error) {
    return (error as Error).message;
  }
}

/**
 * Ends the process with SIGTERM while four clients ask it on connections that they keep, and go on for 100 ms: each
 * request is answered 2xx, and the process ends in its time. @throws where there is no such process
 */
export async function checkDrain(
  { origin, path }: Pick<ContractArgs, "origin" | "path">,
  pid: number,
  seconds: number,
): Promise<ContractRow[]> {
  const service = await identify(pid);
  if (service === null) throw new Error(`no process ${pid} runs: --pid takes the pid of the service itself`);
  const lost: string[] = [];
  let answered = 0;
  let left = Number.POSITIVE_INFINITY;
  const clients = Array.from({ length: 4 }, async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    while (performance.now() < left) {
      const problem = await once(`${origin}${path}`, agent);
      if (problem === null) answered += 1;
      else lost.push(problem);
    }
    agent.destroy();
  });
  await pause(500);
  const began = performance.now();
  left = began + onTheirWayMilliseconds;
  process.kill(pid, "SIGTERM");
  const deadline = began + seconds * 1000;
  while ((await isAlive(service)) && performance.now() < deadline) await pause(50);
  const ended = !(await isAlive(service));
  const took = ((performance.now() - began) / 1000).toFixed(1);
  await Promise.all(clients);
  return [
    row(
      "drain",
      "what was asked before SIGTERM or 100 ms after it is answered 2xx",
      lost.length === 0 && answered > 0,
      lost.length === 0 ? `${answered} answered, 0 lost` : `${lost.length} lost: ${lost[0]}`,
    ),
    row("stop", `the process ends within ${seconds} s of SIGTERM`, ended, ended ? `${took} s` : "still runs"),
  ];
}

/** One request on the agent's connection; null where it was answered 2xx, else what went wrong. */
function once(url: string, agent: Agent): Promise<string | null> {
  return new Promise((resolve) => {
    const failed = (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message);
    const sent = request(url, { agent, timeout: 10_000 }, (response) => {
      const { statusCode = 0 } = response;
      response.resume();
      response.once("end", () => {
        if (!response.complete) resolve("answer cut off");
        else resolve(statusCode >= 200 && statusCode < 300 ? null : `status ${statusCode}`);
      });
      response.once("error", failed);
    });
    sent.once("timeout", () => sent.destroy(new Error("no answer in 10 s")));
    sent.once("error", failed);
    sent.end();
  });
}

const row = (what: string, expected: string, ok: boolean, found: string): ContractRow => ({
  what,
  found,
  expected,
  ok,
});

const statusText = ({ status, detail }: { status: number; detail: string }) =>
  status === 0 ? `no answer (${detail})` : `${status}`;
