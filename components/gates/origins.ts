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

/** Fills `{name}` at the beginning of every text of a value with that origin. @throws for a name without one */
export function withOrigins<T>(value: T, origins: Readonly<Record<string, string>>): T {
  if (typeof value === "string") {
    return value.replace(/^\{([a-z][a-zA-Z0-9-]*)\}(?=\/)/, (_, name: string) => {
      const origin = origins[name];
      if (origin !== undefined) return origin;
      throw new Error(
        `{${name}}: there is no such origin; there are: ${Object.keys(origins).join(", ") || "none"}`,
      );
    }) as T;
  }
  if (Array.isArray(value)) return value.map((one) => withOrigins(one, origins)) as T;
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => [name, withOrigins(member as unknown, origins)]),
  ) as T;
}
