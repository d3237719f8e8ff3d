import { spawn } from "node:child_process";
import { chmodSync, closeSync, mkdirSync, openSync, statSync, truncateSync } from "node:fs";
import { rm } from "node:fs/promises";
import { request } from "node:http";
import { performance } from "node:perf_hooks";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { endProcess, isAlive } from "../toolkit/process-identity.ts";
import { claimant } from "./claim.ts";
import { bootHeader, type Operation } from "./control.ts";
import { waitUntil } from "./group.ts";
import { machineBoot } from "./machine-boot.ts";
import { recall } from "./memory.ts";
import { placesOf, requireOwnFolder } from "./places.ts";

/** The toolkit's side of the supervisor's socket, and its start on demand. */

/** Seconds until a supervisor that was started must answer. */
const startSeconds = 20;
/** Seconds it may take to end what a killed one has left and to settle what that cut short. */
export const settleSeconds = 180;
const longestLog = 1 << 20;

/** Raised where no supervisor listens, or it died before it answered: what it ran is ended by its successor. */
export class NoSupervisorError extends Error {}

/** One call; throws what the supervisor answers as an error, and a NoSupervisorError where none answers. */
export function callSupervisor(
  root: string,
  operation: Operation,
  values: readonly unknown[],
  seconds: number,
): Promise<unknown> {
  const { socket } = placesOf(root);
  requireOwnFolder(socket);
  const token = process.env.SWITCHYARD_BOOT_TOKEN;
  return new Promise((resolve, reject) => {
    const call = request(
      {
        socketPath: socket,
        method: "POST",
        path: `/${operation}`,
        headers: { connection: "close", ...(token === undefined ? {} : { [bootHeader]: token }) },
      },
      (response) => {
        let answer = "";
        response.setEncoding("utf8");
        response.on("data", (text) => {
          answer += text;
        });
        response.on("error", () => reject(new NoSupervisorError(`the supervisor of ${root} died`)));
        response.on("end", () => {
          const { value, error } = JSON.parse(answer) as { value?: unknown; error?: string };
          if (error === undefined) resolve(value);
          else reject(new Error(error));
        });
      },
    );
    call.setTimeout(seconds * 1000, () => {
      call.destroy(new Error(`the supervisor of ${root} did not answer ${operation} within ${seconds} s`));
    });
    call.on("error", (error: NodeJS.ErrnoException) => {
      const absent = ["ENOENT", "ECONNREFUSED", "ECONNRESET", "EPIPE"].includes(error.code ?? "");
      reject(absent ? new NoSupervisorError(`no supervisor runs for ${root}`) : error);
    });
    call.end(JSON.stringify(values));
  });
}

/** Starts the supervisor unless one runs, apart from this process and its terminal; returns once it listens. */
export async function startSupervisor(root: string, toolkit: readonly string[]): Promise<void> {
  const places = placesOf(root);
  const deadline = performance.now() + startSeconds * 1000;
  for (let spawned = Number.NEGATIVE_INFINITY; ; ) {
    try {
      await callSupervisor(root, "status", [], 5);
      return;
    } catch (error) {
      if (!(error instanceof NoSupervisorError)) throw error;
      if (performance.now() > deadline) {
        throw new Error(
          `the supervisor of ${root} did not start within ${startSeconds} s; its log is ${places.log}`,
        );
      }
    }
    // Several callers may start one at once: only one of them gets the folder, the others end.
    if (performance.now() - spawned > 3000 && !(await claimant(places.claims))) {
      spawned = performance.now();
      spawnDetached(root, toolkit);
    }
    await pause(20);
  }
}

/**
 * Ends the supervisor of the folder and everything it runs; what a killed one has left running too. Returns when all
 * is gone. The files stay: what should run is started by the next supervisor.
 */
export async function stopSupervisor(root: string): Promise<void> {
  const places = placesOf(root);
  const living = await claimant(places.claims);
  if (living) {
    try {
      const stopSeconds = (await callSupervisor(root, "stopSeconds", [], 5)) as number;
      await callSupervisor(root, "stop", [], stopSeconds + 30);
      await waitUntil(async () => !(await isAlive(living)), 5);
    } catch {
      // It hangs or has just died: the rest is done from here.
    }
    await endProcess(living, 10);
  }
  const { boot, processes } = await recall(places.memory);
  if (boot === (await machineBoot())) {
    const { endProcesses } = await import("./supervisor.ts");
    await endProcesses(Object.values(processes));
  }
  await rm(places.socket, { force: true });
}

function spawnDetached(root: string, toolkit: readonly string[]): void {
  const places = placesOf(root);
  mkdirSync(places.folder, { recursive: true, mode: 0o700 });
  chmodSync(places.folder, 0o700);
  const log = openSync(places.log, "a", 0o600);
  if (statSync(places.log).size > longestLog) truncateSync(places.log);
  const main = fileURLToPath(new URL("./main.ts", import.meta.url));
  const words = ["--disable-warning=ExperimentalWarning", main, root, ...toolkit];
  spawn(process.execPath, words, { cwd: "/", stdio: ["ignore", log, log], detached: true }).unref();
  closeSync(log);
}
