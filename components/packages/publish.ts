import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { setTimeout as pause } from "node:timers/promises";
import { cargo } from "./cargo.ts";
import { differingFiles } from "./content.ts";
import { npm } from "./npm.ts";
import type { PackageKind, PackageSpec, Packed, Published } from "./package.ts";
import { builtTree, inScratch, packedOnce } from "./tree.ts";

const kinds: Readonly<Record<PackageSpec["kind"], PackageKind>> = { npm, cargo };

/** Seconds a registry may take to show what it has accepted. */
const visibleSeconds = 120;

export interface PackageState {
  readonly name: string;
  readonly version: string;
  readonly digest: string;
  /** `before`: the registry had it already, with the same content; `now`: uploaded by this call; `not yet`. */
  readonly published: "before" | "now" | "not yet";
}

/** Builds and packs, and asks the registry: what would stop publishing is found before anything else happens. */
export function checkPackage(spec: PackageSpec): Promise<PackageState> {
  return inScratch(async (scratch) => {
    const packed = await pack(spec, scratch);
    const { name, version, digest } = packed;
    const found = await kinds[spec.kind].published(packed, spec.registry);
    if (found) await requireSame(packed, found, scratch);
    return { name, version, digest, published: found ? "before" : "not yet" };
  });
}

/**
 * Publishes a version unless the registry has it (POD-6). What is published cannot be taken back, so the registry is
 * asked first: also a run that was killed after its upload, and one that came second, find it there.
 *
 * @throws where the registry has the version with another content, with both digests; nothing was uploaded then
 */
export function publishPackage(spec: PackageSpec): Promise<PackageState> {
  return inScratch(async (scratch) => {
    const packed = await pack(spec, scratch);
    const { name, version, digest } = packed;
    const kind = kinds[spec.kind];
    const before = await kind.published(packed, spec.registry);
    if (before) {
      await requireSame(packed, before, scratch);
      return { name, version, digest, published: "before" };
    }
    try {
      await kind.upload(packed, spec.registry, () => builtTree(spec, join(scratch, "upload")));
    } catch (error) {
      const other = await kind.published(packed, spec.registry).catch(() => null);
      if (!other) throw error;
      await requireSame(packed, other, scratch);
      return { name, version, digest, published: "before" };
    }
    await requireSame(packed, await becomesVisible(kind, packed, spec.registry), scratch);
    return { name, version, digest, published: "now" };
  });
}

function pack(spec: PackageSpec, scratch: string): Promise<Packed> {
  return packedOnce(spec, scratch, async (into) => {
    const folder = await builtTree(spec, scratch);
    const packed = await kinds[spec.kind].pack(folder, into, spec.buildSeconds);
    if (packed.name === spec.name) return packed;
    throw new Error(
      `${spec.folder} is the package ${packed.name}, expected ${spec.name}: correct the config`,
    );
  });
}

async function requireSame(packed: Packed, found: Published, scratch: string): Promise<void> {
  if (found.digest === packed.digest) return;
  const { name, version } = packed;
  const folder = join(scratch, "published");
  await mkdir(folder, { recursive: true });
  const theirs = await found.fetch(folder);
  const differing = await differingFiles(packed.file, theirs, join(scratch, "compare"));
  if (differing.length === 0) return;
  const named = differing.slice(0, 5).join(", ");
  throw new Error(
    `${name} ${version} is published with another content: the registry has ${found.digest}, this release gives ` +
      `${packed.digest}; they differ in ${differing.length} files (${named}). A published version never changes: ` +
      "give the package another version and release that",
  );
}

async function becomesVisible(kind: PackageKind, packed: Packed, registry: string | undefined) {
  const deadline = performance.now() + visibleSeconds * 1000;
  for (let wait = 100; ; wait = Math.min(wait * 2, 5000)) {
    const found = await kind.published(packed, registry);
    if (found) return found;
    if (performance.now() > deadline) {
      throw new Error(
        `${packed.name} ${packed.version} was accepted, but its registry does not show it after ${visibleSeconds} s: ` +
          "run the update again, it asks first",
      );
    }
    await pause(wait);
  }
}
