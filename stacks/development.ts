import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { local } from "@pulumi/command";
import { shellCommand } from "../components/box/quote.ts";

const service = join(import.meta.dirname, "../examples/service");
const worker = join(import.meta.dirname, "../examples/worker");

/** Folder of the example Worker's built versions, as the development stack's config names it. */
const workers = ".switchyard/workers";

/** The git repository that development deploys from: the example service with its tags; made again when it changes. */
export function exampleRepository(path: string): local.Command {
  return new local.Command("example-repository", {
    create: shellCommand("engine/node.sh", "examples/service/create-repository.ts", path),
    stdin: hashOfFolder(service),
    logging: local.Logging.None,
  });
}

/**
 * The example Worker's versions. A release's fingerprint is taken of its files, so they are there before the first
 * resource; built again when their source changes.
 */
export async function exampleWorkers(): Promise<void> {
  const mark = join(workers, "source.sha256");
  const wanted = hashOfFolder(worker);
  if ((await readFile(mark, "utf8").catch(() => "")) === wanted) return;
  const { buildExampleWorkers } = await import("../examples/worker/build.ts");
  await buildExampleWorkers(workers);
  await writeFile(mark, wanted);
}

function hashOfFolder(folder: string): string {
  const hash = createHash("sha256");
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  );
  const paths = files.map(({ parentPath, name }) => `${parentPath}/${name}`).sort();
  for (const path of paths) hash.update(`/${relative(folder, path)}`).update(readFileSync(path));
  return hash.digest("hex");
}
