import { Agent, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { connect, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { setTimeout as pause } from "node:timers/promises";
import type { DoorTotals } from "../../gates/seen.ts";
import type { Backend, Door } from "../toolkit/host.ts";
import { portOwner, portTakenError } from "../toolkit/port-owner.ts";
import { waitUntil } from "./group.ts";
import { closeServers, doorProxy, doorServer, listenOnLoopback } from "./loopback-door.ts";

/**
 * The front door of development: what HAProxy does on a box (haproxy-config.ts), with the same rules. Each request is
 * routed by itself and goes over a connection of its own, so a kept connection of a client is none to a release.
 */

/** A refused connection has carried nothing, so the request is routed again: so often, after such a pause. */
const connectRetries = 15;
const retryMilliseconds = 200;
const connectMilliseconds = 1000;

/** Raised by routing where the door serves nothing. */
class NothingServesError extends Error {}

/** A request in flight, or an upgraded connection. */
interface Flight {
  /** Whose it is. */
  readonly key: string;
  cut: () => void;
}

export class FrontDoor {
  readonly door: Door;
  private servers: readonly Server[] = [];
  private readonly proxy = doorProxy();
  private readonly flights = new Set<Flight>();
  private serving: Backend | null;
  private answered = 0;
  private failed = 0;

  constructor(door: Door, backend: Backend | null) {
    this.door = door;
    this.serving = backend;
  }

  /** Listens on this machine only. Throws, naming who has it, when the port is taken. */
  async open(): Promise<void> {
    const { name, port } = this.door;
    const owner = await portOwner(port).catch(() => null);
    if (owner) throw portTakenError(name, port, owner);
    this.servers = await listenOnLoopback(name, port, () => this.makeServer());
  }

  async close(): Promise<void> {
    const servers = this.servers;
    this.servers = [];
    const closed = closeServers(servers);
    for (const flight of this.flights) flight.cut();
    await closed;
  }

  serves(): Backend | null {
    return this.serving;
  }

  /** What was answered since the door opened, and how much of it was a 5xx or broken off by the release. */
  totals(): DoorTotals {
    return { requests: this.answered, errors: this.failed };
  }

  point(backend: Backend | null): void {
    this.serving = backend;
  }

  /** Waits until only what serves has requests in flight; cuts the others after `seconds`. */
  async drain(seconds: number): Promise<void> {
    const others = () => [...this.flights].filter(({ key }) => key !== keyOf(this.serving));
    if (await waitUntil(async () => others().length === 0, seconds)) return;
    for (const flight of others()) flight.cut();
  }

  private makeServer(): Server {
    const server = doorServer((request, response) => {
      response.once("finish", () => this.count(response.statusCode >= 500));
      this.pass(request, response).catch((error) => {
        if (response.headersSent && !response.destroyed) this.count(true);
        refuse(response, error);
      });
    });
    return server.on("upgrade", (request, socket, head) => {
      socket.on("error", () => {});
      this.passUpgrade(request, socket, head).catch(() => socket.destroy());
    });
  }

  private count(failed: boolean): void {
    this.answered += 1;
    if (failed) this.failed += 1;
  }

  private async pass(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { backend, socket, flight } = await this.reach(() => response.destroyed);
    flight.cut = () => response.destroy();
    this.landWith(response, flight, socket);
    if (response.destroyed) return;
    await this.proxy.web(request, response, {
      target: targetOf(backend),
      agent: agentOf(socket),
      headers: { connection: "close" },
    });
  }

  private async passUpgrade(request: IncomingMessage, client: Duplex, head: Buffer): Promise<void> {
    const { backend, socket, flight } = await this.reach(() => client.destroyed);
    flight.cut = () => client.destroy();
    this.landWith(client, flight, socket);
    await this.proxy.ws(
      request,
      client as Socket,
      { target: targetOf(backend), agent: agentOf(socket) },
      head,
    );
  }

  /** A connection to what serves, and where it refuses or traffic moves meanwhile, to what serves then. */
  private async reach(isGone: () => boolean): Promise<{ backend: Backend; socket: Socket; flight: Flight }> {
    for (let refused = 0; ; ) {
      const backend = this.serving;
      if (!backend) throw new NothingServesError();
      const flight = this.takeOff(backend);
      try {
        const socket = await connectTo(backend.port);
        if (keyOf(backend) === keyOf(this.serving)) return { backend, socket, flight };
        socket.destroy();
        this.flights.delete(flight);
      } catch (error) {
        this.flights.delete(flight);
        if (++refused > connectRetries || isGone()) throw error;
        await pause(retryMilliseconds);
      }
    }
  }

  private takeOff(backend: Backend): Flight {
    const flight = { key: keyOf(backend), cut: () => {} };
    this.flights.add(flight);
    return flight;
  }

  private landWith(client: ServerResponse | Duplex, flight: Flight, socket: Socket): void {
    const land = () => {
      this.flights.delete(flight);
      socket.destroy();
    };
    client.once("close", land);
    if (client.destroyed) land();
  }
}

function connectTo(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: "127.0.0.1", port, noDelay: true, timeout: connectMilliseconds });
    const refuseBy = (error: Error) => {
      socket.destroy();
      reject(error);
    };
    socket.once("error", refuseBy);
    socket.once("timeout", () => refuseBy(new Error(`port ${port} does not answer`)));
    socket.once("connect", () =>
      resolve(
        socket
          .setTimeout(0)
          .off("error", refuseBy)
          .on("error", () => {}),
      ),
    );
  });
}

/** Hands the one connection, which is there already, to the one request it was made for. */
function agentOf(socket: Socket): Agent {
  const agent = new Agent({ keepAlive: false, maxSockets: 1 });
  agent.createConnection = () => socket;
  return agent;
}

function refuse(response: ServerResponse, error: unknown): void {
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  const nothing = error instanceof NothingServesError;
  response.writeHead(nothing ? 503 : 502, {
    "content-type": "text/plain",
    ...(nothing ? { "retry-after": "1" } : {}),
  });
  response.end(
    nothing ? "nothing serves here at this moment\n" : `the release does not answer: ${messageOf(error)}\n`,
  );
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function targetOf(backend: Backend) {
  return { protocol: "http:", host: "127.0.0.1", port: backend.port };
}

function keyOf(backend: Backend | null): string {
  return backend ? `${backend.fingerprint}:${backend.port}` : "";
}
