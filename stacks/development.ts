import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { local } from "@pulumi/command";

const service = new URL("../examples/service/", import.meta.url);
const worker = new URL("../examples/worker/", import.meta.url);

/** Folder of the example Worker's built versions, as the development stack's config names it. */
const workers = ".switchyard/workers";

/** The git repository that development deploys from: the example service with its tags; made again when it changes. */
export function exampleRepository(path: string): local.Command {
  return new local.Command("example-repository", {
    create: `engine/node.sh examples/service/create-repository.ts ${path}`,
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

function hashOfFolder(folder: URL): string {
  const hash = createHash("sha256");
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  );
  const paths = files.map(({ parentPath, name }) => `${parentPath}/${name}`).sort();
  for (const path of paths) hash.update(path.slice(folder.pathname.length - 1)).update(readFileSync(path));
  return hash.digest("hex");
}
