import { createWriteStream } from "node:fs";
import { copyFile } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { mustRun } from "../box/toolkit/run.ts";
import { digestOf } from "./content.ts";
import type { PackageKind } from "./package.ts";
import { withoutCredentials } from "./tree.ts";

/** Where crates.io says what it has. */
const cratesIo = "https://index.crates.io/";

/** The name under which another registry than crates.io is known to cargo, for one call. */
const registryName = "switchyard";

/** Rust crates, by the machine's own cargo. The token is CARGO_REGISTRY_TOKEN of the runner's environment. */
export const cargo: PackageKind = {
  async pack(folder, into, seconds) {
    const [name, version] = await identityOf(folder);
    const target = join(into, "target");
    // With cargo's own check, which compiles what is in the archive: after the upload it would come too late.
    const words = ["cargo", "package", "--quiet", "--allow-dirty", "--target-dir", target];
    await mustRun(withoutCredentials(...words), { cwd: folder, seconds });
    const file = join(into, `${name}-${version}.crate`);
    await copyFile(join(target, "package", `${name}-${version}.crate`), file);
    await mustRun(["rm", "-rf", target], { seconds: 60 });
    return { name, version, file, digest: await digestOf(file, "sha256", "hex") };
  },

  async published({ name, version }, registry) {
    const index = indexOf(registry);
    const { dl, "auth-required": closed } = (await (await mustAsk(`${index}config.json`)).json()) as {
      dl: string;
      "auth-required"?: boolean;
    };
    const listed = await ask(`${index}${indexPath(name)}`, closed);
    if (listed.status === 404 || listed.status === 410 || listed.status === 451) return null;
    if (!listed.ok) throw new Error(`${listed.url} answered ${listed.status}`);
    const lines = (await listed.text()).split("\n").filter((line) => line.trim() !== "");
    const versions = lines.map((line) => JSON.parse(line) as { vers: string; cksum: string });
    const found = versions.find(({ vers }) => withoutBuild(vers) === withoutBuild(version));
    if (!found) return null;
    return {
      digest: found.cksum,
      async fetch(into) {
        const file = join(into, `${name}-${version}.crate`);
        const { body } = await mustAsk(downloadUrl(dl, name, version, found.cksum), closed);
        if (!body) throw new Error(`${name} ${version}: the registry sent no archive`);
        await pipeline(
          Readable.fromWeb(body as Parameters<typeof Readable.fromWeb>[0]),
          createWriteStream(file),
        );
        return file;
      },
    };
  },

  async upload({ name, version }, registry, tree) {
    const token = process.env.CARGO_REGISTRY_TOKEN;
    if (!token) {
      throw new Error(
        `${name} ${version}: CARGO_REGISTRY_TOKEN is not set, expected a token that may publish`,
      );
    }
    const other = registry !== undefined;
    const prefix = `CARGO_REGISTRIES_${registryName.toUpperCase()}`;
    const env = { [`${prefix}_INDEX`]: `sparse+${indexOf(registry)}`, [`${prefix}_TOKEN`]: token };
    const words = ["cargo", "publish", "--quiet", "--allow-dirty", "--no-verify"];
    await mustRun([...words, ...(other ? ["--registry", registryName] : [])], {
      cwd: await tree(),
      seconds: 600,
      env: other ? env : {},
    });
  },
};

async function identityOf(folder: string): Promise<[name: string, version: string]> {
  const id = await mustRun(
    withoutCredentials("cargo", "pkgid", "--offline", "--manifest-path", "Cargo.toml"),
    {
      cwd: folder,
      seconds: 60,
    },
  ).catch(() => "");
  const [, name, version] = /[#/]([A-Za-z0-9_-]+)[@#]([^@#\s]+)\s*$/.exec(id) ?? [];
  if (name !== undefined && version !== undefined) return [name, version];
  const words = ["cargo", "metadata", "--no-deps", "--format-version", "1"];
  const text = await mustRun(withoutCredentials(...words), { cwd: folder, seconds: 60 });
  const { packages } = JSON.parse(text) as {
    packages: { name: string; version: string; manifest_path: string }[];
  };
  const own = packages.find(({ manifest_path }) => manifest_path === join(folder, "Cargo.toml"));
  if (!own) throw new Error(`${folder} holds no crate of its own`);
  return [own.name, own.version];
}

function indexOf(registry: string | undefined): string {
  const url = (registry ?? cratesIo).replace(/^sparse\+/, "");
  return url.endsWith("/") ? url : `${url}/`;
}

/** Path of a crate's file in a sparse index, as cargo's registry documentation lays it down. */
export function indexPath(crate: string): string {
  const name = crate.toLowerCase();
  return `${prefixOf(name)}/${name}`;
}

function prefixOf(name: string): string {
  if (name.length <= 2) return `${name.length}`;
  if (name.length === 3) return `3/${name[0]}`;
  return `${name.slice(0, 2)}/${name.slice(2, 4)}`;
}

/** Address of a crate's archive, from the `dl` of the registry's config.json. */
export function downloadUrl(dl: string, name: string, version: string, checksum: string): string {
  if (!/\{(crate|version|prefix|lowerprefix|sha256-checksum)\}/.test(dl)) {
    return `${dl}/${name}/${version}/download`;
  }
  return dl
    .replaceAll("{crate}", name)
    .replaceAll("{version}", version)
    .replaceAll("{lowerprefix}", prefixOf(name.toLowerCase()))
    .replaceAll("{prefix}", prefixOf(name))
    .replaceAll("{sha256-checksum}", checksum);
}

/** A registry takes 1.2.3+a and 1.2.3+b for the same version. */
const withoutBuild = (version: string) => version.replace(/\+.*$/, "");

async function mustAsk(url: string, closed = false): Promise<Response> {
  const answer = await ask(url, closed);
  if (!answer.ok) throw new Error(`${url} answered ${answer.status}`);
  return answer;
}

function ask(url: string, closed = false): Promise<Response> {
  const token = process.env.CARGO_REGISTRY_TOKEN;
  const headers = closed && token ? { authorization: token } : {};
  return fetch(url, { headers, signal: AbortSignal.timeout(60_000) });
}
