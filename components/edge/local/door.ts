import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { closeServers, doorProxy, doorServer, listenOnLoopback } from "../../box/supervisor/loopback-door.ts";
import { overrideHeader } from "../probe.ts";
import type { Instance } from "./instance.ts";

export interface Route {
  readonly instance: Instance;
  readonly percentage: number;
}

/**
 * Where people reach a Worker of the local edge. Each request is routed by itself, to the version it asks for by the
 * override header where the deployment has it, else by the shares; a change of routes drops nothing that is in flight.
 */
export class EdgeDoor {
  readonly worker: string;
  readonly port: number;
  private readonly proxy = doorProxy();
  private servers: readonly Server[] = [];
  private routes: readonly Route[] = [];

  constructor(worker: string, port: number) {
    this.worker = worker;
    this.port = port;
  }

  /** Listens on this machine only. Throws, naming who has it, when the port is taken. */
  async open(): Promise<void> {
    this.servers = await listenOnLoopback(this.worker, this.port, () =>
      doorServer((request, response) => {
        this.pass(request, response).catch((error: Error) => refuse(response, 502, error.message));
      }),
    );
  }

  async close(): Promise<void> {
    const servers = this.servers;
    this.servers = [];
    await closeServers(servers);
  }

  point(routes: readonly Route[]): void {
    this.routes = routes;
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
