import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { LoadResults, type LoadSummary } from "./load-result.ts";

/** Drives vegeta: an open model, so requests are sent when they are due, whatever became of those before. */

export interface Target {
  readonly url: string;
  /** @default "POST" where there is a body, else "GET" */
  readonly method?: string;
  /** May be secret: they travel on standard input. */
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Attack {
  /** Asked in turn. */
  readonly targets: readonly Target[];
  /** Requests a second. */
  readonly rate: number;
  readonly seconds: number;
  /** 0: no body. */
  readonly bodyBytes: number;
  /** After which an unanswered request is an error. */
  readonly timeoutSeconds: number;
}

/**
 * @param program path of vegeta
 * @param signal ends the attack at once; then this throws
 * @throws where the generator itself fails, with what it said
 */
export async function attack(program: string, attacked: Attack, signal?: AbortSignal): Promise<LoadSummary> {
  const { rate, seconds, timeoutSeconds } = attacked;
  const words = ["-rate", `${rate}/1s`, "-duration", `${seconds}s`, "-timeout", `${timeoutSeconds}s`];
  const options = [
    "-format",
    "json",
    "-max-body",
    "0",
    "-redirects",
    "-1",
    "-workers",
    String(Math.ceil(rate / 10)),
  ];
  const shooting = spawn(program, ["attack", ...words, ...options], { stdio: ["pipe", "pipe", "pipe"] });
  const encoding = spawn(program, ["encode", "-to", "csv"], { stdio: ["pipe", "pipe", "pipe"] });
  const children = [shooting, encoding];
  const stop = () => {
    for (const child of children) child.kill("SIGKILL");
  };
  const limit = setTimeout(stop, (seconds + timeoutSeconds + 30) * 1000);
  process.once("exit", stop);
  signal?.addEventListener("abort", stop, { once: true });
  try {
    const said = children.map((child) => collect(child.stderr));
    const ended = Promise.all(children.map((child) => endOf(child)));
    for (const child of children) child.stdin.on("error", () => {});
    // Results come in a binary form that only the program itself reads: a second one makes text of them.
    shooting.stdout.pipe(encoding.stdin);
    shooting.stdin.end(
      attacked.targets.map((target) => `${targetLine(target, attacked.bodyBytes)}\n`).join(""),
    );
    const results = new LoadResults(attacked);
    for await (const line of createInterface({ input: encoding.stdout })) results.add(shotOf(line));
    const codes = await ended;
    signal?.throwIfAborted();
    if (codes.some((code) => code !== 0)) {
      const text = (await Promise.all(said)).join("").trim().slice(-500);
      throw new Error(`the load generator ended with ${codes.join(" and ")}: ${text || "it said nothing"}`);
    }
    return results.summary();
  } finally {
    clearTimeout(limit);
    process.removeListener("exit", stop);
    signal?.removeEventListener("abort", stop);
    stop();
  }
}

function targetLine({ url, method, headers = {} }: Target, bodyBytes: number): string {
  const body = payload(bodyBytes);
  const sent = { ...(bodyBytes > 0 ? { "content-type": "application/json" } : {}), ...headers };
  return JSON.stringify({
    method: method ?? (bodyBytes > 0 ? "POST" : "GET"),
    url,
    header: Object.fromEntries(Object.entries(sent).map(([name, value]) => [name, [value]])),
    ...(bodyBytes > 0 ? { body: Buffer.from(body).toString("base64") } : {}),
  });
}

/** A JSON object of exactly so many bytes; below the smallest one, plain letters. */
export function payload(bytes: number): string {
  const empty = JSON.stringify({ payload: "" }).length;
  if (bytes < empty) return "x".repeat(bytes);
  return JSON.stringify({ payload: "x".repeat(bytes - empty) });
}

/** Columns: timestamp, status, latency, bytes out, bytes in, error, body, attack, number, method, url, headers. */
function shotOf(line: string) {
  const columns = csv(line);
  const [sentAt, status, latency, , , error = "", , , number, , url = ""] = columns;
  const code = Number(status);
  // Nanoseconds since 1970 have 19 digits: a number keeps them to a quarter of a microsecond.
  const shot = {
    number: Number(number),
    sentAt: Number(sentAt),
    latency: Number(latency),
    status: code,
    url,
  };
  const numbers = [shot.number, shot.sentAt, shot.latency, shot.status];
  if (columns.length < 12 || numbers.some(Number.isNaN)) {
    throw new Error(`the load generator said "${line.slice(0, 80)}", expected a result in 12 columns`);
  }
  const bad = code >= 200 && code < 400 ? "" : error || `status ${code}`;
  return { ...shot, error: bad };
}

/** One line of CSV; quotes are doubled inside quotes. */
function csv(line: string): string[] {
  if (!line.includes('"')) return line.split(",");
  return [...line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g)].map(([, quoted, bare]) =>
    quoted === undefined ? (bare ?? "") : quoted.replaceAll('""', '"'),
  );
}

async function collect(stream: Readable): Promise<string> {
  let text = "";
  for await (const chunk of stream) text = (text + String(chunk)).slice(-2000);
  return text;
}

async function endOf(child: ChildProcess): Promise<number | string> {
  const [code, signal] = (await once(child, "close")) as [number | null, string | null];
  return code ?? signal ?? "?";
}
