import { randomUUID } from "node:crypto";
import { mkdir, rm } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server } from "node:http";
import { dirname } from "node:path";
import { buffer } from "node:stream/consumers";
import { requireOwnFolder } from "../../box/supervisor/places.ts";
import { type LocalEdge, type NewDeployment, type NewVersion, Refused } from "./edge.ts";
import type { LocalVersion } from "./memory.ts";
import { UploadSessions } from "./uploads.ts";

/** The part of Cloudflare's API that a release needs, with its paths and shapes, over a socket of the user's own. */

type Ask = {
  readonly words: string[];
  readonly url: URL;
  readonly body: Buffer;
  readonly type: string;
  readonly token: string;
};
type Answer = (edge: LocalEdge, uploads: UploadSessions, ask: Ask) => unknown;

const json = <T>({ body }: Ask) => JSON.parse(body.toString("utf8")) as T;

/** Method and path; a word in braces is handed on, in their order. */
const answers: Readonly<Record<string, Answer>> = {
  "POST /accounts/{}/workers/workers": (edge, _, ask) => edge.create(json<{ name: string }>(ask).name),
  "DELETE /accounts/{}/workers/workers/{}": (edge, _, { words }) => edge.remove(words[1] ?? ""),
  "GET /accounts/{}/workers/workers/{}/versions": (edge, _, { words, url }) =>
    edge
      .worker(words[1] ?? "")
      .versions.slice(0, Number(url.searchParams.get("per_page") ?? 10))
      .map(shown),
  "GET /accounts/{}/workers/workers/{}/versions/{}": (edge, _, { words }) => {
    const found = edge.worker(words[1] ?? "").versions.find(({ id }) => id === words[2]);
    if (!found) throw new Refused(404, 10213, "There is no such version.");
    return shown(found);
  },
  "POST /accounts/{}/workers/workers/{}/versions": async (edge, uploads, ask) => {
    const given = json<NewVersion & { assets?: { jwt?: string } }>(ask);
    const files = given.assets?.jwt ? uploads.finished(given.assets.jwt) : null;
    return shown(await edge.upload(ask.words[1] ?? "", given, files));
  },
  "DELETE /accounts/{}/workers/workers/{}/versions/{}": (edge, _, { words }) =>
    edge.removeVersion(words[1] ?? "", words[2] ?? ""),
  "GET /accounts/{}/workers/scripts/{}/deployments": (edge, _, { words }) => ({
    deployments: edge.worker(words[1] ?? "").deployments,
  }),
  "POST /accounts/{}/workers/scripts/{}/deployments": (edge, _, ask) =>
    edge.deploy(ask.words[1] ?? "", json<NewDeployment>(ask), ask.url.searchParams.get("force") === "true"),
  "POST /accounts/{}/workers/scripts/{}/assets-upload-session": (edge, uploads, ask) => {
    edge.worker(ask.words[1] ?? "");
    return uploads.begin(json<{ manifest: Record<string, { hash: string; size: number }> }>(ask).manifest);
  },
  "POST /accounts/{}/workers/assets/upload": (_edge, uploads, { body, type, token }) =>
    uploads.take(token, body, type),
  "GET /local/status": (edge) => edge.status(),
  "PUT /local/workers/{}/door": (edge, _, ask) =>
    edge.openDoor(ask.words[0] ?? "", json<{ port: number }>(ask).port),
};

/** Listens; `onStop` is called once a caller who wants the edge to end was answered. */
export async function listenForApi(socket: string, edge: LocalEdge, onStop: () => void): Promise<Server> {
  await mkdir(dirname(socket), { recursive: true, mode: 0o700 });
  requireOwnFolder(socket);
  // Only the one edge of this folder comes here: what lies there is a dead one's.
  await rm(socket, { force: true });
  const uploads = new UploadSessions();
  const server = createServer((request, response) => {
    const end = (status: number, content: object) =>
      response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(content));
    if (request.method === "POST" && request.url === "/local/stop") {
      response.once("close", onStop);
      return end(200, { success: true, errors: [], messages: [], result: null });
    }
    answer(edge, uploads, request).then(
      (result) => end(200, { success: true, errors: [], messages: [], result: result ?? null }),
      (error: Error) => {
        const { status, code } = error instanceof Refused ? error : { status: 500, code: 10000 };
        end(status, {
          success: false,
          errors: [{ code, message: error.message }],
          messages: [],
          result: null,
        });
      },
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(socket, resolve);
  });
  return server;
}

async function answer(edge: LocalEdge, uploads: UploadSessions, request: IncomingMessage): Promise<unknown> {
  const url = new URL(request.url ?? "/", "http://edge");
  const parts = url.pathname.split("/");
  for (const [pattern, perform] of Object.entries(answers)) {
    const [method = "", path = ""] = pattern.split(" ");
    const wanted = path.split("/");
    if (method !== request.method || wanted.length !== parts.length) continue;
    if (!wanted.every((word, index) => word === "{}" || word === parts[index])) continue;
    const words = parts.filter((_, index) => wanted[index] === "{}").map(decodeURIComponent);
    const type = request.headers["content-type"] ?? "";
    const token = (request.headers.authorization ?? "").replace(/^Bearer /, "");
    return perform(edge, uploads, { words, url, body: await buffer(request), type, token });
  }
  throw new Refused(404, 7003, `The local edge answers no ${request.method} ${url.pathname}.`);
}

/** A secret's value never leaves again. */
function shown(version: LocalVersion): object {
  const bindings = version.bindings.map(({ text, ...binding }) =>
    binding.type === "secret_text" || text === undefined ? binding : { ...binding, text },
  );
  return { ...version, bindings, urls: [], request_id: randomUUID() };
}
