import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";

/** A program of this repository as one file, for whatever Node a target has, from 18 (Debian 12) on. */
export function bundle(program: URL): Promise<string> {
  const known = bundles.get(program.href) ?? build(program);
  bundles.set(program.href, known);
  return known;
}

/** Targets of one kind ask for the same program: it is built once a run. */
const bundles = new Map<string, Promise<string>>();

async function build(program: URL): Promise<string> {
  const { outputFiles } = await esbuild.build({
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
