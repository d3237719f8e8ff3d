import { Agent, type ClientRequest, request } from "node:http";
import type { ConnectionKind, RequestRecord } from "./tally.ts";

/** What the clients do; all values given. Shapes and defaults: `LoadOptions`. */
export interface TrafficPlan {
  readonly urls: readonly string[];
  readonly newConnectionClients: number;
  readonly keepAliveClients: number;
  readonly requestsPerSecond: number;
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly timeoutSeconds: number;
}

/**
 * Starts the clients. Each sends one request at a time, at its rate or as fast as the answers come, and never sends
 * one twice: node:http does not, fetch would. Returns the function that stops them once what is under way has ended.
 */
export function startTraffic(
  plan: TrafficPlan,
  onRequest: (record: RequestRecord) => void,
): () => Promise<void> {
  const stopped = new AbortController();
  const kinds: ConnectionKind[] = [
    ...Array<ConnectionKind>(plan.newConnectionClients).fill("new"),
    ...Array<ConnectionKind>(plan.keepAliveClients).fill("keepAlive"),
  ];
  const clients = kinds.map((kind, index) => {
    // Evenly spread, so that the load is a stream and not a beat.
    const delayMs = (index / kinds.length) * (1000 / plan.requestsPerSecond);
    return runClient(plan, kind, delayMs, stopped.signal, onRequest);
  });
  return async () => {
    stopped.abort();
    await Promise.all(clients);
  };
}

async function runClient(
  plan: TrafficPlan,
  connection: ConnectionKind,
  delayMs: number,
  stopped: AbortSignal,
  onRequest: (record: RequestRecord) => void,
): Promise<void> {
  const intervalMs = 1000 / plan.requestsPerSecond;
  const agent = new Agent({ keepAlive: connection === "keepAlive", maxSockets: 1 });
  let due = performance.now() + delayMs;
  for (let turn = 0; !stopped.aborted; turn += 1) {
    const wait = due - performance.now();
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
    if (stopped.aborted) break;
    // After a slow answer the rate goes on from there: a burst to catch up would be another load.
    due = Math.max(due + intervalMs, performance.now());
    const url = plan.urls[turn % plan.urls.length] ?? "";
    onRequest(await send(plan, url, agent, connection));
  }
  agent.destroy();
}

function send(
  plan: TrafficPlan,
  url: string,
  agent: Agent,
  connection: ConnectionKind,
): Promise<RequestRecord> {
  const start = Date.now();
  return new Promise((resolve) => {
    const finish = (rest: Partial<RequestRecord>) => {
      clearTimeout(timer);
      resolve({ connection, url, start, end: Date.now(), ...rest });
    };
    const sent = begin(plan, url, agent);
    if (sent instanceof Error) {
      resolve({ connection, url, start, end: Date.now(), failure: codeOf(sent) });
      return;
    }
    let late = false;
    let answered = false;
    const timer = setTimeout(() => {
      late = true;
      sent.destroy();
    }, plan.timeoutSeconds * 1000);
    const fail = (failure: string) =>
      finish({ failure: late ? "timeout" : failure, reused: sent.reusedSocket });
    sent.once("response", (response) => {
      answered = true;
      const status = response.statusCode ?? 0;
      const release = `${response.headers["x-release"] ?? "none"}`;
      response.resume();
      response.once("close", () => {
        if (!response.complete) {
          const failure = late ? "timeout" : "cut short";
          finish({ status, release, failure, reused: sent.reusedSocket });
        } else if (status >= 400) {
          finish({ status, release, failure: `status ${status}`, reused: sent.reusedSocket });
        } else finish({ status, release });
      });
      // The close event that follows says the same.
      response.on("error", () => {});
    });
    // Between two requests nobody else listens: node hands a kept socket over from one listener to the next.
    sent.once("socket", (socket) => {
      if (!socket.listeners("error").includes(ignore)) socket.on("error", ignore);
    });
    sent.on("error", (error) => {
      if (!answered) fail(codeOf(error));
    });
    sent.end(plan.body);
  });
}

/** What cannot even be asked for, as a port that does not exist, is a failed request and not the end of the client. */
function begin(plan: TrafficPlan, url: string, agent: Agent): ClientRequest | Error {
  const headers = { ...plan.headers, "content-length": Buffer.byteLength(plan.body) };
  try {
    return request(url, { agent, method: plan.method, headers });
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

/** The request over a socket says what became of it; the socket itself has nothing to add. */
function ignore(): void {}

function codeOf(error: NodeJS.ErrnoException): string {
  return error.code ?? error.message;
}
