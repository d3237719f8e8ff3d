import { setTimeout as pause } from "node:timers/promises";
import { type LegAddress, UnreachableError } from "../rollout/leg.ts";
import { type ApiCall, type Transport, transportTo } from "./transport.ts";

/** The part of Cloudflare's API that a leg needs: the versions of one Worker, and which of them serve. */

export type EdgeAddress = Extract<LegAddress, { kind: "edge" }>;

export interface Share {
  readonly versionId: string;
  /** 0 to 100; the shares of a deployment make 100. */
  readonly percentage: number;
}

export interface Deployment {
  readonly id: string;
  readonly message: string | undefined;
  readonly shares: readonly Share[];
}

export interface Version {
  readonly id: string;
  /** The fingerprint of the release it is, or what else it is for. */
  readonly tag: string | undefined;
  readonly bindings: readonly Binding[];
  /** The Durable Object migration the Worker was brought to with it. */
  readonly migrationTag: string | null;
}

/** Of a secret_text binding the API tells the name only. */
export interface Binding {
  readonly type: string;
  readonly name: string;
  readonly text?: string;
}

export interface VersionUpload {
  readonly tag: string;
  readonly message: string;
  /** Null: static files only. */
  readonly mainModule: string | null;
  readonly modules: readonly { readonly name: string; readonly type: string; readonly base64: string }[];
  readonly bindings: readonly Binding[];
  readonly compatibilityDate: string;
  readonly compatibilityFlags: readonly string[];
  readonly assets: { readonly token: string; readonly notFound: string } | null;
}

/** How many of a Worker's latest versions can be deployed; an older one has to be uploaded again. */
export const deployableVersions = 100;

const callSeconds = 15;
const uploadSeconds = 120;

/** What the API refused, with its own words. */
export class ApiError extends Error {
  readonly status: number;
  readonly codes: readonly number[];

  constructor(what: string, status: number, errors: readonly { code: number; message: string }[]) {
    const why = errors.map(({ code, message }) => `${message} (${code})`).join("; ") || `status ${status}`;
    super(`${what}: ${why}`);
    this.name = "ApiError";
    this.status = status;
    this.codes = errors.map(({ code }) => code);
  }
}

export class WorkerApi {
  readonly address: EdgeAddress;
  private readonly send: Transport;

  constructor(address: EdgeAddress, send: Transport = transportTo(address.api)) {
    this.address = address;
    this.send = send;
  }

  /** The latest first; none where the Worker was never deployed, null where there is no such Worker. */
  async deployments(): Promise<readonly Deployment[] | null> {
    const found = await this.askIfThere<{ deployments: RawDeployment[] }>(this.script("/deployments"));
    return found?.deployments.map(readDeployment) ?? null;
  }

  /** @param force deploys a version with another secret value than the one that serves has */
  async deploy(shares: readonly Share[], message: string, force: boolean): Promise<Deployment> {
    const body = {
      strategy: "percentage",
      versions: shares.map(({ versionId, percentage }) => ({ version_id: versionId, percentage })),
      annotations: { "workers/message": message },
    };
    const path = this.script(`/deployments${force ? "?force=true" : ""}`);
    // Posted twice it would be two deployments: only the caller can know whether the first one took effect.
    return readDeployment(await this.ask<RawDeployment>("POST", path, body, { attempts: 1 }));
  }

  /** The versions that can be deployed, the latest first; null where there is no such Worker. */
  async versions(): Promise<readonly Version[] | null> {
    const found = await this.askIfThere<RawVersion[]>(
      this.worker(`/versions?per_page=${deployableVersions}`),
    );
    return found?.map(readVersion) ?? null;
  }

  async version(id: string): Promise<Version> {
    return readVersion(await this.ask<RawVersion>("GET", this.worker(`/versions/${id}`)));
  }

  async upload(upload: VersionUpload): Promise<Version> {
    const { assets } = upload;
    const modules = upload.modules.map(({ name, type, base64 }) => ({
      name,
      content_type: type,
      content_base64: base64,
    }));
    const body = {
      annotations: { "workers/tag": upload.tag, "workers/message": upload.message },
      ...(upload.mainModule === null ? {} : { main_module: upload.mainModule, modules }),
      bindings: upload.bindings,
      compatibility_date: upload.compatibilityDate,
      compatibility_flags: upload.compatibilityFlags,
      ...(assets ? { assets: { jwt: assets.token, config: { not_found_handling: assets.notFound } } } : {}),
    };
    return readVersion(
      await this.ask<RawVersion>("POST", this.worker("/versions"), body, {
        attempts: 1,
        seconds: uploadSeconds,
      }),
    );
  }

  async removeVersion(id: string): Promise<void> {
    await this.ask("DELETE", this.worker(`/versions/${id}`));
  }

  /** Makes the Worker where it is not there; one that is stays as it is. */
  async createWorker(): Promise<void> {
    if ((await this.deployments()) !== null) return;
    await this.ask("POST", this.account("/workers/workers"), { name: this.address.worker });
  }

  /** Takes the Worker away with all its versions; one that is not there is no error. */
  async removeWorker(): Promise<void> {
    try {
      await this.ask("DELETE", this.worker(""));
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 404) throw error;
    }
  }

  /** Brings static files up. @returns the token that a version with these files shows */
  async uploadAssets(files: ReadonlyMap<string, Asset>): Promise<string> {
    const manifest = Object.fromEntries(
      [...files].map(([path, { hash, bytes }]) => [path, { hash, size: bytes.length }]),
    );
    const session = await this.ask<{ jwt: string; buckets?: string[][] }>(
      "POST",
      this.script("/assets-upload-session"),
      { manifest },
    );
    const byHash = new Map([...files.values()].map((asset) => [asset.hash, asset]));
    let token = session.jwt;
    for (const bucket of session.buckets ?? []) {
      const form = new FormData();
      for (const hash of bucket) {
        const asset = byHash.get(hash);
        if (!asset) throw new Error(`the API asked for a file nobody offered: ${hash}`);
        const part = new Blob([asset.bytes.toString("base64")], { type: asset.type });
        form.append(hash, part, hash);
      }
      const path = this.account("/workers/assets/upload?base64=true");
      const answer = await this.call<{ jwt?: string } | null>({
        method: "POST",
        path,
        body: form,
        token: session.jwt,
        seconds: uploadSeconds,
      });
      token = answer?.jwt ?? token;
    }
    return token;
  }

  private account(path: string): string {
    return `/accounts/${this.address.accountId}${path}`;
  }
  private script(path: string): string {
    return this.account(`/workers/scripts/${this.address.worker}${path}`);
  }
  private worker(path: string): string {
    return this.account(`/workers/workers/${this.address.worker}${path}`);
  }

  private async askIfThere<T>(path: string): Promise<T | null> {
    try {
      return await this.ask<T>("GET", path);
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return null;
      throw error;
    }
  }

  private async ask<T>(
    method: ApiCall["method"],
    path: string,
    body?: object,
    { attempts = 4, seconds = callSeconds } = {},
  ): Promise<T> {
    const call = { method, path, seconds, ...(body ? { body: JSON.stringify(body) } : {}) };
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.call<T>(call);
      } catch (error) {
        if (attempt >= attempts || !mayPass(error)) throw error;
        await pause(250 * 2 ** attempt);
      }
    }
  }

  private async call<T>(call: ApiCall): Promise<T> {
    const { status, text } = await this.send(call);
    let answer: { success?: boolean; result?: T; errors?: { code: number; message: string }[] } = {};
    try {
      answer = JSON.parse(text);
    } catch {
      // A proxy's page of words; the status says enough.
    }
    if (status < 300 && answer.success) return answer.result as T;
    const what = `${call.method} ${call.path} of ${this.address.api}`;
    throw new ApiError(what, status, answer.errors ?? []);
  }
}

/** One static file, by its path below the site's root. */
export interface Asset {
  /** 32 hex digits over the content and the kind of file. */
  readonly hash: string;
  readonly bytes: Buffer;
  readonly type: string;
}

/** A fault of the moment: too many calls, a server that is tired, an answer that did not come. */
export function mayPass(error: unknown): boolean {
  if (error instanceof ApiError) return error.status === 429 || error.status >= 500;
  return error instanceof UnreachableError && !error.message.includes("CLOUDFLARE_API_TOKEN");
}

interface RawDeployment {
  id: string;
  annotations?: { "workers/message"?: string };
  versions: { version_id: string; percentage: number }[];
}

interface RawVersion {
  id: string;
  annotations?: { "workers/tag"?: string };
  bindings?: Binding[];
  migration_tag?: string;
}

function readDeployment({ id, annotations, versions }: RawDeployment): Deployment {
  return {
    id,
    message: annotations?.["workers/message"],
    shares: versions.map(({ version_id, percentage }) => ({ versionId: version_id, percentage })),
  };
}

function readVersion({ id, annotations, bindings, migration_tag }: RawVersion): Version {
  const tag = annotations?.["workers/tag"];
  return { id, tag, bindings: bindings ?? [], migrationTag: migration_tag ?? null };
}
