import { spawn } from "node:child_process";
import { chmodSync, closeSync, mkdirSync, openSync, statSync, truncateSync } from "node:fs";
import { rm } from "node:fs/promises";
import { request } from "node:http";
import { performance } from "node:perf_hooks";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { claimant } from "../../box/supervisor/claim.ts";
import { inheritedEnvironment } from "../../box/supervisor/environment.ts";
import { endGroup, waitUntil } from "../../box/supervisor/group.ts";
import { requireOwnFolder } from "../../box/supervisor/places.ts";
import { isAlive } from "../../box/toolkit/process-identity.ts";
import { placesOf } from "./places.ts";

/** Starting and ending the local edge. It runs apart from whoever started it, and outlives them. */

/** Seconds until an edge that was started must answer: what it served last is up by then. */
const startSeconds = 60;
const longestLog = 1 << 20;

export interface LocalStatus {
  readonly pid: number;
  readonly workers: readonly string[];
  readonly doors: readonly { readonly worker: string; readonly port: number }[];
}

/** The socket of the edge that runs; one is started where none does, and serves what the last one served. */
export async function socketOfLocalEdge(): Promise<string> {
  const places = placesOf();
  const deadline = performance.now() + startSeconds * 1000;
  for (let spawned = Number.NEGATIVE_INFINITY; ; ) {
    if (await localStatus()) return places.socket;
    if (performance.now() > deadline) {
      throw new Error(`the local edge did not start within ${startSeconds} s; its log is ${places.log}`);
    }
    // Several callers may start one at once: only one of them gets the folder, the others end.
    if (performance.now() - spawned > 3000 && !(await claimant(places.claims))) {
      spawned = performance.now();
      spawnDetached();
    }
    await pause(50);
  }
}

/** What the local edge does; null where none runs. */
export async function localStatus(): Promise<LocalStatus | null> {
  try {
    return (await call("GET", "/local/status")) as LocalStatus;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (["ENOENT", "ECONNREFUSED", "ECONNRESET", "EPIPE"].includes(code ?? "")) return null;
    throw error;
  }
}

/** Ends the local edge and all it runs; what it serves is remembered. */
export async function stopLocalEdge(): Promise<void> {
  const places = placesOf();
  const living = await claimant(places.claims);
  if (living) {
    await call("POST", "/local/stop").catch(() => {});
    await waitUntil(async () => !(await isAlive(living)), 15);
    await endGroup(living, 0);
  }
  await rm(places.socket, { force: true });
}

function call(method: string, path: string): Promise<unknown> {
  const { socket: socketPath } = placesOf();
  requireOwnFolder(socketPath);
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, method, path, headers: { connection: "close" } }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (part: string) => {
        text += part;
      });
      response.on("error", reject);
      response.on("end", () => resolve((JSON.parse(text) as { result: unknown }).result));
    });
    asked.setTimeout(10_000, () => asked.destroy(new Error("the local edge did not answer within 10 s")));
    asked.on("error", reject);
    asked.end();
  });
}

function spawnDetached(): void {
  const places = placesOf();
  mkdirSync(places.folder, { recursive: true, mode: 0o700 });
  chmodSync(places.folder, 0o700);
  const log = openSync(places.log, "a", 0o600);
  if (statSync(places.log).size > longestLog) truncateSync(places.log);
  const main = fileURLToPath(new URL("./main.ts", import.meta.url));
  const words = ["--disable-warning=ExperimentalWarning", main, places.root];
  const env = inheritedEnvironment();
  spawn(process.execPath, words, { cwd: "/", stdio: ["ignore", log, log], detached: true, env }).unref();
  closeSync(log);
}
