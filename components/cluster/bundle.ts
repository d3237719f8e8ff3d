import { build } from "esbuild";

/** The baker as one file for any Node from 18 on. A ConfigMap holds a mebibyte. */
export async function bundleBaker(): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [new URL("baker/main.ts", import.meta.url).pathname],
    bundle: true,
    platform: "node",
    target: "node18",
    format: "cjs",
    minify: true,
    write: false,
    legalComments: "none",
    logLevel: "silent",
  });
  const program = outputFiles[0]?.text ?? "";
  if (program.length > 900_000)
    throw new Error(`the baker has ${program.length} bytes; a ConfigMap holds a mebibyte`);
  return program;
}
