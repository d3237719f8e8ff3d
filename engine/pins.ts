/** What the engine is built of where it cannot be downloaded: versions and sums are those of engine/go/. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { checkout, type Environment, engineCache } from "./checkout.ts";

export interface Pin {
  /** For messages. */
  readonly title: string;
  readonly program: "pulumi" | "pulumi-language-nodejs";
  /** Folder with the go.mod and go.sum that pin it. */
  readonly module: string;
  /** Go package to build. */
  readonly package: string;
  /** With its leading v. */
  readonly version: string;
  /** Folder that the program stands in once built; its name changes with any pinned version or sum. */
  readonly folder: string;
  /** For the progress line. */
  readonly usually: string;
}

/** Oldest CLI that is taken from PATH: the one that all this is tried with. */
export const oldestCli = "3.250.0";

export interface Pins {
  readonly cli: Pin;
  readonly host: Pin;
}

export function pins(env: Environment): Pins {
  const host = pin(env, ["host"], "github.com/pulumi/pulumi/sdk/v3", {
    title: "Pulumi's Node language host",
    program: "pulumi-language-nodejs",
    usually: "under a minute",
  });
  // The CLI's folder holds the host too (it warns of one that stands elsewhere), so it is another with another host.
  const cli = pin(env, ["cli", "host"], "github.com/pulumi/pulumi/pkg/v3", {
    title: "the Pulumi CLI",
    program: "pulumi",
    usually: "about 3 min on two cores",
  });
  return { cli, host };
}

function pin(
  env: Environment,
  [name, ...others]: readonly ["cli" | "host", ...string[]],
  goModule: string,
  rest: Pick<Pin, "title" | "program" | "usually">,
): Pin {
  const module = join(checkout, "engine", "go", name);
  const mod = readFileSync(join(module, "go.mod"), "utf8");
  const version = new RegExp(`${goModule.replaceAll(".", "\\.")} (v[\\d.]+)`).exec(mod)?.[1];
  const goPackage = /^tool (\S+)$/m.exec(mod)?.[1];
  if (version === undefined || goPackage === undefined) {
    throw new Error(`${join(module, "go.mod")} must name ${goModule} with a version, and one tool`);
  }
  const key = createHash("sha256");
  for (const folder of [name, ...others]) {
    for (const file of ["go.mod", "go.sum"])
      key.update(readFileSync(join(checkout, "engine", "go", folder, file)));
  }
  const where = `${name}-${version}-${key.digest("hex").slice(0, 12)}-${process.platform}-${process.arch}`;
  return { ...rest, module, package: goPackage, version, folder: join(engineCache(env), where, "bin") };
}
