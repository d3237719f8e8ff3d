import { fileURLToPath } from "node:url";
import { build } from "esbuild";

/** A program of this repository as one file, for whatever Node a target has, from 18 (Debian 12) on. */
export async function bundle(program: URL): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(program)],
    bundle: true,
    platform: "node",
    target: "node18",
    format: "cjs",
    minify: true,
    write: false,
    legalComments: "none",
    external: ["pg-native"],
    logLevel: "silent",
  });
  return outputFiles[0]?.text ?? "";
}
