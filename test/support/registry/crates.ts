import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { indexPath } from "../../../components/packages/cargo.ts";

/**
 * A stand-in for a crates registry: cargo's registry protocol (sparse index, publish, download) in memory, for the real
 * cargo. There is none to be had from a package registry.
 */
export interface CratesRegistry {
  /** Of the sparse index. */
  readonly index: string;
  readonly token: string;
  /** Versions that were uploaded, `name version`, in the order they came; a refused one is not among them. */
  readonly uploads: string[];
  stop(): Promise<void>;
}

interface Crate {
  readonly line: string;
  readonly archive: Buffer;
}

export async function startCratesRegistry(): Promise<CratesRegistry> {
  const token = "publishes-crates";
  const uploads: string[] = [];
  const crates = new Map<string, Crate>();
  const server = createServer((request, response) => {
    handle(request, response).catch((error: Error) => response.writeHead(500).end(error.message));
  });

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, origin } = new URL(request.url ?? "/", `http://${request.headers.host}`);
    const json = (status: number, body: unknown) => response.writeHead(status).end(JSON.stringify(body));
    if (pathname === "/index/config.json") return void json(200, { dl: `${origin}/dl`, api: origin });
    if (pathname.startsWith("/index/")) {
      const lines = [...crates].filter(([id]) => `/index/${indexPath(id.split(" ")[0] ?? "")}` === pathname);
      if (lines.length === 0) return void response.writeHead(404).end();
      return void response.writeHead(200).end(`${lines.map(([, { line }]) => line).join("\n")}\n`);
    }
    const [, name, version] = /^\/dl\/([^/]+)\/([^/]+)\/download$/.exec(pathname) ?? [];
    if (name !== undefined) {
      const crate = crates.get(`${name} ${version}`);
      return void (crate ? response.writeHead(200).end(crate.archive) : response.writeHead(404).end());
    }
    if (request.method === "PUT" && pathname === "/api/v1/crates/new") {
      if (request.headers.authorization !== token) return void json(403, error("the token may not publish"));
      const refused = accept(await buffer(request));
      return void json(refused === null ? 200 : 400, refused === null ? { warnings: {} } : error(refused));
    }
    response.writeHead(404).end();
  }

  /** Lengths and parts as cargo sends them: metadata as JSON, then the archive. @returns why not */
  function accept(body: Buffer): string | null {
    const end = 4 + body.readUInt32LE(0);
    const meta = JSON.parse(body.toString("utf8", 4, end)) as {
      name: string;
      vers: string;
      features: object;
    };
    const archive = body.subarray(end + 4, end + 4 + body.readUInt32LE(end));
    const id = `${meta.name} ${meta.vers}`;
    if (crates.has(id)) return `crate version \`${id}\` is already uploaded`;
    const cksum = createHash("sha256").update(archive).digest("hex");
    const line = {
      name: meta.name,
      vers: meta.vers,
      deps: [],
      cksum,
      features: meta.features,
      yanked: false,
    };
    crates.set(id, { line: JSON.stringify(line), archive });
    uploads.push(id);
    return null;
  }

  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  return {
    index: `http://127.0.0.1:${(server.address() as AddressInfo).port}/index/`,
    token,
    uploads,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

const error = (detail: string) => ({ errors: [{ detail }] });
