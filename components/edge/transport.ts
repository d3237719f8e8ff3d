import { request } from "node:http";
import { UnreachableError } from "../rollout/leg.ts";
import { localApi } from "./local/places.ts";

/** How a call reaches Cloudflare's API: over the network, or the socket of the local edge. */

export interface ApiAnswer {
  readonly status: number;
  readonly text: string;
}

export interface ApiCall {
  readonly method: "GET" | "POST" | "PUT" | "DELETE";
  /** Below the API's base, with its query. */
  readonly path: string;
  readonly body?: string | FormData;
  /** In the place of the runner's own token, where the API has handed out another one. */
  readonly token?: string;
  readonly seconds: number;
}

export type Transport = (call: ApiCall) => Promise<ApiAnswer>;

/** Cloudflare's own API. */
export const cloudflareApi = "https://api.cloudflare.com/client/v4";

/**
 * The transport for a leg's address: `local` is the edge of development, which is started where it does not run.
 *
 * @throws UnreachableError where there is no token for Cloudflare's API
 */
export function transportTo(api: string): Transport {
  return api === localApi ? overSocket : overNetwork(api);
}

function overNetwork(api: string): Transport {
  return async ({ method, path, body, token, seconds }) => {
    const own = process.env.CLOUDFLARE_API_TOKEN;
    if (!own && api === cloudflareApi) {
      throw new UnreachableError(
        api,
        "CLOUDFLARE_API_TOKEN is not set: export a token that may edit Workers",
      );
    }
    const bearer = token ?? own;
    try {
      const answer = await fetch(`${api}${path}`, {
        method,
        headers: headersOf(body, bearer),
        ...(body === undefined ? {} : { body }),
        signal: AbortSignal.timeout(seconds * 1000),
      });
      return { status: answer.status, text: await answer.text() };
    } catch (error) {
      const { cause, message } = error as Error & { cause?: { code?: string } };
      throw new UnreachableError(api, cause?.code ?? message);
    }
  };
}

const overSocket: Transport = async ({ method, path, body, token, seconds }) => {
  // Only a development stack ever loads what starts the local edge.
  const { socketOfLocalEdge } = await import("./local/client.ts");
  const socketPath = await socketOfLocalEdge();
  const encoded = new Response(body ?? null);
  const bytes = Buffer.from(await encoded.arrayBuffer());
  const type = encoded.headers.get("content-type");
  const headers = {
    ...headersOf(body, token),
    ...(type ? { "content-type": type } : {}),
    connection: "close",
  };
  return new Promise((resolve, reject) => {
    const fail = (error: Error) => reject(new UnreachableError("the local edge", error.message));
    const call = request({ socketPath, method, path, headers }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (part: string) => {
        text += part;
      });
      response.on("error", fail);
      response.on("end", () => resolve({ status: response.statusCode ?? 0, text }));
    });
    call.setTimeout(seconds * 1000, () => call.destroy(new Error(`no answer within ${seconds} s`)));
    call.on("error", fail);
    call.end(bytes);
  });
};

function headersOf(body: ApiCall["body"], token: string | undefined): Record<string, string> {
  return {
    ...(typeof body === "string" ? { "content-type": "application/json" } : {}),
    ...(token ? { authorization: `Bearer ${token}` } : {}),
  };
}
