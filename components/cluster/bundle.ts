import { bundle } from "../bundle.ts";

/** The baker as one file for any Node from 18 on. A ConfigMap holds a mebibyte. */
export async function bundleBaker(): Promise<string> {
  const program = await bundle(new URL("baker/main.ts", import.meta.url));
  if (program.length > 900_000)
    throw new Error(`the baker has ${program.length} bytes; a ConfigMap holds a mebibyte`);
  return program;
}
