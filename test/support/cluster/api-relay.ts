import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { writeKubeconfig } from "./credentials.ts";
import { nodeProgram } from "./layers.ts";

/**
 * Lets this machine's processes reach the API server on a port of 127.0.0.1, through `relay.ts`, which ends with the
 * cluster; writes the kubeconfig that says so.
 * @param first number of the cluster's first process
 */
export async function openRelay(first: number, state: string): Promise<void> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const log = openSync(join(state, "relay.log"), "a");
  const words = [`--target=${first}`, "--net", "--pid", nodeProgram, join(import.meta.dirname, "relay.ts")];
  const child = spawn("nsenter", words, { stdio: ["ignore", log, log, "ipc"], detached: true });
  closeSync(log);
  const failed = Promise.race([
    once(child, "error").then(([error]) => Promise.reject(error as Error)),
    once(child, "exit").then(() =>
      Promise.reject(new Error(`the relay ended: ${readFileSync(join(state, "relay.log"), "utf8")}`)),
    ),
  ]);
  child.send("listen", server);
  // It says so when it has the socket.
  await Promise.race([once(child, "message"), failed]);
  failed.catch(() => {});
  child.disconnect();
  server.close();
  child.unref();
  writeKubeconfig(
    state,
    "kubeconfig",
    readFileSync(join(state, "admin-token"), "utf8"),
    `https://127.0.0.1:${port}`,
  );
}
