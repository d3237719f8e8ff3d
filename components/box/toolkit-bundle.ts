import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { build } from "esbuild";

/** The toolkit as one file for a box's own Node (18, Debian 12), and the shell script that installs it there. */
export interface ToolkitBundle {
  readonly sha256: string;
  /** Script for `sh -s`: installs Node where it is missing, then this version of the toolkit. Safe to repeat. */
  readonly installer: string;
}

const here = new URL(".", import.meta.url).pathname;

export async function bundleToolkit(): Promise<ToolkitBundle> {
  const { outputFiles } = await build({
    entryPoints: [`${here}toolkit/main.ts`],
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
  const bundle = Buffer.from(outputFiles[0]?.contents ?? []);
  const sha256 = createHash("sha256").update(bundle).digest("hex");
  const encoded = bundle.toString("base64").replace(/.{76}/g, "$&\n");
  const script = readFileSync(`${here}install-toolkit.sh`, "utf8");
  return {
    sha256,
    installer: `sha256=${sha256}\n${script}\ninstall_toolkit <<'BUNDLE'\n${encoded}\nBUNDLE\n`,
  };
}
