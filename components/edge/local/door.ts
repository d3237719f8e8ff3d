import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createProxyServer } from "httpxy";
import { portOwner, portTakenError } from "../../box/toolkit/port-owner.ts";
import { overrideHeader } from "../probe.ts";
import type { Instance } from "./instance.ts";

export interface Route {
  readonly instance: Instance;
  readonly percentage: number;
}

const keepAliveMilliseconds = 60_000;
const answerMilliseconds = 120_000;

/**
 * Where people reach a Worker of the local edge. Each request is routed by itself, to the version it asks for by the
 * override header where the deployment has it, else by the shares; a change of routes drops nothing that is in flight.
 */
export class EdgeDoor {
  readonly worker: string;
  readonly port: number;
  private readonly proxy = createProxyServer({ xfwd: true, proxyTimeout: answerMilliseconds });
  private readonly servers: Server[] = [];
  private routes: readonly Route[] = [];

  constructor(worker: string, port: number) {
    this.worker = worker;
    this.port = port;
    this.proxy.on("proxyRes", (answer) => {
      // They speak of the connection behind the door; the client's own stays.
      delete answer.headers.connection;
      delete answer.headers["keep-alive"];
    });
  }

  /** Listens on this machine only. Throws, naming who has it, when the port is taken. */
  async open(): Promise<void> {
    for (const address of ["127.0.0.1", "::1"]) {
      try {
        this.servers.push(await this.listen(address));
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code === "EADDRNOTAVAIL" || code === "EAFNOSUPPORT") continue;
        await this.close();
        if (code !== "EADDRINUSE") throw error;
        throw portTakenError(this.worker, this.port, await portOwner(this.port).catch(() => null));
      }
    }
  }

  async close(): Promise<void> {
    const servers = this.servers.splice(0);
    await Promise.all(
      servers.map((server) => new Promise((resolve) => server.close(resolve).closeAllConnections())),
    );
  }

  point(routes: readonly Route[]): void {
    this.routes = routes;
  }

  private listen(address: string): Promise<Server> {
    const server = createServer({ keepAliveTimeout: keepAliveMilliseconds }, (request, response) => {
      this.pass(request, response).catch((error: Error) => refuse(response, 502, error.message));
    });
    return new Promise((resolve, reject) => {
      server.once("error", reject);
      server.listen(this.port, address, () => resolve(server.off("error", reject).on("error", () => {})));
    });
  }

  private async pass(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const instance = this.choose(String(request.headers[overrideHeader] ?? ""));
    if (!instance) return refuse(response, 530, `${this.worker} was never deployed`);
    const land = instance.takeOff();
    response.once("close", land);
    await this.proxy.web(request, response, {
      target: { protocol: "http:", host: "127.0.0.1", port: instance.port },
      headers: { connection: "close" },
    });
  }

  private choose(override: string): Instance | undefined {
    const wanted = versionAskedFor(override, this.worker);
    const asked = this.routes.find(({ instance }) => instance.versionId === wanted);
    if (asked) return asked.instance;
    let draw = Math.random() * 100;
    for (const { instance, percentage } of this.routes) {
      draw -= percentage;
      if (draw < 0) return instance;
    }
    return this.routes.findLast(({ percentage }) => percentage > 0)?.instance;
  }
}

/** Reads the member of a Worker out of the override header. */
export function versionAskedFor(header: string, worker: string): string | null {
  for (const [, name, value] of header.matchAll(/(?:^|,)\s*([a-z*][a-z0-9_.*-]*)="((?:[^"\\]|\\.)*)"/g)) {
    if (name === worker) return (value ?? "").replaceAll(/\\(.)/g, "$1");
  }
  return null;
}

function refuse(response: ServerResponse, status: number, why: string): void {
  if (response.headersSent || response.destroyed) response.destroy();
  else response.writeHead(status, { "content-type": "text/plain" }).end(`${why}\n`);
}
