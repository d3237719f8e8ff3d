import { fork } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { setTimeout as pause } from "node:timers/promises";
import type { EmergencyStop } from "../../gates/emergency-stop.ts";
import { superviseBaker } from "../../rollout/cutover/watchdog.ts";
import { ClusterApi } from "../api.ts";
import { Memory } from "../memory.ts";
import { alivePort } from "../objects/baker.ts";
import { check } from "./check.ts";
import { LostLease, longestWithoutRenewal, type StopRequest, TrafficLease } from "./lease.ts";
import type { BakerReport, BakerRequest } from "./request.ts";
import { settle } from "./settle.ts";
import { type Ground, work } from "./work.ts";

/**
 * The baker's program, run in its Job by any Node from 18 on. The first process is the watchdog: it holds the Lease,
 * starts the second one, which does the work, and whatever becomes of that, ends with traffic where it belongs. When it
 * is itself ended, it is started again and settles.
 */
const account = "/var/run/secrets/kubernetes.io/serviceaccount";

function ground(): Ground {
  const { SWITCHYARD_REQUEST, SWITCHYARD_SYSTEM, SWITCHYARD_NAMESPACE } = process.env;
  const { KUBERNETES_SERVICE_HOST: host = "", KUBERNETES_SERVICE_PORT: port = "443" } = process.env;
  if (!SWITCHYARD_REQUEST || !SWITCHYARD_SYSTEM || !SWITCHYARD_NAMESPACE) {
    throw new Error("this is the baker: it runs in the Job that `switchyard` starts");
  }
  const ca = readFileSync(`${account}/ca.crt`);
  const api = new ClusterApi(
    {
      origin: `https://${host.includes(":") ? `[${host}]` : host}:${port}`,
      options: async () => ({
        ca,
        headers: { authorization: `Bearer ${readFileSync(`${account}/token`, "utf8").trim()}` },
      }),
    },
    SWITCHYARD_NAMESPACE,
    5,
  );
  const request = JSON.parse(SWITCHYARD_REQUEST) as BakerRequest;
  return { api, memory: new Memory(api, SWITCHYARD_SYSTEM), system: SWITCHYARD_SYSTEM, request };
}

async function watch(): Promise<void> {
  const all = ground();
  const { api, memory, system, request } = all;
  serveAlive();
  let child: ReturnType<typeof fork> | null = null;
  let going = false;
  // Whoever is told to go takes traffic back first: nobody may come after it.
  process.on("SIGTERM", () => {
    going = true;
    child?.kill("SIGKILL");
  });
  const lease = new TrafficLease(api, system, process.env.SWITCHYARD_POD ?? "baker");
  await lease.acquire();
  const renewing = renew(lease, request.id, {
    stop: (stop) => {
      child?.send({ by: stop.by, reason: stop.reason } satisfies EmergencyStop);
      // Whatever does not listen ends all the same.
      setTimeout(() => child?.kill("SIGKILL"), 15_000).unref();
    },
    lost: (error) => {
      child?.kill("SIGKILL");
      process.stderr.write(`${error.message}\n`);
      process.exit(1);
    },
  });
  if ((await memory.read()).spent !== request.id && !going) {
    await memory.write({ spent: request.id, report: null, phase: null });
    child = fork(process.argv[1] ?? "", ["work"]);
    await superviseBaker(child);
  }
  await settle(all);
  renewing.end();
  await lease.release().catch(() => {});
}

interface Watched {
  stop(request: StopRequest): void;
  lost(error: Error): void;
}

/** Renews each second; one that cannot for ten seconds ends itself before anybody may take its place. */
function renew(lease: TrafficLease, id: string, watched: Watched): { end(): void } {
  let ended = false;
  let asked = false;
  const loop = async () => {
    let last = performance.now();
    while (!ended) {
      try {
        const stop = await lease.renew();
        last = performance.now();
        if (stop?.id === id && !asked) {
          asked = true;
          watched.stop(stop);
        }
      } catch (error) {
        const silent = performance.now() - last > longestWithoutRenewal * 1000;
        if (!ended && (error instanceof LostLease || silent)) return watched.lost(error as Error);
      }
      await pause(1000);
    }
  };
  void loop();
  return {
    end: () => {
      ended = true;
    },
  };
}

function serveAlive(): void {
  createServer((_, response) => response.end("alive\n")).listen(alivePort);
}

async function bake(): Promise<void> {
  const all = ground();
  let stop: EmergencyStop | null = null;
  process.on("message", (message) => {
    stop = message as EmergencyStop;
  });
  const outcome = await work({ ...all, stop: () => stop });
  const report: BakerReport = { id: all.request.id, outcome };
  await all.memory.write({ report: JSON.stringify(report) });
}

/** A check moves no traffic: no Lease, no watchdog; what it says is the pod's last message. */
async function checkOnly(): Promise<void> {
  const all = ground();
  serveAlive();
  writeFileSync("/dev/termination-log", JSON.stringify(await check(all)).slice(0, 4000));
}

function main(): Promise<void> {
  if (process.argv[2] === "work") return bake();
  return ground().request.work.verb === "check" ? checkOnly() : watch();
}

main().then(
  () => process.exit(0),
  (error: Error) => {
    process.stderr.write(`${error.stack ?? error.message}\n`);
    process.exit(1);
  },
);
