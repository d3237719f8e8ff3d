import { readJson, writeDurably } from "../../box/toolkit/durable.ts";
import type { ProcessIdentity } from "../../box/toolkit/process-identity.ts";
import type { Binding } from "../api.ts";

/** What the local edge remembers. Names and shapes are Cloudflare's, so that the same client speaks with both. */

export interface LocalVersion {
  readonly id: string;
  readonly number: number;
  readonly created_on: string;
  readonly annotations: Readonly<Record<string, string>>;
  readonly main_module: string | null;
  /** With the values of secrets: this file is the user's own (0600). */
  readonly bindings: readonly Binding[];
  readonly compatibility_date: string;
  readonly compatibility_flags: readonly string[];
  readonly assets: { readonly config: { readonly not_found_handling?: string } } | null;
}

export interface LocalDeployment {
  readonly id: string;
  readonly created_on: string;
  readonly source: "api";
  readonly strategy: "percentage";
  readonly annotations: Readonly<Record<string, string>>;
  readonly versions: readonly { readonly version_id: string; readonly percentage: number }[];
}

export interface LocalWorker {
  readonly id: string;
  readonly name: string;
  /** Port of its front door on this machine; null until it has one. */
  door: number | null;
  nextNumber: number;
  /** The latest first. */
  versions: LocalVersion[];
  deployments: LocalDeployment[];
}

export interface Memory {
  /** The process that serves, and the machine's boot it was started in: what it leaves behind when killed is ended. */
  process: (ProcessIdentity & { readonly boot: string }) | null;
  workers: Record<string, LocalWorker>;
}

/** The memory on the disk; several changes while one is written share the next write. */
export class MemoryFile {
  readonly now: Memory;
  private readonly file: string;
  private writing: Promise<void> = Promise.resolve();

  static async open(file: string): Promise<MemoryFile> {
    return new MemoryFile(file, (await readJson<Memory>(file)) ?? { process: null, workers: {} });
  }

  private constructor(file: string, now: Memory) {
    this.file = file;
    this.now = now;
  }

  /** Resolves when what the memory holds at this moment is on the disk. */
  save(): Promise<void> {
    this.writing = this.writing.catch(() => {}).then(() => writeDurably(this.file, JSON.stringify(this.now)));
    return this.writing;
  }
}
