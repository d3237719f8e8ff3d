import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { build } from "esbuild";
import type { WorkerFault } from "./worker.ts";

/**
 * The example as built folders, one a version: `worker.js` with its files in `static/`, and `site/`, a page that needs
 * no code.
 */

/** v1 to v10 are good; the others are named for what is wrong with them. */
export const workerVersions: readonly { readonly version: string; readonly fault: WorkerFault | null }[] = [
  ...Array.from({ length: 10 }, (_, index) => ({ version: `v${index + 1}`, fault: null })),
  { version: "broken", fault: "errors" },
  { version: "never-healthy", fault: "never-healthy" },
  { version: "slow", fault: "slow" },
];

const source = import.meta.dirname;

/**
 * Builds every version; the same source gives the same bytes, so a version that is there already is left alone. A
 * version's folder appears whole or not at all.
 */
export async function buildExampleWorkers(folder: string): Promise<void> {
  const styles = await readFile(join(source, "assets", "style.css"), "utf8");
  await Promise.all(
    workerVersions.map(async ({ version, fault }) => {
      const files = new Map([
        ["worker.js", await bundle(version, fault)],
        ["site/index.html", page(version)],
        ["site/style.css", styles],
        ["static/style.css", styles],
      ]);
      await replaceFolder(join(folder, version), files);
    }),
  );
}

async function bundle(version: string, fault: WorkerFault | null): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [join(source, "worker.ts")],
    absWorkingDir: source,
    bundle: true,
    format: "esm",
    target: "es2024",
    define: { VERSION: JSON.stringify(version), FAULT: JSON.stringify(fault) },
    legalComments: "none",
    write: false,
    logLevel: "silent",
  });
  return outputFiles[0]?.text ?? "";
}

function page(version: string): string {
  return [
    "<!doctype html>",
    `<html lang="en"><head><meta charset="utf-8"><title>Example ${version}</title>`,
    `<link rel="stylesheet" href="/style.css"></head><body><h1>${version}</h1></body></html>`,
    "",
  ].join("\n");
}

async function replaceFolder(folder: string, files: ReadonlyMap<string, string>): Promise<void> {
  const same = await Promise.all(
    [...files].map(async ([path, text]) => {
      const found = await readFile(join(folder, path), "utf8").catch(() => null);
      return found === text;
    }),
  );
  if (same.every(Boolean)) return;
  const partial = `${folder}.${process.pid}.partial`;
  await rm(partial, { recursive: true, force: true });
  for (const [path, text] of files) {
    await mkdir(dirname(join(partial, path)), { recursive: true });
    await writeFile(join(partial, path), text);
  }
  await rm(folder, { recursive: true, force: true });
  await rename(partial, folder);
}
