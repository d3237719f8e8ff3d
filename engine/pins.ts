/** What is built from Go modules where it cannot be downloaded: versions and sums are those of engine/go/. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { checkout, type Environment, engineCache } from "./checkout.ts";

export interface Pin {
  /** For messages. */
  readonly title: string;
  readonly program: string;
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
  /** What people install instead of building, and where they find how. */
  readonly install: { readonly what: string; readonly where: string };
  /** Go variable that the version is linked into. */
  readonly versionVariable: string;
}

const pulumi = {
  install: { what: "Pulumi", where: "https://www.pulumi.com/docs/install/" },
  versionVariable: "github.com/pulumi/pulumi/sdk/v3/go/common/version.Version",
};

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
    ...pulumi,
  });
  // The CLI's folder holds the host too (it warns of one that stands elsewhere), so it is another with another host.
  const cli = pin(env, ["cli", "host"], "github.com/pulumi/pulumi/pkg/v3", {
    title: "the Pulumi CLI",
    program: "pulumi",
    usually: "about 3 min on two cores",
    ...pulumi,
  });
  return { cli, host };
}

/** The open-model load generator of the gates (SAN-3, SAN-4). */
export function generatorPin(env: Environment): Pin {
  return pin(env, ["vegeta"], "github.com/tsenart/vegeta/v12", {
    title: "the load generator vegeta",
    program: "vegeta",
    usually: "under a minute",
    install: { what: "vegeta", where: "https://github.com/tsenart/vegeta#install" },
    versionVariable: "main.Version",
  });
}

function pin(
  env: Environment,
  [name, ...others]: readonly ["cli" | "host" | "vegeta", ...string[]],
  goModule: string,
  rest: Pick<Pin, "title" | "program" | "usually" | "install" | "versionVariable">,
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
