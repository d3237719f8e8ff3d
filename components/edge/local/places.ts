import { join, resolve } from "node:path";
import { socketPath } from "../../box/supervisor/places.ts";

/** The address of the edge of development, in the place of Cloudflare's API. */
export const localApi = "local";

const checkout = join(import.meta.dirname, "../../..");

/** Folder of all that the edge target keeps on this machine; SWITCHYARD_EDGE_ROOT names another one. */
export function edgeRoot(): string {
  return resolve(process.env.SWITCHYARD_EDGE_ROOT ?? join(checkout, ".switchyard", "edge"));
}

/** Where the local edge keeps what is its own. */
export function placesOf(root = edgeRoot()) {
  const folder = join(root, "local");
  return {
    root,
    folder,
    /** Workers, versions and deployments, so that a killed edge's successor serves the same. */
    memory: join(folder, "memory.json"),
    claims: join(folder, "claims"),
    log: join(folder, "edge.log"),
    socket: socketPath(folder),
    versions: join(folder, "versions"),
    files: join(folder, "files"),
  };
}

export type Places = ReturnType<typeof placesOf>;
