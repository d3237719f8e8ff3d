import { randomInt } from "node:crypto";
import { mkdir, open, readdir, readFile, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import type { Host } from "./host.ts";

/** Ports of processes behind the front door: allotted by the box, one file a port, so that two steps never share one. */

const first = 20_000;
const count = 10_000;

/** A port for the unit, the same one each time it asks; free at the moment it is first given. */
export async function allotPort(host: Host, unit: string): Promise<number> {
  const folder = join(host.stateDirectory, "ports");
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const known = await portOf(folder, unit);
  if (known !== null) return known;
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = first + randomInt(count);
    if (await isFree(port)) {
      try {
        const file = await open(join(folder, String(port)), "wx", 0o600);
        await file.writeFile(unit);
        await file.close();
        return port;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
      }
    }
  }
  throw new Error(`no free port between ${first} and ${first + count - 1} after 100 tries`);
}

export async function returnPort(host: Host, unit: string): Promise<void> {
  const folder = join(host.stateDirectory, "ports");
  const port = await portOf(folder, unit);
  if (port !== null) await rm(join(folder, String(port)), { force: true });
}

async function portOf(folder: string, unit: string): Promise<number | null> {
  let ports: string[];
  try {
    ports = await readdir(folder);
  } catch {
    return null;
  }
  for (const port of ports) {
    const owner = await readFile(join(folder, port), "utf8").catch(() => "");
    if (owner === unit) return Number(port);
  }
  return null;
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}
