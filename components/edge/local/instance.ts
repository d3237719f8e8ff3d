import { access, readFile } from "node:fs/promises";
import { join } from "node:path";
import { Miniflare, type MiniflareOptions } from "miniflare";
import { waitUntil } from "../../box/supervisor/group.ts";
import type { LocalVersion } from "./memory.ts";

/** Seconds that requests in flight get to end when their version leaves the deployment. */
const flightSeconds = 30;

/** One version of a Worker at work: a workerd of its own. */
export class Instance {
  readonly versionId: string;
  readonly port: number;
  private readonly runtime: Miniflare;
  private flights = 0;

  /** @throws with the runtime's words where the version cannot start, as Cloudflare does at its upload */
  static async start(version: LocalVersion, folder: string): Promise<Instance> {
    const runtime = new Miniflare(await optionsOf(version, folder));
    try {
      return new Instance(version.id, Number((await runtime.ready).port), runtime);
    } catch (error) {
      await runtime.dispose().catch(() => {});
      throw new Error(wordsOf(error as Error));
    }
  }

  private constructor(versionId: string, port: number, runtime: Miniflare) {
    this.versionId = versionId;
    this.port = port;
    this.runtime = runtime;
  }

  /** Counts a request in. @returns what to call when it is over */
  takeOff(): () => void {
    this.flights += 1;
    let landed = false;
    return () => {
      if (!landed) this.flights -= 1;
      landed = true;
    };
  }

  /** Ends once nothing is in flight any more. */
  async retire(): Promise<void> {
    await waitUntil(async () => this.flights === 0, flightSeconds);
    await this.end();
  }

  async end(): Promise<void> {
    await this.runtime.dispose().catch(() => {});
  }
}

async function optionsOf(version: LocalVersion, folder: string): Promise<MiniflareOptions> {
  const { main_module: main, bindings, assets } = version;
  const values = bindings.filter(({ type }) => type === "plain_text" || type === "secret_text");
  const binding = bindings.find(({ type }) => type === "assets")?.name;
  const directory = join(folder, "assets");
  const contents = main === null ? noCode : await readFile(join(folder, "modules", main), "utf8");
  return {
    name: "worker",
    host: "127.0.0.1",
    port: 0,
    cf: false,
    modules: [{ type: "ESModule", path: "/worker.js", contents }],
    modulesRoot: "/",
    compatibilityDate: version.compatibility_date,
    compatibilityFlags: [...version.compatibility_flags],
    bindings: Object.fromEntries(values.map(({ name, text = "" }) => [name, text])),
    ...(assets && (await exists(directory))
      ? {
          assets: {
            directory,
            ...(binding ? { binding } : {}),
            routerConfig: { has_user_worker: main !== null },
            assetConfig: {
              not_found_handling: (assets.config.not_found_handling ?? "none") as "none",
              html_handling: "auto-trailing-slash" as const,
            },
          },
        }
      : {}),
  };
}

/** workerd wants some code in every Worker; nobody reaches it where there are files only. */
const noCode = 'export default { fetch() { return new Response("not found", { status: 404 }); } };';

function wordsOf({ message }: Error): string {
  const [, said] = /Runtime stderr:\s*([\s\S]*)$/.exec(message) ?? [];
  return (said ?? message).replaceAll("core:user:worker", "worker").trim().slice(0, 500);
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
