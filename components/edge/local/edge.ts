import { randomUUID } from "node:crypto";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { endGroup } from "../../box/supervisor/group.ts";
import { machineBoot } from "../../box/supervisor/machine-boot.ts";
import { identify } from "../../box/toolkit/process-identity.ts";
import type { Binding } from "../api.ts";
import { longestMessage } from "../state-message.ts";
import { EdgeDoor } from "./door.ts";
import { Instance } from "./instance.ts";
import { type LocalDeployment, type LocalVersion, type LocalWorker, MemoryFile } from "./memory.ts";
import type { Places } from "./places.ts";

/** What a caller did wrong, as Cloudflare's API answers it. */
export class Refused extends Error {
  readonly status: number;
  readonly code: number;

  constructor(status: number, code: number, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

export interface NewVersion {
  readonly annotations?: Readonly<Record<string, string>>;
  readonly main_module?: string;
  readonly modules?: readonly { readonly name: string; readonly content_base64: string }[];
  readonly bindings?: readonly Binding[];
  readonly compatibility_date?: string;
  readonly compatibility_flags?: readonly string[];
  readonly assets?: { readonly config?: { readonly not_found_handling?: string } };
}

export interface NewDeployment {
  readonly annotations?: Readonly<Record<string, string>>;
  readonly versions: readonly { readonly version_id: string; readonly percentage: number }[];
}

const keptDeployments = 10;

/** Cloudflare on this machine, as far as a release needs it: versions, deployments by percentage, a front door each. */
export class LocalEdge {
  private readonly places: Places;
  private readonly memory: MemoryFile;
  private readonly doors = new Map<string, EdgeDoor>();
  private readonly instances = new Map<string, Instance>();
  private queue: Promise<unknown> = Promise.resolve();

  /** Takes up what the last one served, also where it was killed; its processes are ended first. */
  static async begin(places: Places): Promise<LocalEdge> {
    await mkdir(places.versions, { recursive: true, mode: 0o700 });
    const edge = new LocalEdge(places, await MemoryFile.open(places.memory));
    await edge.takeUp();
    return edge;
  }

  private constructor(places: Places, memory: MemoryFile) {
    this.places = places;
    this.memory = memory;
  }

  status() {
    const doors = [...this.doors.values()].map(({ worker, port }) => ({ worker, port }));
    return { pid: process.pid, workers: Object.keys(this.memory.now.workers), doors };
  }

  worker(name: string): LocalWorker {
    const found = this.memory.now.workers[name];
    if (found) return found;
    throw new Refused(404, 10007, "This Worker does not exist on your account.");
  }

  create(name: string): Promise<LocalWorker> {
    return this.inTurn(async () => {
      this.memory.now.workers[name] ??= {
        id: randomUUID().replaceAll("-", ""),
        name,
        door: null,
        nextNumber: 1,
        versions: [],
        deployments: [],
      };
      await this.memory.save();
      return this.worker(name);
    });
  }

  /** The Worker's front door listens on `port` from here on. */
  openDoor(name: string, port: number): Promise<void> {
    return this.inTurn(async () => {
      const worker = this.worker(name);
      const before = this.doors.get(name);
      if (before?.port === port) return;
      const door = new EdgeDoor(name, port);
      await door.open();
      await before?.close();
      this.doors.set(name, door);
      door.point(this.routesOf(worker));
      worker.door = port;
      await this.memory.save();
    });
  }

  remove(name: string): Promise<void> {
    return this.inTurn(async () => {
      const worker = this.worker(name);
      await this.doors.get(name)?.close();
      this.doors.delete(name);
      delete this.memory.now.workers[name];
      await this.memory.save();
      for (const { id } of worker.versions) {
        await this.instances.get(id)?.end();
        this.instances.delete(id);
        await rm(this.folderOf(id), { recursive: true, force: true });
      }
    });
  }

  /** Keeps a version, once it has shown that it starts. */
  upload(name: string, given: NewVersion, assets: ReadonlyMap<string, Buffer> | null): Promise<LocalVersion> {
    return this.inTurn(async () => {
      const worker = this.worker(name);
      const version: LocalVersion = {
        id: randomUUID(),
        number: worker.nextNumber,
        created_on: new Date().toISOString(),
        annotations: { "workers/triggered_by": "create_version_api", ...given.annotations },
        main_module: given.main_module ?? null,
        bindings: given.bindings ?? [],
        compatibility_date: given.compatibility_date ?? "2026-07-01",
        compatibility_flags: given.compatibility_flags ?? [],
        assets: assets ? { config: given.assets?.config ?? {} } : null,
      };
      const folder = this.folderOf(version.id);
      try {
        for (const { name: module, content_base64 } of given.modules ?? [])
          await keep(join(folder, "modules"), module, Buffer.from(content_base64, "base64"));
        for (const [path, bytes] of assets ?? []) await keep(join(folder, "assets"), path, bytes);
        const trial = await Instance.start(version, folder);
        await trial.end();
      } catch (error) {
        await rm(folder, { recursive: true, force: true });
        throw new Refused(400, 10021, (error as Error).message);
      }
      worker.nextNumber += 1;
      worker.versions.unshift(version);
      await this.memory.save();
      return version;
    });
  }

  removeVersion(name: string, id: string): Promise<void> {
    return this.inTurn(async () => {
      const worker = this.worker(name);
      if (worker.deployments[0]?.versions.some(({ version_id }) => version_id === id)) {
        throw new Refused(400, 10208, "A version of the active deployment cannot be deleted.");
      }
      worker.versions = worker.versions.filter((version) => version.id !== id);
      await this.memory.save();
      await rm(this.folderOf(id), { recursive: true, force: true });
    });
  }

  /** What serves changes once all of it is ready; what served before finishes what it has begun. */
  deploy(name: string, given: NewDeployment, force: boolean): Promise<LocalDeployment> {
    return this.inTurn(async () => {
      const worker = this.worker(name);
      this.check(worker, given, force);
      await this.start(worker, given.versions);
      const message = given.annotations?.["workers/message"] ?? "";
      const deployment: LocalDeployment = {
        id: randomUUID(),
        created_on: new Date().toISOString(),
        source: "api",
        strategy: "percentage",
        annotations: { "workers/triggered_by": "deployment", "workers/message": cutBytes(message) },
        versions: given.versions,
      };
      worker.deployments = [deployment, ...worker.deployments].slice(0, keptDeployments);
      await this.memory.save();
      this.doors.get(name)?.point(this.routesOf(worker));
      this.retireUnused();
      return deployment;
    });
  }

  async stop(): Promise<void> {
    await Promise.all([...this.doors.values()].map((door) => door.close()));
    await Promise.all([...this.instances.values()].map((instance) => instance.end()));
  }

  private async takeUp(): Promise<void> {
    const { now } = this.memory;
    const boot = await machineBoot();
    if (now.process?.boot === boot) await endGroup(now.process, 0);
    const self = await identify(process.pid);
    now.process = self && { ...self, boot };
    await this.memory.save();
    for (const worker of Object.values(now.workers)) {
      // A version that no longer starts, a port that is taken: the others serve all the same.
      try {
        await this.start(worker, worker.deployments[0]?.versions ?? []);
        if (worker.door === null) continue;
        const door = new EdgeDoor(worker.name, worker.door);
        await door.open();
        door.point(this.routesOf(worker));
        this.doors.set(worker.name, door);
      } catch (error) {
        process.stderr.write(`${worker.name} does not serve: ${(error as Error).message}\n`);
      }
    }
  }

  private check(worker: LocalWorker, { versions }: NewDeployment, force: boolean): void {
    const sum = versions.reduce((total, { percentage }) => total + percentage, 0);
    if (versions.length < 1 || versions.length > 2 || sum !== 100) {
      throw new Refused(400, 10210, "A deployment has one or two versions whose percentages make 100.");
    }
    const find = (id: string) => worker.versions.find((version) => version.id === id);
    const serving = worker.deployments[0]?.versions.filter(({ percentage }) => percentage > 0) ?? [];
    for (const { version_id } of versions) {
      const version = find(version_id);
      if (!version) throw new Refused(404, 10213, `There is no version ${version_id} of this Worker.`);
      for (const current of serving) {
        const other = find(current.version_id);
        if (force || !other || other.number <= version.number) continue;
        const changed = secretsThatDiffer(version, other);
        if (changed.length === 0) continue;
        throw new Refused(
          400,
          10220,
          `A secret was changed since that version (${changed.join(", ")}): use force.`,
        );
      }
    }
  }

  private async start(worker: LocalWorker, wanted: LocalDeployment["versions"]): Promise<void> {
    for (const { version_id } of wanted) {
      if (this.instances.has(version_id)) continue;
      const version = worker.versions.find(({ id }) => id === version_id);
      if (!version) throw new Error(`its version ${version_id} is gone`);
      this.instances.set(version_id, await Instance.start(version, this.folderOf(version_id)));
    }
  }

  private routesOf(worker: LocalWorker) {
    return (worker.deployments[0]?.versions ?? []).flatMap(({ version_id, percentage }) => {
      const instance = this.instances.get(version_id);
      return instance ? [{ instance, percentage }] : [];
    });
  }

  private retireUnused(): void {
    const workers = Object.values(this.memory.now.workers);
    const used = workers.flatMap((worker) => this.routesOf(worker).map(({ instance }) => instance));
    for (const [id, instance] of this.instances) {
      if (used.includes(instance)) continue;
      this.instances.delete(id);
      void instance.retire();
    }
  }

  private folderOf(versionId: string): string {
    return join(this.places.versions, versionId);
  }

  /** One change after the other. */
  private inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.queue.catch(() => {}).then(work);
    this.queue = turn;
    return turn;
  }
}

function secretsThatDiffer(one: LocalVersion, other: LocalVersion): string[] {
  const secrets = ({ bindings }: LocalVersion) =>
    new Map(bindings.filter(({ type }) => type === "secret_text").map(({ name, text }) => [name, text]));
  const before = secrets(one);
  const found = [...secrets(other)].filter(([name, text]) => before.has(name) && before.get(name) !== text);
  return found.map(([name]) => name);
}

async function keep(folder: string, name: string, bytes: Buffer): Promise<void> {
  const path = join(folder, name);
  if (!path.startsWith(`${folder}/`)) throw new Error(`${name} is no path inside a version`);
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await writeFile(path, bytes, { mode: 0o600 });
}

/** Cut without a word, as Cloudflare does it. */
function cutBytes(text: string): string {
  return Buffer.from(text).subarray(0, longestMessage).toString("utf8");
}
