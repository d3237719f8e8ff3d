import { randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { matchRoutes, parseRoutes } from "miniflare";
import type { RecorderWorld, Thing } from "../recorder/world.ts";

/**
 * Cloudflare beside a recorded world: the recorder knows which Workers, versions, domains and routes the engine has
 * made; this keeps their deployments and answers for their hostnames. `environment` leads programs here.
 */

interface Version {
  readonly id: string;
  readonly annotations: Readonly<Record<string, string>>;
  readonly bindings: readonly { readonly type: string; readonly name: string; readonly text?: string }[];
  readonly created: string;
}

interface Deployment {
  readonly id: string;
  readonly annotations: Readonly<Record<string, string>>;
  readonly versions: readonly { readonly version_id: string; readonly percentage: number }[];
}

export class Cloudflare {
  /** Every deployment that was made, oldest first: `chrono-production: v2 10, v1 90`. */
  readonly moves: string[] = [];
  private readonly world: RecorderWorld;
  private readonly server: Server;
  private readonly deployments = new Map<string, Deployment[]>();
  private readonly uploads = new Map<string, Version[]>();
  private readonly sick = new Map<string, (path: string) => number | null>();

  static async start(world: RecorderWorld): Promise<Cloudflare> {
    const cloudflare = new Cloudflare(world);
    await new Promise<void>((resolve) => cloudflare.server.listen(0, "127.0.0.1", resolve));
    return cloudflare;
  }

  private constructor(world: RecorderWorld) {
    this.world = world;
    this.server = createServer((request, response) => {
      this.answer(request, response).catch((error: Error) => {
        reply(response, 500, { success: false, errors: [{ code: 10000, message: error.message }] });
      });
    });
  }

  /** The base of its API: `edge.api` of the config. */
  get api(): string {
    return `${this.origin}/api`;
  }

  /** Where a hostname's Worker answers. */
  front(host: string): string {
    return `${this.origin}/front/${host}`;
  }

  /** Of the engine that is to come here. */
  get environment(): Record<string, string> {
    const redirect = new URL("redirect.ts", import.meta.url).href;
    return {
      SWITCHYARD_TEST_CLOUDFLARE: this.origin,
      NODE_OPTIONS: `--disable-warning=ExperimentalWarning --import=${redirect}`,
      CLOUDFLARE_API_TOKEN: "token-of-the-test",
    };
  }

  /** From here on the release answers with that status; null: as it should. */
  sicken(release: string, status: (path: string) => number | null): void {
    this.sick.set(release, status);
  }

  heal(): void {
    this.sick.clear();
  }

  /** The releases that have a share of a Worker's traffic; "closed" is the version that answers 503. */
  serving(worker: string): string[] {
    const shares = this.deployments.get(worker)?.at(-1)?.versions ?? [];
    return shares
      .filter(({ percentage }) => percentage > 0)
      .map((one) => this.nameOf(worker, one.version_id));
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private get origin(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, search } = new URL(request.url ?? "/", "http://cloudflare");
    const [, kind, ...rest] = pathname.split("/");
    if (kind === "front") {
      const [host = "", ...path] = rest;
      return this.serve(request, response, new URL(`https://${host}/${path.join("/")}${search}`));
    }
    const [, , , collection = "", worker = "", what, id] = rest;
    if (request.headers.authorization !== "Bearer token-of-the-test") {
      return reply(response, 403, { success: false, errors: [{ code: 9109, message: "Unauthorized" }] });
    }
    const result = await this.call(`${request.method} ${collection} ${what}`, worker, id, request);
    if (result === undefined) {
      return reply(response, 404, { success: false, errors: [{ code: 10007, message: `no ${pathname}` }] });
    }
    return reply(response, 200, { success: true, errors: [], messages: [], result });
  }

  private async call(
    verb: string,
    worker: string,
    id: string | undefined,
    request: IncomingMessage,
  ): Promise<unknown> {
    const made = this.things("worker:Worker").some(({ inputs }) => inputs.name === worker);
    if (!made) return undefined;
    const body = async () => JSON.parse((await buffer(request)).toString("utf8"));
    switch (verb) {
      case "GET scripts deployments":
        return { deployments: (this.deployments.get(worker) ?? []).toReversed().slice(0, 10) };
      case "POST scripts deployments":
        return this.deploy(worker, (await body()) as Omit<Deployment, "id">);
      case "GET workers versions":
        return id === undefined
          ? this.versions(worker)
          : this.versions(worker).find((version) => version.id === id);
      case "POST workers versions": {
        const given = (await body()) as Pick<Version, "annotations" | "bindings">;
        const version = { id: randomUUID(), created: new Date().toISOString(), ...given };
        this.uploads.set(worker, [...(this.uploads.get(worker) ?? []), version]);
        return version;
      }
      default:
        throw new Error(`this Cloudflare answers no ${verb}`);
    }
  }

  private deploy(worker: string, given: Omit<Deployment, "id">): Deployment {
    const known = this.versions(worker).map(({ id }) => id);
    const sum = given.versions.reduce((total, { percentage }) => total + percentage, 0);
    if (sum !== 100 || given.versions.some(({ version_id }) => !known.includes(version_id))) {
      throw new Error(`a deployment of ${JSON.stringify(given.versions)} is none`);
    }
    const deployment = { ...given, id: randomUUID() };
    this.deployments.set(worker, [...(this.deployments.get(worker) ?? []), deployment]);
    const shares = given.versions.map((one) => `${this.nameOf(worker, one.version_id)} ${one.percentage}`);
    const move = `${worker}: ${shares.join(", ")}`;
    if (this.moves.at(-1) !== move) this.moves.push(move);
    return deployment;
  }

  /** The latest first. */
  private versions(worker: string): Version[] {
    const recorded = this.things("workerVersion:WorkerVersion")
      .filter(({ inputs }) => inputs.workerId === worker)
      .map(({ id, inputs, outputs }): Version => {
        const { workersTag, workersMessage } = inputs.annotations as Record<string, string>;
        return {
          id,
          annotations: { "workers/tag": workersTag ?? "", "workers/message": workersMessage ?? "" },
          bindings: inputs.bindings as unknown as Version["bindings"],
          created: String(outputs.createdOn),
        };
      });
    const all = [...recorded, ...(this.uploads.get(worker) ?? [])];
    return all.sort((one, other) => (one.created < other.created ? 1 : -1));
  }

  private serve(request: IncomingMessage, response: ServerResponse, url: URL): void {
    const worker = this.workerAt(url);
    if (worker === null) {
      // Stands for the origin of the zone: no server of its own is behind any of these hostnames.
      response.writeHead(522).end(`no Worker is at ${url.href}, and the zone's origin does not answer\n`);
      return;
    }
    // A route and a domain strip nothing: the Worker sees the path that was asked.
    const path = url.pathname;
    const shares = this.deployments.get(worker)?.at(-1)?.versions ?? [];
    const header = String(request.headers["cloudflare-workers-version-overrides"] ?? "");
    const wanted = header.startsWith(`${worker}="`) ? header.slice(worker.length + 2, -1) : "";
    const asked = shares.find(({ version_id }) => version_id === wanted);
    const chosen = asked ?? shares.findLast(({ percentage }) => percentage > 0);
    const version = this.versions(worker).find(({ id }) => id === chosen?.version_id);
    const release = version?.bindings.find(({ name }) => name === "RELEASE")?.text;
    if (!version || release === undefined) {
      response.writeHead(503).end("nothing serves here\n");
      return;
    }
    const status = this.sick.get(release)?.(path) ?? 200;
    const text = path === "/switchyard-release.txt" ? version.annotations["workers/tag"] : release;
    response.writeHead(status, { "x-release": release }).end(`${text}\n`);
  }

  /**
   * The Worker that an address leads to; null where none does. Routes are looked up by Cloudflare's own code, as its
   * runtime for development has it: the most specific one wins, and any of them before a domain of the same hostname.
   */
  private workerAt(url: URL): string | null {
    const patterns = new Map<string, string[]>();
    for (const { inputs } of this.led("workersRoute:")) {
      const script = String(inputs.script);
      patterns.set(script, [...(patterns.get(script) ?? []), String(inputs.pattern)]);
    }
    const routed = matchRoutes(parseRoutes(patterns), url);
    if (routed !== null) return routed;
    const domain = this.led("workersCustomDomain:").find(({ inputs }) => inputs.hostname === url.hostname);
    if (domain) return String(domain.inputs.service);
    const [name, , ...rest] = url.hostname.split(".");
    if (rest.join(".") !== "workers.dev") return null;
    const worker = this.led("worker:Worker").find(({ inputs }) => inputs.name === name);
    const { enabled } = (worker?.inputs.subdomain ?? {}) as { enabled?: boolean };
    return enabled === true ? String(name) : null;
  }

  /** Of what leads to a Worker only what is there now: a route that was taken away leads nowhere. */
  private led(match: string): readonly Thing[] {
    return this.world.things({ package: "cloudflare", match });
  }

  /** Versions stay when the engine has forgotten them, so what is left counts too. */
  private things(match: string): readonly Thing[] {
    return this.world.things({ package: "cloudflare", match }, true);
  }

  private nameOf(worker: string, versionId: string): string {
    const version = this.versions(worker).find(({ id }) => id === versionId);
    return version?.bindings.find(({ name }) => name === "RELEASE")?.text ?? "closed";
  }
}

function reply(response: ServerResponse, status: number, content: object): void {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(content));
}
