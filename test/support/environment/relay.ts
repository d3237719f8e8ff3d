import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { join } from "node:path";

/**
 * Lets this machine's processes reach `port` of an address that only another network knows, on a loopback address here.
 * A socket stays in the network it was made in, whoever holds it: `relay-process.ts` there joins who connects.
 *
 * @param enter words that run a program in that network
 * @returns ends it
 */
export async function openRelay(
  enter: readonly string[],
  to: { readonly address: string; readonly port: number },
  here: { readonly address: string; readonly port: number },
): Promise<() => void> {
  const server = createServer();
  server.listen(here.port, here.address);
  await once(server, "listening");
  const [program = "", ...words] = [
    ...enter,
    process.execPath,
    ...[join(import.meta.dirname, "relay-process.ts"), to.address, `${to.port}`],
  ];
  const child = spawn(program, words, { stdio: ["ignore", "ignore", "inherit", "ipc"] });
  child.send("listen", server);
  await once(child, "message");
  server.close();
  return () => child.kill("SIGKILL");
}
