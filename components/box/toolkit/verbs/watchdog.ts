import { fork } from "node:child_process";
import { rm } from "node:fs/promises";
import { silenceSeconds, superviseBaker } from "../../../rollout/cutover/watchdog.ts";
import { bakerFile, type Request, requestFile } from "../cutover-files.ts";
import { readJson, writeDurably } from "../durable.ts";
import type { Host } from "../host.ts";
import { endProcess, identify, type ProcessIdentity } from "../process-identity.ts";

/**
 * The watchdog: one baker, and whatever becomes of it, an end in `confirmed`. Exits 0 when traffic is settled. Started
 * again after its own end it never bakes again: whoever was killed did not prove anything.
 */
export async function bakeUnderWatch(host: Host, system: string, key: string): Promise<void> {
  const path = requestFile(host, system, key);
  const request = await readJson<Request>(path);
  if (request && !request.spent) {
    await writeDurably(path, JSON.stringify({ ...request, spent: true } satisfies Request));
    const child = fork(process.argv[1] ?? "", ["bake", system, key]);
    if (child.pid) await writeDurably(bakerFile(host, system), JSON.stringify(await identify(child.pid)));
    const ended = superviseBaker(child);
    // Loaded while the baker is at work: it need not wait for this, nor this for it.
    await import("./baker.ts");
    await ended;
  }
  await (await import("./baker.ts")).settle(host, system, request);
}

/** Ends the baker that runs, if any; its watchdog then takes back. */
export async function endBaker(host: Host, system: string): Promise<void> {
  const baker = await readJson<ProcessIdentity>(bakerFile(host, system));
  if (baker) await endProcess(baker, silenceSeconds);
  await rm(bakerFile(host, system), { force: true });
}
