import { join } from "node:path";
import { checkout } from "../../engine/checkout.ts";
import { LocalHost } from "../box/toolkit/local-host.ts";
import { requireRelease } from "../box/toolkit/records.ts";

/**
 * Where the processes of a placed release answer before it takes traffic: a hostname of its own (its colour's), or on
 * the box of this machine the port that the box allotted, which nobody knows before.
 */
export type Origin =
  | string
  | { readonly box: string; readonly fingerprint: string; readonly service: string };

/** @throws where the release is not on the local box, or has no such service */
export async function resolveOrigins(
  origins: Readonly<Record<string, Origin>>,
): Promise<Readonly<Record<string, string>>> {
  const resolved = Object.entries(origins).map(async ([name, origin]): Promise<[string, string]> => {
    if (typeof origin === "string") return [name, origin.replace(/\/$/, "")];
    const { box, fingerprint, service } = origin;
    const root = process.env.SWITCHYARD_BOX_ROOT ?? join(checkout, ".switchyard/box");
    const release = await requireRelease(new LocalHost({ root, toolkit: [] }), box, fingerprint);
    const port = release.ports[service];
    if (port === undefined) throw new Error(`${service} of ${box} ${fingerprint} has no port on this box`);
    return [name, `http://127.0.0.1:${port}`];
  });
  return Object.fromEntries(await Promise.all(resolved));
}
