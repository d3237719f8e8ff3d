import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createProxyServer } from "httpxy";
import { portOwner, portTakenError } from "../toolkit/port-owner.ts";

/** What the doors of this machine share, those of the local box and those of the local edge. */

const keepAliveMilliseconds = 60_000;
const answerMilliseconds = 120_000;

export function doorProxy() {
  const proxy = createProxyServer({ xfwd: true, proxyTimeout: answerMilliseconds });
  proxy.on("proxyRes", (answer) => {
    // They speak of the connection behind the door; the client's own stays.
    delete answer.headers.connection;
    delete answer.headers["keep-alive"];
  });
  return proxy;
}

export function doorServer(pass: (request: IncomingMessage, response: ServerResponse) => void): Server {
  return createServer({ keepAliveTimeout: keepAliveMilliseconds }, pass);
}

/** Listens on this machine only. @throws naming who has it, when the port is taken */
export async function listenOnLoopback(name: string, port: number, make: () => Server): Promise<Server[]> {
  const servers: Server[] = [];
  for (const address of ["127.0.0.1", "::1"]) {
    try {
      servers.push(await listen(make(), port, address));
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "EADDRNOTAVAIL" || code === "EAFNOSUPPORT") continue;
      await closeServers(servers);
      if (code !== "EADDRINUSE") throw error;
      throw portTakenError(name, port, await portOwner(port).catch(() => null));
    }
  }
  return servers;
}

/** Ends them with every connection they have. */
export async function closeServers(servers: readonly Server[]): Promise<void> {
  await Promise.all(
    servers.map((server) => new Promise((resolve) => server.close(resolve).closeAllConnections())),
  );
}

function listen(server: Server, port: number, address: string): Promise<Server> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, address, () => resolve(server.off("error", reject).on("error", () => {})));
  });
}
