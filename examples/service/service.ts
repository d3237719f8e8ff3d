import { existsSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { askDatabase } from "./database.ts";
import { Faults } from "./faults.ts";
import { Measurements } from "./measurements.ts";
import { readRelease } from "./release.ts";
import { readSettings } from "./settings.ts";
import { Singleton } from "./singleton.ts";

/** A small service to deploy: it answers, measures itself, drains, and misbehaves as its release.json asks. */

const { version, fault: built } = readRelease(new URL("./release.json", import.meta.url));
const settings = readSettings(process.env, version);
const fault = settings.fault === "none" ? null : (settings.fault ?? built);
const faults = new Faults(fault);
const measurements = new Measurements();
let draining = false;

const server = createServer((request, response) => {
  measurements.watch(request, response);
  response.setHeader("x-release", settings.release);
  answer(request, response).catch((error: Error) => {
    process.stderr.write(`${request.method} ${request.url}: ${error.message}\n`);
    if (response.headersSent) response.destroy();
    else json(response, 500, { error: error.message });
  });
});
// Longer than any front door keeps an idle connection: it is never the service that closes one just as it is used.
server.keepAliveTimeout = 75_000;

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? "/", "http://service");
  switch (url.pathname) {
    case "/health":
      if (settings.mode === "controller") return json(response, health() === "healthy" ? 200 : 503, report());
      return send(response, health() === "healthy" ? 200 : 503, "text/plain; charset=utf-8", health());
    case "/health/detailed": {
      const database = await askDatabase(settings.databaseUrl);
      const status = health() === "healthy" && database.status !== "unhealthy" ? "healthy" : "unhealthy";
      const answered = { status, version, release: settings.release, database };
      return json(response, status === "healthy" ? 200 : 503, answered);
    }
    case "/health/db": {
      const database = await askDatabase(settings.databaseUrl);
      const codes = { healthy: 200, unhealthy: 503, "not configured": 404 };
      return json(response, codes[database.status], database);
    }
    case "/metrics": {
      const { type, text } = await measurements.text();
      return send(response, 200, type, text);
    }
    default:
      if (settings.mode !== "singleton" && (url.pathname === "/" || url.pathname.startsWith("/api"))) {
        return traffic(request, response, url);
      }
      return json(response, 404, { error: `nothing at ${url.pathname}` });
  }
}

/** What users ask for: / and /api. */
async function traffic(request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> {
  const { fails, delayMilliseconds } = faults.traffic();
  const body: Buffer[] = [];
  for await (const part of request) body.push(part as Buffer);
  if (url.pathname !== "/" && settings.maintenanceFile && existsSync(settings.maintenanceFile)) {
    response.setHeader("retry-after", "30");
    return json(response, 503, { error: "maintenance" });
  }
  if (url.pathname === "/api/bot/launch")
    return launch(request, response, Buffer.concat(body).toString("utf8"));
  if (url.pathname === "/api/environment") return environment(response, url.searchParams.get("name") ?? "");
  const wanted = url.pathname === "/api/slow" ? Number(url.searchParams.get("ms") ?? 1000) : 0;
  await pause(Math.min(30_000, Math.max(delayMilliseconds, wanted || 0)));
  if (fails) return json(response, 500, { error: "fault errors" });
  // What is secret is asked for by name, in hexadecimal; it is in no ordinary answer.
  const shown = [...settings.example].filter(([name]) => !name.startsWith("EXAMPLE_SECRET"));
  json(response, 200, {
    version,
    release: settings.release,
    settings: Object.fromEntries(shown),
    path: url.pathname,
    pid: process.pid,
  });
}

/** POST {"bot_id": …}, by a controller only. */
function launch(request: IncomingMessage, response: ServerResponse, body: string): void {
  const refuse = (status: number, error: string) => json(response, status, { error });
  if (settings.mode !== "controller") return void refuse(404, "this is no bot controller");
  if (request.method !== "POST") return void refuse(405, "POST a bot_id");
  if (fault === "no-launch") return void refuse(500, "fault no-launch");
  const { bot_id: bot } = JSON.parse(body) as { bot_id?: string };
  if (!bot) return void refuse(400, "no bot_id");
  json(response, 200, { bot_id: bot, status: "launched", release: settings.release });
}

function report(): object {
  return { status: health(), active_connections: measurements.activeConnections, version };
}

/** The bytes of one EXAMPLE_ variable as they arrived, in hexadecimal. */
function environment(response: ServerResponse, name: string): void {
  const value = settings.example.get(name);
  if (!name.startsWith("EXAMPLE_")) json(response, 403, { error: "only EXAMPLE_ variables are shown" });
  else if (value === undefined) json(response, 404, { error: `${name} is not set` });
  else json(response, 200, { name, hex: Buffer.from(value, "utf8").toString("hex") });
}

function health(): string {
  if (faults.unhealthy) return "unhealthy";
  return draining ? "draining" : "healthy";
}

function json(response: ServerResponse, status: number, body: unknown): void {
  send(response, status, "application/json", JSON.stringify(body));
}

function send(response: ServerResponse, status: number, type: string, text: string): void {
  // A connection that is kept would outlive the drain: its client is told to make another one, elsewhere.
  if (draining) response.setHeader("connection", "close");
  response.writeHead(status, { "content-type": type }).end(text.endsWith("\n") ? text : `${text}\n`);
}

server.once("error", (error) => {
  process.stderr.write(`cannot listen on ${settings.host}:${settings.port}: ${error.message}\n`);
  process.exit(1);
});
let singleton: Singleton | null = null;
server.listen(settings.port, settings.host, () => {
  const { address, port } = server.address() as AddressInfo;
  process.stdout.write(`${version} listening on ${address}:${port}\n`);
  if (fault === "noisy") process.stderr.write("Error: fault noisy: could not load the bots\n");
  if (settings.mode === "serving" || draining) return;
  singleton = new Singleton(settings.activationLog, settings.release, measurements, faults);
});

/** Takes nothing new, finishes what is in flight, ends within its bound. */
async function drain(): Promise<void> {
  if (draining) return;
  draining = true;
  process.stdout.write(`${version} draining\n`);
  setTimeout(() => finish("cut off what was still in flight"), settings.drainSeconds * 1000);
  const closed = new Promise<void>((resolve) => {
    setTimeout(() => {
      server.close(() => resolve());
      // Idle connections close at once; one that had an answer coming, after that answer.
      setInterval(() => server.closeIdleConnections(), 50);
    }, settings.lingerMilliseconds);
  });
  await Promise.all([closed, pause(faults.stopMilliseconds)]);
  finish("drained");
}

function finish(how: string): void {
  singleton?.end();
  process.stdout.write(`${version} ${how}\n`);
  process.exit(0);
}

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  process.on(signal, () => {
    if (faults.refusesToStop) process.stderr.write("fault refuses-to-stop: ignoring the signal\n");
    else void drain();
  });
}
