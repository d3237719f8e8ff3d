/**
 * How Cloudflare leads a request to a Worker: by a pattern of its zone, or because the hostname is the Worker's
 * altogether. A route strips nothing: the Worker sees the path that was asked.
 */

export interface RoutePattern {
  /** Null: both. */
  readonly protocol: "http:" | "https:" | null;
  /** Small letters; after the asterisk, where there is one. */
  readonly host: string;
  /** An asterisk stands first in the hostname: for anything before the rest of it, also for nothing. */
  readonly anyPrefix: boolean;
  /** Before the asterisk, where there is one. */
  readonly path: string;
  /** An asterisk stands last in the path: for anything after it. Without one a query matches nothing. */
  readonly anySuffix: boolean;
}

/** Null of a text that Cloudflare takes for no pattern: an asterisk elsewhere, a query, a port, no path. */
export function readPattern(text: string): RoutePattern | null {
  const found = /^(?:(https?:)\/\/)?(\*?)([^\s/*?#:@]*)(\/[^\s*?#]*)(\*?)$/.exec(text);
  if (!found) return null;
  const [, protocol, first, host = "", path = "/", last] = found;
  if (host === "" && first === "") return null;
  return {
    protocol: protocol === "http:" || protocol === "https:" ? protocol : null,
    host: host.toLowerCase(),
    anyPrefix: first === "*",
    path,
    anySuffix: last === "*",
  };
}

/** What leads to a Worker besides its address at workers.dev. */
export interface Leads {
  readonly routes: readonly string[];
  readonly domains: readonly string[];
}

/** Whether a request of that URL reaches the Worker, as far as these routes and domains go. */
export function leadsTo({ routes, domains }: Leads, url: URL): boolean {
  return domains.includes(url.hostname) || routes.some((route) => matches(readPattern(route), url));
}

/** Whether some request of the hostname does, by whichever scheme and path. */
export function leadsToHost({ routes, domains }: Leads, hostname: string): boolean {
  return domains.includes(hostname) || routes.some((route) => matchesHost(readPattern(route), hostname));
}

export function matchesHost(pattern: RoutePattern | null, hostname: string): boolean {
  if (pattern === null) return false;
  return pattern.anyPrefix ? hostname.endsWith(pattern.host) : hostname === pattern.host;
}

function matches(pattern: RoutePattern | null, { protocol, hostname, pathname, search }: URL): boolean {
  if (pattern === null || !matchesHost(pattern, hostname)) return false;
  if (pattern.protocol !== null && pattern.protocol !== protocol) return false;
  const asked = `${pathname}${search}`;
  return pattern.anySuffix ? asked.startsWith(pattern.path) : asked === pattern.path;
}
