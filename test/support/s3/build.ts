import { createHash } from "node:crypto";
import { accessSync, constants, readFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { built } from "../../../engine/build.ts";
import { engineCache } from "../../../engine/checkout.ts";
import type { Pin } from "../../../engine/pins.ts";

/** versitygw, a real S3 server, built once from its Go module into the cache that the engine is built into. */

const module = join(import.meta.dirname, "go");
const files = ["go.mod", "go.sum"].map((name) => readFileSync(join(module, name), "utf8"));
const version = /github\.com\/versity\/versitygw (v[\d.]+)/.exec(files[0] ?? "")?.[1] ?? "";
const key = createHash("sha256").update(files.join("")).digest("hex").slice(0, 12);
const folder = `s3-${version}-${key}-${process.platform}-${process.arch}`;

const pin: Pin = {
  title: "the S3 server versitygw",
  program: "versitygw",
  module,
  package: "github.com/versity/versitygw/cmd/versitygw",
  version,
  folder: join(engineCache(process.env), folder, "bin"),
  usually: "about 2 min on two cores",
  install: { what: "Go", where: "https://go.dev/doc/install" },
  versionVariable: "main.Version",
};

/** Path of the program, after building it unless it stands there already. */
export function s3Program(): Promise<string> {
  let told = 0;
  return built(pin, process.env, (line, last) => {
    if (!last && Date.now() - told < 20_000) return;
    told = Date.now();
    process.stderr.write(`s3: ${line}\n`);
  });
}

/** Why there can be no S3 server here; null where there can. */
export function reasonNoS3(): string | null {
  const places = (process.env.PATH ?? "").split(delimiter).map((place) => join(place, "go"));
  const found = [join(pin.folder, pin.program), ...places].some(isExecutable);
  return found ? null : "versitygw is not built, and there is no Go to build it with";
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
