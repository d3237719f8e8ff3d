import { connect, type Server } from "node:net";
import { pipeline } from "node:stream";

/** `relay-process.ts <address> <port>`: joins who connects to the socket it is handed with that address. */
const [address = "", port = ""] = process.argv.slice(2);

process.once("message", (_message, handed) => {
  (handed as Server).on("connection", (client) => {
    const upstream = connect({ host: address, port: Number(port), noDelay: true });
    client.setNoDelay(true);
    // Either end may go at any time: the other one then goes, too.
    pipeline(client, upstream, () => upstream.destroy());
    pipeline(upstream, client, () => client.destroy());
  });
  process.send?.("listening");
});
process.once("disconnect", () => process.exit());
