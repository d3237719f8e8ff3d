import type { Source } from "../rollout/manifest.ts";

/** A library that a system hands to others: published once a version, and never taken back (POD-6). */
export interface PackageSpec {
  /** `npm`: a tarball of `npm pack`; `cargo`: a crate of `cargo package`. */
  readonly kind: "npm" | "cargo";
  /** As the package names itself: `@pod-protocol/cli`. Another name in its tree is refused. */
  readonly name: string;
  /** Folder of the source tree that holds its package.json or Cargo.toml. */
  readonly folder: string;
  readonly source: Source;
  /** Commands run in a fresh checkout, by `sh -eu -c`, each bounded by buildSeconds. */
  readonly build: readonly string[];
  readonly buildSeconds: number;
  /** npm: the registry's URL, else the client's own. cargo: URL of a sparse index, else crates.io. */
  readonly registry?: string;
}

/** What a tree gives, ready to be uploaded. */
export interface Packed {
  readonly name: string;
  readonly version: string;
  /** The archive, a gzipped tar. */
  readonly file: string;
  /** As the registry writes it: npm `sha512-<base64>`, cargo 64 hex digits of a SHA-256. */
  readonly digest: string;
}

/** What a registry says about one version of a package. */
export interface Published {
  readonly digest: string;
  /** Puts the published archive into a folder; returns its path. */
  fetch(into: string): Promise<string>;
}

/** A kind of package: how it is packed, asked for, and uploaded. Every call is bounded. */
export interface PackageKind {
  /** Packs what lies in the folder, without building it. */
  pack(folder: string, into: string, seconds: number): Promise<Packed>;
  /** Null where the registry has no such version. */
  published(
    packed: Pick<Packed, "name" | "version">,
    registry: string | undefined,
  ): Promise<Published | null>;
  /**
   * Uploads what was packed. `tree` makes the built folder again, for a client that uploads from there only. May fail
   * because somebody else was first: then `published` has the answer.
   */
  upload(packed: Packed, registry: string | undefined, tree: () => Promise<string>): Promise<void>;
}
