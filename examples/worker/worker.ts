/** A small Worker to deploy: it answers, says its release, serves files, and misbehaves as its build asks. */

/** Set by build.ts. */
declare const VERSION: string;
declare const FAULT: WorkerFault | null;

export type WorkerFault = "never-healthy" | "errors" | "slow";

interface Env {
  /** Name of the release, from the target. */
  readonly RELEASE?: string;
  readonly EXAMPLE_GREETING?: string;
  /** A secret: only whether it is there, and how long it is, is ever told. */
  readonly API_KEY?: string;
  readonly ASSETS?: { fetch(request: Request): Promise<Response> };
}

/** Path of the route that leads here (edge.path). A route strips nothing, so a Worker is asked for /edge/health. */
const base = "/edge";

/** Traffic that the "errors" release answers well before it turns bad, in milliseconds since the first request. */
const goodMilliseconds = 2000;
let firstAt: number | null = null;
let requests = 0;

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    const url = new URL(request.url);
    // Where every path leads here, as on the local edge, it is asked for /health as well.
    if (url.pathname.startsWith(`${base}/`)) url.pathname = url.pathname.slice(base.length);
    const { pathname, searchParams } = url;
    const release = env.RELEASE ?? VERSION;
    if (pathname === "/health") {
      const healthy = FAULT !== "never-healthy";
      return say(healthy ? "healthy" : "unhealthy", healthy ? 200 : 503, release);
    }
    if (pathname === "/" || pathname.startsWith("/api")) {
      await pause(Number(searchParams.get("ms") ?? 0));
      return traffic(pathname, env, release);
    }
    if (env.ASSETS) return env.ASSETS.fetch(new Request(url, request));
    return say({ error: `nothing at ${pathname}` }, 404, release);
  },
};

async function traffic(path: string, env: Env, release: string): Promise<Response> {
  firstAt ??= Date.now();
  requests += 1;
  const fifth = requests % 5 === 0;
  if (FAULT === "slow" && fifth) await pause(3000);
  if (FAULT === "errors" && fifth && Date.now() - firstAt > goodMilliseconds) {
    return say({ error: "fault errors" }, 500, release);
  }
  const greeting = env.EXAMPLE_GREETING ?? null;
  return say(
    { version: VERSION, release, path, greeting, keyLength: env.API_KEY?.length ?? 0 },
    200,
    release,
  );
}

function say(body: unknown, status: number, release: string): Response {
  const text = typeof body === "string" ? `${body}\n` : `${JSON.stringify(body)}\n`;
  const type = typeof body === "string" ? "text/plain" : "application/json";
  return new Response(text, { status, headers: { "content-type": type, "x-release": release } });
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.min(10_000, Math.max(0, milliseconds))));
}
