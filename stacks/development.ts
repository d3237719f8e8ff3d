import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { local } from "@pulumi/command";

const folder = new URL("../examples/service/", import.meta.url);

/** The git repository that development deploys from: the example service with its tags; made again when it changes. */
export function exampleRepository(path: string): local.Command {
  return new local.Command("example-repository", {
    create: `engine/node.sh examples/service/create-repository.ts ${path}`,
    stdin: hashOfFolder(),
    logging: local.Logging.None,
  });
}

function hashOfFolder(): string {
  const hash = createHash("sha256");
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  );
  const paths = files.map(({ parentPath, name }) => `${parentPath}/${name}`).sort();
  for (const path of paths) hash.update(path.slice(folder.pathname.length - 1)).update(readFileSync(path));
  return hash.digest("hex");
}
