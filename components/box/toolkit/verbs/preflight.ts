import { statfs } from "node:fs/promises";
import { createServer } from "node:net";
import type { PlacedRelease } from "../../../rollout/manifest.ts";
import { requireComposable } from "../compose.ts";
import { checkConnections } from "../connections.ts";
import type { Host } from "../host.ts";
import { findRelease, forgetRelease, markDone, readPolicy, writeRelease, writeSecrets } from "../records.ts";
import { doorsOf } from "../units.ts";
import { checklist } from "./checklist.ts";

/** What the program sends for a release: its manifest, the values of its secrets, and the receipt of this call. */
export interface Delivery extends PlacedRelease {
  readonly receipt: string;
  readonly secrets: Readonly<Record<string, string>>;
}

/**
 * Takes a release's manifest in and looks, before anything changes, whether it can be placed here (CHR-7, CHR-9, CHR-13,
 * DEI-1).
 */
export async function preflight(host: Host, delivery: Delivery): Promise<void> {
  const { system } = delivery.manifest;
  const known = await findRelease(host, system, delivery.fingerprint);
  if (known?.done.gates) {
    await writeRelease(host, { ...known, receipt: delivery.receipt });
    return;
  }
  const { secrets, ...release } = delivery;
  await checklist(host, delivery);
  checkEnvironment(delivery);
  await requireComposable(delivery.manifest);
  const { freeMebibytes, connections } = await readPolicy(host, system);
  await checkDisk(host, freeMebibytes);
  await checkDoors(host, delivery);
  await checkConnections(delivery.manifest.checks, secrets, connections);
  try {
    await writeSecrets(host, release, { ...secrets });
    await writeRelease(host, { ...release, ports: {}, done: {} });
    await markDone(host, { ...release, ports: {}, done: {} }, "preflight");
  } catch (error) {
    await forgetRelease(host, system, delivery.fingerprint);
    throw error;
  }
}

function checkEnvironment({ manifest, secrets }: Delivery): void {
  const missing = manifest.services.flatMap((service) =>
    Object.keys(service.secrets)
      .filter((name) => !secrets[name])
      .map((name) => `${service.name}: ${name}`),
  );
  if (missing.length > 0) {
    throw new Error(`${manifest.system} lacks these secrets of its environment: ${missing.join(", ")}`);
  }
}

async function checkDisk(host: Host, wanted: number): Promise<void> {
  const { bavail, bsize } = await statfs(host.stateDirectory);
  const free = Math.floor((bavail * bsize) / 2 ** 20);
  if (free >= wanted) return;
  throw new Error(
    `${host.stateDirectory} has ${free} MiB free, placing needs ${wanted}: free some space, or lower freeMebibytes`,
  );
}

async function checkDoors(host: Host, release: PlacedRelease): Promise<void> {
  const open = new Map((await host.doors()).map((door) => [door.port, door.name]));
  for (const { door } of doorsOf(release)) {
    const owner = open.get(door.port);
    if (owner === door.name) continue;
    if (owner !== undefined)
      throw new Error(`port ${door.port} of ${door.name} is the door ${owner} already`);
    if (!(await isFree(door.port))) {
      throw new Error(
        `port ${door.port}, which ${door.name} needs, is in use by another program (\`ss -ltnp sport = :${door.port}\` ` +
          "names it): end that program, or choose another port in the system's config",
      );
    }
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, () => server.close(() => resolve(true)));
  });
}
