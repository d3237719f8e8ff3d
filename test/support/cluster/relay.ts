import { connect, type Server } from "node:net";
import { pipeline } from "node:stream";
import { apiPort } from "./addresses.ts";

/**
 * Runs in the cluster's network with a socket that listens in the machine's: who connects there is joined to the API
 * server. A socket stays in the network it was made in, whoever holds it.
 */
process.once("message", (_message, handed) => {
  const server = handed as Server;
  server.on("connection", (client) => {
    const upstream = connect({ host: "127.0.0.1", port: apiPort, noDelay: true });
    client.setNoDelay(true);
    // Either end may go at any time: the other one then goes, too.
    pipeline(client, upstream, () => upstream.destroy());
    pipeline(upstream, client, () => client.destroy());
  });
  process.send?.("listening");
});
