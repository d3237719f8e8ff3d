import { InvalidArgumentError } from "commander";
import type { ContractRow } from "../../components/gates/service-contract.ts";
import { exit } from "../session.ts";
import type { CommonOptions, Define } from "./shape.ts";

interface Options extends CommonOptions {
  readonly path: string;
  readonly health: string;
  readonly metrics: string;
  readonly counter: readonly string[];
  readonly pid?: number;
  readonly stopSeconds: number;
}

export const checkService: Define = (program, run) => {
  program
    .command("check-service <url>")
    .description(
      "whether a running service offers what its releases are judged by (docs/service-contract.md)",
    )
    .option("--path <path>", "a path that users ask", "/")
    .option("--health <path>", "answers 2xx when the service can work", "/health")
    .option("--metrics <path>", "Prometheus text", "/metrics")
    .option("--counter <name...>", "counters that the system's rules name", [])
    .option("--pid <pid>", "end this process with SIGTERM, and see that no request is lost", wholeNumber)
    .option("--stop-seconds <seconds>", "how long it may take to end", wholeNumber, 20)
    .action((url: string, options: Options) =>
      run(options, async ({ voice }) => {
        const { path, health, metrics, counter: counters, pid, stopSeconds } = options;
        const { checkContract, checkDrain } = await import("../../components/gates/service-contract.ts");
        const origin = originOf(url);
        const rows = await checkContract({ origin, path, health, metrics, counters });
        if (pid !== undefined) rows.push(...(await checkDrain({ origin, path }, pid, stopSeconds)));
        for (const row of rows) voice.line(rowText(row));
        const ok = rows.every((row) => row.ok);
        voice.line(ok ? `${origin} keeps the contract` : `${origin} does not keep the contract`);
        voice.emit("result", { result: ok ? "kept" : "broken", rows });
        return ok ? exit.ok : exit.failed;
      }),
    );
};

function rowText({ what, found, expected, ok }: ContractRow): string {
  const line = `${ok ? "✓" : "✗"} ${what.padEnd(20)} ${found}`;
  return ok ? line : `${line}\n  ${"".padEnd(20)} expected: ${expected}`;
}

function originOf(url: string): string {
  const { protocol, origin, pathname } = URL.parse(url) ?? {};
  if (origin === undefined || pathname !== "/" || (protocol !== "http:" && protocol !== "https:")) {
    throw new Error(
      `found "${url}", expected scheme, host and port such as http://127.0.0.1:3000; a path is given by --path`,
    );
  }
  return origin;
}

function wholeNumber(text: string): number {
  if (!/^[1-9]\d*$/.test(text)) throw new InvalidArgumentError("expected a whole number above 0");
  return Number(text);
}
