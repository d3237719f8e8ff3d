import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { lineText, passed } from "../components/gates/gate-report.ts";
import { sanctumTests } from "../components/gates/limits.ts";
import { soakGate } from "../components/gates/soak.ts";
import { locateGenerator } from "../engine/generator.ts";
import { progressLine } from "../engine/progress.ts";
import { createRepository } from "../examples/service/repository.ts";

/**
 * SAN-4's soak of the example service: 500 requests/s for 15 min (`node bench/soak.ts [seconds]`, default 900), with
 * memory growth, CPU and crashes from its own /metrics.
 */
const seconds = Number(process.argv[2] ?? sanctumTests.soak.seconds);
const folder = mkdtempSync(join(tmpdir(), "switchyard-soak-"));
await createRepository(join(folder, "example.git"));
execFileSync("git", [
  "-c",
  "advice.detachedHead=false",
  "clone",
  "--quiet",
  "--branch",
  "v1",
  join(folder, "example.git"),
  join(folder, "v1"),
]);
execFileSync(process.execPath, ["build.mjs"], { cwd: join(folder, "v1"), stdio: "ignore" });
const service = spawn(process.execPath, ["dist/service.mjs"], {
  cwd: join(folder, "v1"),
  env: { ...process.env, PORT: "0" },
  stdio: ["ignore", "pipe", "inherit"],
});
try {
  const [said] = (await once(service.stdout, "data")) as [Buffer];
  service.stdout.resume();
  const origin = `http://${/listening on (\S+)/.exec(String(said))?.[1] ?? ""}`;
  const report = await soakGate(
    {
      ...sanctumTests.soak,
      seconds,
      targets: [{ url: `${origin}/api/messages` }],
      services: [{ name: "example", metrics: `${origin}/metrics` }],
    },
    () => locateGenerator(process.env, progressLine(process.stderr)),
  );
  console.log(`${report.gate}, ${sanctumTests.soak.rate}/s for ${seconds} s`);
  for (const line of report.lines) console.log(`  ${lineText(line)}`);
  process.exitCode = passed(report) ? 0 : 1;
} finally {
  service.kill();
  rmSync(folder, { recursive: true, force: true });
}
