import { leadsTo, leadsToHost, matchesHost, readPattern } from "../../components/edge/routes.ts";
import type { CloudflareEdge } from "./edge.ts";
import type { SystemContext } from "./read.ts";

/** Whether what is asked of a Worker lies where something leads to it. */

/** What a system asks of its Worker, and what the Worker is. */
export interface EdgeAsked {
  /** Paths below the front, each of which smoke test, bake or a check from outside asks. */
  readonly paths: readonly string[];
  /** Static files without code. Cloudflare finds a file by the whole path, so its front has no path of its own. */
  readonly filesOnly: boolean;
}

/** What people reach a Worker by, without a slash at its end. */
export function frontOf({ hostname, path }: Pick<CloudflareEdge, "hostname" | "path">): string {
  return `https://${hostname}${path}`;
}

/** @param worker its name */
export function checkLeads(
  worker: string,
  config: CloudflareEdge,
  asked: EdgeAsked,
  { environment, problem }: SystemContext,
): void {
  const { hostname, path } = config;
  const led = [...config.routes, ...config.domains];
  if (asked.filesOnly && path !== "") {
    const allowed = "none: a file is found by the whole path, so files have a hostname of their own";
    problem("edge.path", path, allowed, { remove: true });
  } else if (environment === "staging") {
    checkPreview(worker, hostname, problem);
  } else if (led.length === 0) {
    problem("edge.domains", "nothing", "a hostname or a route that people reach it by");
  } else if (!leadsToHost(config, hostname)) {
    problem("edge.hostname", hostname, `a hostname of its routes and domains: ${led.join(", ")}`);
  } else {
    checkAddresses(config, asked, problem);
  }
}

/** Of a hostname that something leads to: each address that is asked. Says the path or the route that mends it. */
function checkAddresses(config: CloudflareEdge, asked: EdgeAsked, problem: SystemContext["problem"]): void {
  const { hostname, path, routes, domains } = config;
  const lost = lostOf(config, path, asked);
  if (lost.length === 0) return;
  const why = `no route or domain leads to what smoke test and bake ask: ${lost.join(", ")}`;
  const better = asked.filesOnly ? undefined : pathInside(config, asked);
  if (better) {
    problem(
      "edge.path",
      path === "" ? "nothing" : path,
      `${better.path}, which is in the route ${better.route}; ${why}`,
      { value: better.path },
    );
    return;
  }
  const route = `${hostname}${path}/*`;
  const mend = { at: ["edge", "routes", routes.length], value: route };
  problem("edge.routes", [...routes, ...domains].join(", "), `${route} as well; ${why}`, mend);
}

/** At workers.dev a Worker's address begins with its name, and every path leads to it. */
function checkPreview(worker: string, hostname: string, problem: SystemContext["problem"]): void {
  const [name, , ...rest] = hostname.split(".");
  if (name === worker && rest.join(".") === "workers.dev") return;
  const allowed = `${worker}.<subdomain>.workers.dev: in staging nothing else leads to the Worker ${worker}`;
  problem("edge.hostname", hostname, allowed);
}

function lostOf(config: CloudflareEdge, path: string, { paths }: EdgeAsked): string[] {
  const addresses = paths.map((one) => new URL(`${frontOf({ ...config, path })}${one}`));
  return [
    ...new Set(addresses.filter((address) => !leadsTo(config, address)).map((address) => address.href)),
  ];
}

/** A path that mends it: of a route of the hostname, where all that is asked below it lies in a route. */
function pathInside(config: CloudflareEdge, asked: EdgeAsked): { path: string; route: string } | undefined {
  return config.routes
    .map((route) => ({ route, pattern: readPattern(route) }))
    .filter(({ pattern }) => pattern?.anySuffix && matchesHost(pattern, config.hostname))
    .map(({ route, pattern }) => ({ route, path: pattern?.path.replace(/\/+$/, "") ?? "" }))
    .find(({ path }) => isPath.test(path) && lostOf(config, path, asked).length === 0);
}

/** Of `edge.path`: no slash at the end, because what is asked begins with one. */
export const isPath = /^(\/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+$/;
