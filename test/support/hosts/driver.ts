import { appendFile, readFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import type { Host } from "../../../components/box/toolkit/host.ts";
import { openHost } from "../../../components/box/toolkit/open-host.ts";

/**
 * Stands in for switchyard-box in the hosts' own tests. `<method> <arguments as JSON>` calls the host; `job <log>
 * <seconds> <exit code>…` writes its pid to the log and ends, the first time after the seconds, with each code in turn; `boot` writes to the state
 * folder's `boots` whether the port in its `probe` accepts connections at that moment.
 */
const [word = "", ...rest] = process.argv.slice(2);

async function main(): Promise<void> {
  if (word === "job") return runJob(rest);
  const host = await openHost();
  return word === "boot" ? noteBoot(host) : call(host, word as keyof Host, JSON.parse(rest[0] ?? "[]"));
}

async function call(host: Host, method: keyof Host, values: unknown[]): Promise<void> {
  const operation = host[method] as (...values: unknown[]) => Promise<unknown>;
  try {
    const started = performance.now();
    const value = (await operation.apply(host, values)) ?? null;
    process.stdout.write(`${JSON.stringify({ value, milliseconds: performance.now() - started })}\n`);
  } catch (error) {
    process.stdout.write(`${JSON.stringify({ error: (error as Error).message })}\n`);
  }
}

async function runJob([log = "", seconds = "0", ...codes]: string[]): Promise<void> {
  await appendFile(log, `${process.pid}\n`);
  const runs = (await readFile(log, "utf8")).trim().split("\n").length;
  if (runs === 1) await new Promise((resolve) => setTimeout(resolve, Number(seconds) * 1000));
  process.exitCode = Number(codes[runs - 1] ?? 0);
}

async function noteBoot(host: Host): Promise<void> {
  const port = Number(await readFile(join(host.stateDirectory, "probe"), "utf8").catch(() => "0"));
  const accepts = await new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
  const line = { boot: await host.bootId(), doorAccepts: accepts };
  await appendFile(join(host.stateDirectory, "boots"), `${JSON.stringify(line)}\n`);
}

main().catch((error) => {
  process.stderr.write(`${error}\n`);
  process.exitCode = 1;
});
