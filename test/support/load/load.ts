import { spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { until } from "../box/processes.ts";
import type { LoadSummary, RequestRecord } from "./tally.ts";
import type { TrafficPlan } from "./traffic.ts";

export type { ConnectionKind, LoadSummary, ReleaseTally, RequestRecord } from "./tally.ts";

export interface LoadOptions {
  /** A box's `enter`: the load runs in its client's network. Default: this machine's. */
  readonly enter?: readonly string[];
  /** `http://…`; each client takes them in turn. */
  readonly urls: readonly string[];
  /** Clients that open a connection for each request. Default 8. */
  readonly newConnectionClients?: number;
  /** Clients that keep their connection until the server says `Connection: close`. Default 8. */
  readonly keepAliveClients?: number;
  /** Of each client, at most. Default 100. */
  readonly requestsPerSecond?: number;
  /** Default GET. */
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Default: empty. */
  readonly body?: string;
  /** A request not answered in full by then has failed. Default 10. */
  readonly timeoutSeconds?: number;
  /** The process is there, and its clients wait for `begin`. Default: they are at work at once. */
  readonly held?: boolean;
}

/** A constant load that counts every request that failed and retries none. */
export interface Load {
  /** Lets held clients go. */
  begin(): Promise<unknown>;
  /** What happened since the start. */
  summary(): Promise<LoadSummary>;
  /** The last 2,000 requests in the order they ended. */
  recent(): Promise<RequestRecord[]>;
  /** Waits until the summary satisfies `condition`; rejects, with the summary, after the timeout (default 30). */
  until(condition: (summary: LoadSummary) => boolean, timeoutSeconds?: number): Promise<LoadSummary>;
  /** Lets what is under way end and resolves with the final summary; asked again, with the same one. */
  stop(): Promise<LoadSummary>;
}

/** Starts the load and resolves as soon as its clients are at work. It ends with this process, if not stopped before. */
export async function startLoad(options: LoadOptions): Promise<Load> {
  const plan: TrafficPlan = {
    urls: options.urls,
    newConnectionClients: options.newConnectionClients ?? 8,
    keepAliveClients: options.keepAliveClients ?? 8,
    requestsPerSecond: options.requestsPerSecond ?? 100,
    method: options.method ?? "GET",
    headers: options.headers ?? {},
    body: options.body ?? "",
    timeoutSeconds: options.timeoutSeconds ?? 10,
  };
  if (plan.urls.length === 0) throw new Error("startLoad: urls is empty, expected at least one");

  const words = [...(options.enter ?? []), process.execPath, join(import.meta.dirname, "client.ts")];
  const child = spawn(words[0] ?? "", words.slice(1), { stdio: ["pipe", "pipe", "inherit"] });
  let ended: string | undefined;
  // What was asked, in order: answers come in the same order.
  const waiting: { resolve: (line: string) => void; reject: (error: Error) => void }[] = [];
  createInterface({ input: child.stdout }).on("line", (line) => waiting.shift()?.resolve(line));
  const onEnd = (how: string) => {
    ended = how;
    for (const one of waiting.splice(0)) one.reject(new Error(`the load client ${how}`));
  };
  child.once("error", (error) => onEnd(`could not be started: ${error.message}`));
  child.once("close", (code, signal) => onEnd(`ended (${signal ?? `exit code ${code}`})`));
  child.stdin.on("error", () => {});

  const ask = async <T>(line: string): Promise<T> => {
    if (ended !== undefined) throw new Error(`the load client ${ended}`);
    const answer = await new Promise<string>((resolve, reject) => {
      waiting.push({ resolve, reject });
      child.stdin.write(`${line}\n`);
    });
    return JSON.parse(answer);
  };

  await ask(JSON.stringify({ ...plan, held: options.held ?? false }));
  let final: Promise<LoadSummary> | undefined;
  return {
    begin: () => ask("begin"),
    summary: () => ask("summary"),
    recent: () => ask("recent"),
    until: async (condition, timeoutSeconds = 30) => {
      let last = await ask<LoadSummary>("summary");
      const holds = async () => {
        last = await ask<LoadSummary>("summary");
        return condition(last);
      };
      await until(holds, timeoutSeconds, "the load never came to it", 100).catch((error) => {
        throw new Error(`${error.message}: ${JSON.stringify(last)}`);
      });
      return last;
    },
    stop: () => {
      final ??= ask("stop");
      return final;
    },
  };
}
