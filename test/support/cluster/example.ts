import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createRepository } from "../../../examples/service/repository.ts";
import { check } from "../box/run.ts";
import type { Cluster } from "./cluster.ts";
import type { Image } from "./images.ts";
import { nodeProgram } from "./layers.ts";

/** Port the example listens on in its image. */
export const examplePort = 8080;

/**
 * Builds releases of the example service as its repository has them and puts them on the node as images, by tag:
 * `switchyard.test/example:<tag>`, listening on all addresses; everything else is told by its environment.
 */
export async function exampleImages<Tag extends string>(
  cluster: Cluster,
  tags: readonly Tag[],
): Promise<Record<Tag, Image>> {
  const folder = mkdtempSync(join(tmpdir(), "switchyard-example-"));
  try {
    const { path } = await createRepository(join(folder, "example.git"));
    const images: [Tag, Image][] = [];
    for (const tag of tags) {
      const tree = join(folder, tag);
      mkdirSync(tree);
      const words = ["sh", "-c", 'git --git-dir "$1" archive "$2" | tar -x -C "$3"', "sh", path, tag, tree];
      await check(words);
      await check([nodeProgram, "build.mjs"], { directory: tree });
      const image = await cluster.importImage({
        name: `switchyard.test/example:${tag}`,
        contents: {
          "/app/dist": { copyOf: join(tree, "dist") },
          "/app/migrations": { copyOf: join(tree, "migrations") },
        },
        entrypoint: ["node", "/app/dist/service.mjs"],
        environment: { HOST: "0.0.0.0", PORT: `${examplePort}` },
        workingDirectory: "/app",
      });
      images.push([tag, image]);
    }
    return Object.fromEntries(images) as Record<Tag, Image>;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
