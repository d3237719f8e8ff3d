import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { closeSync, existsSync, openSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { children, identify, isAlive, namespacePids, type ProcessIdentity, until } from "../box/processes.ts";
import type { Finished, RunOptions } from "../box/run.ts";
import { makeCgroups } from "../cgroups.ts";
import { gatewayAddress, nodeAddress } from "./addresses.ts";
import { openRelay } from "./api-relay.ts";
import { toStderr } from "./cache.ts";
import { makeCredentials, writeKubeconfig } from "./credentials.ts";
import type { Image, ImageStart } from "./images.ts";
import type { Content } from "./layers.ts";
import { clusterPrograms, environmentOf, type Programs } from "./programs.ts";
import { reasonNoCluster } from "./reason.ts";
import { type ClusterRecord, cgroupName, clusters, removeCluster, removeLeftovers } from "./records.ts";
import { RunningCluster } from "./running.ts";
import { commands, writeSettings } from "./settings.ts";

export interface ClusterOptions {
  /** Default: a random one. */
  readonly name?: string;
  /** The cluster outlives this process; `findCluster(name)` finds it again, `stop()` ends it. Default false. */
  readonly keep?: boolean;
  /** Size of the cluster's disk, which is memory as far as it is used. Default 4096. */
  readonly diskMiB?: number;
}

/** An image to be made: the node image with something more in it, started in another way. */
export interface ImageSource extends ImageStart {
  /** With a tag, and a dot in its first part: `switchyard.test/api:v1`. */
  readonly name: string;
  /** By absolute path in the image. */
  readonly contents: Readonly<Record<string, Content>>;
  /** `node`: beside Node, its libraries and busybox. `nothing`: alone. Default `node`. */
  readonly base?: "node" | "nothing";
}

export type CommandOptions = Pick<RunOptions, "stdin" | "timeoutSeconds">;

/**
 * Kubernetes with one real node: real pods, Services, Jobs and quotas, RBAC and pod security. It has no DNS (choose the
 * Services' clusterIPs), no registry (import images, `imagePullPolicy` IfNotPresent or Never), no ingress, no route to
 * anywhere else, and nothing there enforces a NetworkPolicy.
 */
export interface Cluster {
  readonly name: string;
  /** File with an administrator's access, good on this machine and in the cluster's own network. */
  readonly kubeconfig: string;
  /** The only context in it. */
  readonly context: string;
  /** Put before a command's words, runs it in the node's network, which reaches pods and Services. */
  readonly enter: readonly string[];
  readonly nodeName: string;
  readonly nodeAddress: string;
  /** Node 24 with busybox, user 65532, entrypoint `node`. */
  readonly nodeImage: Image;
  /** The kubectl that fits it. */
  readonly kubectlProgram: string;
  /** Runs a command on the node: its network, its mounts, its processes, its programs (nft, ctr, conntrack, runc). */
  inside(command: readonly string[], options?: CommandOptions): Promise<Finished>;
  /** Runs kubectl as administrator; resolves with its stdout, rejects when it fails. */
  kubectl(words: readonly string[], options?: CommandOptions): Promise<string>;
  /** Makes an image and puts it on the node; the same contents give the same digest. */
  importImage(source: ImageSource): Promise<Image>;
  /** Ends the cluster; nothing of it is left. */
  stop(): Promise<void>;
}

/** Brings a cluster up and waits until its node is ready and pods can be made (about 6 s). */
export async function startCluster(options: ClusterOptions = {}): Promise<Cluster> {
  const reason = reasonNoCluster();
  if (reason !== null) throw new Error(`no cluster can be brought up here: ${reason}`);
  const programs = await clusterPrograms();
  for (const name of await removeLeftovers())
    toStderr(`removed ${name}, left behind by a run that was killed`);

  const owner = identify(process.pid);
  if (!owner) throw new Error("no /proc/self/stat: is /proc mounted?");
  const name = options.name ?? randomBytes(4).toString("hex");
  const claimed: ClusterRecord = { name, owner, keep: options.keep ?? false };
  const state = clusters.claim(claimed);
  try {
    makeCgroups(cgroupName(name));
    await writeState(state, name, programs);
    const supervisor = supervise(state, claimed, programs, options.diskMiB ?? 4096);
    clusters.write({ ...claimed, supervisor });
    const first = await firstProcess(supervisor);
    const record: ClusterRecord = { ...claimed, supervisor, first };
    clusters.write(record);
    const cluster = new RunningCluster(record, programs);
    await Promise.all([openRelay(cluster.first, state), cluster.importFirstImages()]);
    await cluster.waitUntilReady();
    return cluster;
  } catch (error) {
    const words = lastWords(state);
    await removeCluster(name);
    throw new Error(`the cluster did not come up: ${(error as Error).message}\n${words}`.trim());
  }
}

/** The cluster of that name, started with `keep` by an earlier process; undefined when it is not up. */
export async function findCluster(name: string): Promise<Cluster | undefined> {
  const record = clusters.read(name);
  if (!record?.first || !isAlive(record.first)) return undefined;
  if (!existsSync(join(clusters.of(name), "kubeconfig"))) return undefined;
  return new RunningCluster(record, await clusterPrograms());
}

async function writeState(state: string, name: string, programs: Programs): Promise<void> {
  const tokens = await makeCredentials(state);
  writeKubeconfig(state, "kubelet.kubeconfig", tokens.kubelet);
  writeKubeconfig(state, "proxy.kubeconfig", tokens.proxy);
  writeKubeconfig(state, "scheduler.kubeconfig", tokens.scheduler);
  writeKubeconfig(state, "controllers.kubeconfig", tokens.admin);
  writeFileSync(join(state, "admin-token"), tokens.admin, { mode: 0o600 });
  writeSettings(state, programs, cgroupName(name));
  const parts = Object.entries(commands(state)).map(([part, words]) => `${part} ${words.join(" ")}\n`);
  writeFileSync(join(state, "parts"), parts.join(""));
}

/** Starts `supervise.sh` in a session of its own, so that a Ctrl-C is this process's alone. */
function supervise(
  state: string,
  record: ClusterRecord,
  programs: Programs,
  diskMiB: number,
): ProcessIdentity {
  const log = openSync(join(state, "supervisor.log"), "a");
  const script = join(import.meta.dirname, "supervise.sh");
  const life = record.keep ? "kept" : "owned";
  const words = [script, "outside", state, `${diskMiB}`, life, `${nodeAddress}/24`, gatewayAddress];
  // An owned cluster ends when this process does: the kernel then closes the other end of its stdin.
  const child = spawn("sh", words, {
    stdio: [record.keep ? "ignore" : "pipe", log, log],
    detached: true,
    env: environmentOf(programs),
  });
  closeSync(log);
  child.unref();
  const identity = identify(child.pid ?? 0);
  if (!identity) throw new Error("sh could not be started");
  return identity;
}

async function firstProcess(supervisor: ProcessIdentity): Promise<ProcessIdentity> {
  let first: ProcessIdentity | undefined;
  const found = () => {
    const pid = children(supervisor.pid).find((child) => namespacePids(child).at(-1) === 1);
    first = pid === undefined ? undefined : identify(pid);
    return first !== undefined || !isAlive(supervisor);
  };
  await until(found, 10, "no namespaces");
  if (!first) throw new Error("the namespaces could not be made");
  return first;
}

/** The end of what each part said, for an error. */
function lastWords(state: string): string {
  const logs = join(state, "logs");
  const files = existsSync(logs) ? readdirSync(logs).map((name) => join("logs", name)) : [];
  return ["supervisor.log", ...files]
    .map((file) => {
      const lines = readFileSync(join(state, file), "utf8").trim().split("\n").slice(-5);
      return lines.join("").trim() === ""
        ? ""
        : `${file}:\n${lines.map((line) => line.slice(0, 400)).join("\n")}`;
    })
    .filter((text) => text !== "")
    .join("\n");
}
