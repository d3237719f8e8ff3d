import { once } from "node:events";
import { type IncomingMessage, request, type ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import { pipeline } from "node:stream";
import type { Authority } from "./authority.ts";

/** Where requests of a host go: an http origin, with a path put before the request's own. */
export type Route = (host: string) => Promise<{ readonly origin: string; readonly prefix: string } | null>;

/** Every https name of an environment, on one loopback address, with certificates of the test's own authority. */
export class Front {
  readonly address: string;
  private readonly server: Server;

  static async start(
    address: string,
    authority: Authority,
    names: readonly string[],
    route: Route,
  ): Promise<Front> {
    const front = new Front(address, authority, names, route);
    front.server.listen(443, address);
    await once(front.server, "listening");
    return front;
  }

  private constructor(address: string, authority: Authority, names: readonly string[], route: Route) {
    this.address = address;
    this.server = createServer(authority.certify(names), (asked, answer) => {
      pass(asked, answer, route).catch((error: Error) => answer.writeHead(502).end(error.message));
    });
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

async function pass(asked: IncomingMessage, answer: ServerResponse, route: Route): Promise<void> {
  const [host = ""] = (asked.headers.host ?? "").split(":");
  const to = await route(host);
  if (to === null) throw new Error(`nothing is behind ${host}`);
  const { method, headers } = asked;
  const sent = request(new URL(`${to.prefix}${asked.url}`, to.origin), { method, headers }, (given) => {
    // Who asked may have gone meanwhile.
    if (answer.destroyed) return void given.destroy();
    answer.writeHead(given.statusCode ?? 502, given.headers);
    pipeline(given, answer, () => {});
  });
  sent.once("error", (error) => answer.destroy(error));
  pipeline(asked, sent, () => {});
}
