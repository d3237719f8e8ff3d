import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { exclusively } from "../../components/box/toolkit/exclusive.ts";
import type { Host } from "../../components/box/toolkit/host.ts";

let folder: string;
const host = () => ({ stateDirectory: folder }) as unknown as Host;
const module = new URL("../../components/box/toolkit/exclusive.ts", import.meta.url).href;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "switchyard-exclusive-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

test("verbs of one name work one after the other, in whole, and leave nothing", async () => {
  const journal: string[] = [];
  const work = (name: string) => async () => {
    journal.push(`${name} begins`);
    await new Promise((resolve) => setImmediate(resolve));
    journal.push(`${name} ends`);
  };
  await Promise.all(["a", "b", "c", "d"].map((name) => exclusively(host(), "x", work(name))));
  expect(journal).toHaveLength(8);
  for (let index = 0; index < 8; index += 2) {
    expect(journal[index + 1]).toBe(journal[index]?.replace("begins", "ends"));
  }
  expect(readdirSync(folder)).toEqual([]);
});

test("many processes that find the same dead holder never work beside each other", async () => {
  const holder = inProcess(
    'writeFileSync(`${folder}/held`, ""); await new Promise(() => setInterval(() => {}, 1000));',
  );
  await fileAppears(join(folder, "held"));
  writeFileSync(join(folder, "count"), "0");
  // Each reads, waits a moment and writes one more: two at once would lose one.
  const increment = `
    const count = Number(readFileSync(\`\${folder}/count\`, "utf8"));
    await new Promise((resolve) => setTimeout(resolve, 5));
    writeFileSync(\`\${folder}/count\`, String(count + 1));`;
  const waiting = Array.from({ length: 6 }, () => inProcess(increment));
  holder.kill("SIGKILL");
  const codes = await Promise.all(waiting.map(async (child) => (await once(child, "close"))[0] as number));
  expect(codes).toEqual([0, 0, 0, 0, 0, 0]);
  expect(readFileSync(join(folder, "count"), "utf8")).toBe("6");
});

function inProcess(body: string) {
  const program = `
    import { readFileSync, writeFileSync } from "node:fs";
    import { exclusively } from ${JSON.stringify(module)};
    const folder = ${JSON.stringify(folder)};
    await exclusively({ stateDirectory: folder }, "x", async () => { ${body} });`;
  return spawn(
    process.execPath,
    ["--disable-warning=ExperimentalWarning", "--input-type=module", "-e", program],
    {
      stdio: ["ignore", "ignore", "inherit"],
    },
  );
}

async function fileAppears(path: string): Promise<void> {
  await expect
    .poll(() => readdirSync(folder).some((name) => path.endsWith(name)), { timeout: 10_000 })
    .toBe(true);
}
