import { randomInt } from "node:crypto";
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from "node:http";
import type { Duplex } from "node:stream";

/** Addresses of 127.0.0.0/8, each given once: on Linux all of them are this machine. */
export class Loopback {
  // Tests that run side by side stay apart.
  private readonly net = randomInt(16, 240);
  private next = randomInt(1, 30_000);

  address(): string {
    this.next += 1;
    if (this.next % 256 === 0) this.next += 1;
    return `127.${this.net}.${this.next >> 8}.${this.next & 255}`;
  }
}

/** An HTTP server at an address of its own. */
export class Listener {
  readonly address: string;
  readonly port: number;
  private readonly server: Server;

  /** @param port one below 1024 is not everybody's: its thousands are added, 80 is 8080 */
  constructor(address: string, port: number, answer: RequestListener) {
    this.address = address;
    this.port = port < 1024 ? port + 8000 : port;
    this.server = createServer(answer);
  }

  get origin(): string {
    return `http://${this.address}:${this.port}`;
  }

  listen(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.server.once("error", reject).listen(this.port, this.address, resolve);
    });
  }

  /** Serves a connection that was made elsewhere. */
  take(socket: Duplex): void {
    this.server.emit("connection", socket);
  }

  /** Answers a request that was made elsewhere. */
  serve(request: IncomingMessage, response: ServerResponse): void {
    this.server.emit("request", request, response);
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}
