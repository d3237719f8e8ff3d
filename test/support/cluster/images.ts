import { createHash } from "node:crypto";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Layer } from "./layers.ts";

/** What a container starts with; of an image or, where absent, of the one it is based on. */
export interface ImageStart {
  readonly entrypoint?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly user?: string;
  readonly workingDirectory?: string;
}

/** An image as a pod names it. */
export interface Image {
  /** With its tag: `switchyard.test/node:24`. */
  readonly name: string;
  /** `sha256:…`, of the image's manifest. */
  readonly digest: string;
  /** `switchyard.test/node@sha256:…` */
  readonly reference: string;
}

/**
 * Lays the image out in the folder as the OCI image layout has it, with symbolic links for its layers, under its name
 * and under its reference by digest.
 * @param known digests of layers that the receiver has already: these are only mentioned
 */
export function layOut(
  folder: string,
  name: string,
  layers: readonly Layer[],
  start: ImageStart,
  known: readonly string[] = [],
): Image {
  const blobs = join(folder, "blobs", "sha256");
  mkdirSync(blobs, { recursive: true });
  const blob = (value: unknown, mediaType: string) => {
    const text = JSON.stringify(value);
    const digest = `sha256:${createHash("sha256").update(text).digest("hex")}`;
    writeFileSync(join(blobs, digest.slice("sha256:".length)), text);
    return { mediaType, digest, size: Buffer.byteLength(text) };
  };
  for (const { file, digest } of layers) {
    if (!known.includes(digest)) symlinkSync(file, join(blobs, digest.slice("sha256:".length)));
  }
  const config = blob(
    {
      architecture: process.arch === "x64" ? "amd64" : process.arch,
      os: "linux",
      config: {
        Entrypoint: start.entrypoint ?? [],
        Env: Object.entries({ PATH: "/usr/local/bin:/bin", ...start.environment }).map((pair) =>
          pair.join("="),
        ),
        User: start.user ?? "",
        WorkingDir: start.workingDirectory ?? "/",
      },
      rootfs: { type: "layers", diff_ids: layers.map(({ digest }) => digest) },
    },
    "application/vnd.oci.image.config.v1+json",
  );
  const manifest = blob(
    {
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      config,
      layers: layers.map(({ digest, size }) => ({
        mediaType: "application/vnd.oci.image.layer.v1.tar",
        digest,
        size,
      })),
    },
    "application/vnd.oci.image.manifest.v1+json",
  );
  const reference = `${name.slice(0, name.lastIndexOf(":"))}@${manifest.digest}`;
  const named = [name, reference].map((one) => ({
    ...manifest,
    annotations: { "io.containerd.image.name": one },
  }));
  writeFileSync(join(folder, "index.json"), JSON.stringify({ schemaVersion: 2, manifests: named }));
  writeFileSync(join(folder, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
  return { name, digest: manifest.digest, reference };
}
