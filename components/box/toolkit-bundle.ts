import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { bundle } from "../bundle.ts";

/** The toolkit as one file for a box's own Node (18, Debian 12), and the shell script that installs it there. */
export interface ToolkitBundle {
  readonly sha256: string;
  /** Script for `sh -s`: installs Node where it is missing, then this version of the toolkit. Safe to repeat. */
  readonly installer: string;
}

export async function bundleToolkit(): Promise<ToolkitBundle> {
  const program = Buffer.from(await bundle(new URL("toolkit/main.ts", import.meta.url)));
  const sha256 = createHash("sha256").update(program).digest("hex");
  // The engine keeps it twice and writes its whole state after every step: small is fast there.
  const encoded = gzipSync(program, { level: 9 }).toString("base64").replace(/.{76}/g, "$&\n");
  const script = readFileSync(new URL("install-toolkit.sh", import.meta.url), "utf8");
  return {
    sha256,
    installer: `sha256=${sha256}\n${script}\ninstall_toolkit <<'BUNDLE'\n${encoded}\nBUNDLE\n`,
  };
}
