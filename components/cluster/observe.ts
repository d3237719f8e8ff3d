import { longestCutoverSeconds } from "../rollout/cutover/longest.ts";
import { untouched } from "../rollout/cutover/state.ts";
import type { KnownRelease, TargetObservation } from "../rollout/observation.ts";
import type { ClusterApi, LiveObject } from "./api.ts";
import { type DoorObject, ledTo } from "./baker/doors.ts";
import type { ClusterManifest, ClusterRelease } from "./manifest.ts";
import { Memory, stateOf } from "./memory.ts";
import { annotation, bakerName, label, part, policyName, selectorText, workloadName } from "./names.ts";
import type { ClusterPolicy } from "./policy.ts";

/** A release's record with the marks that were left on it. */
export interface RecordObject extends LiveObject {
  readonly data?: {
    readonly fingerprint: string;
    readonly colour: "blue" | "green";
    readonly manifest: string;
  };
}

interface WorkloadObject extends LiveObject {
  readonly spec: { readonly replicas?: number };
}

export interface JobObject extends LiveObject {
  readonly status?: {
    readonly conditions?: readonly {
      readonly type: string;
      readonly status: string;
      readonly message?: string;
      readonly reason?: string;
    }[];
  };
}

/** What the runner knows of a system on a cluster, in as few calls as it takes, all at once. */
export async function observeCluster(
  api: ClusterApi,
  system: string,
): Promise<TargetObservation<ClusterManifest>> {
  const [remembered, records, doors, deployments, statefulSets, policy, job] = await Promise.all([
    new Memory(api, system).read(),
    recordsOf(api, system),
    api.list<DoorObject>("Service", labelled(system, part.door)),
    api.list<WorkloadObject>("Deployment", labelled(system, part.workload)),
    api.list<WorkloadObject>("StatefulSet", labelled(system, part.workload)),
    policyOf(api, system),
    api.find<JobObject>("Job", bakerName(system)),
  ]);
  const state = remembered.state === undefined ? untouched : stateOf(remembered);
  const replicas = new Map(
    [...deployments, ...statefulSets].map(({ metadata, spec }) => [metadata.name, spec.replicas ?? 1]),
  );
  const known = records.map((record) => knownRelease(record, replicas));
  const led = doors.map((door) => ({
    door: door.metadata.name,
    port: door.spec.ports[0]?.port ?? 0,
    fingerprint: ledTo(door),
  }));
  const confirmed = known.find(({ fingerprint }) => fingerprint === state.confirmed);
  return {
    ...state,
    running: job !== null && !isFinished(job),
    ...(policy === null ? {} : { longestCutover: longestOn(policy, records.map(releaseOf)) }),
    intact:
      confirmed !== undefined &&
      led.every(({ fingerprint }) => fingerprint === confirmed.fingerprint) &&
      isWhole(confirmed, policy, replicas),
    known,
    doors: led,
  };
}

export function recordsOf(api: ClusterApi, system: string): Promise<RecordObject[]> {
  return api.list<RecordObject>("ConfigMap", labelled(system, part.record));
}

/**
 * Those of which anything runs or could. A release whose migration failed has a record and no more, and nobody may be
 * kept from moving traffic by it.
 */
export async function placedReleases(api: ClusterApi, system: string): Promise<ClusterRelease[]> {
  const [records, ...workloads] = await Promise.all([
    recordsOf(api, system),
    ...["Deployment", "StatefulSet"].map((kind) => api.list(kind, labelled(system, part.workload))),
  ]);
  const there = new Set(workloads.flat().map(({ metadata }) => metadata.name));
  return records.map(releaseOf).filter((release) => workloadsOf(release).some((name) => there.has(name)));
}

export function releaseOf({ data }: RecordObject): ClusterRelease {
  const { fingerprint = "", colour = "blue", manifest = "{}" } = data ?? {};
  return { fingerprint, colour, manifest: JSON.parse(manifest) as ClusterManifest };
}

/** Null before the system was ever prepared here. */
export async function policyOf(api: ClusterApi, system: string): Promise<ClusterPolicy | null> {
  const found = await api.find<LiveObject & { data?: { policy?: string } }>("ConfigMap", policyName(system));
  return found?.data?.policy === undefined ? null : (JSON.parse(found.data.policy) as ClusterPolicy);
}

/** Seconds within which a cutover between these releases ends. */
export function longestOn(
  policy: ClusterPolicy,
  releases: readonly Pick<ClusterRelease, "manifest">[],
): number {
  const services = releases.flatMap(({ manifest }) => manifest.services);
  const leaving = services.map(({ drainSeconds, stopSeconds }) => drainSeconds + stopSeconds);
  return longestCutoverSeconds(policy, Math.max(0, ...leaving));
}

export function isFinished({ status }: JobObject): boolean {
  return (
    status?.conditions?.some(
      ({ type, status }) => ["Complete", "Failed"].includes(type) && status === "True",
    ) ?? false
  );
}

function knownRelease(
  record: RecordObject,
  replicas: ReadonlyMap<string, number>,
): KnownRelease<ClusterManifest> {
  const { fingerprint, manifest } = releaseOf(record);
  const marks = record.metadata.annotations ?? {};
  return {
    fingerprint,
    release: manifest.release,
    receipt: marks[annotation.receipt] ?? "",
    // What somebody deleted is placed again.
    placed:
      marks[annotation.gates] !== undefined &&
      workloadsOf({ fingerprint, manifest }).every((name) => replicas.has(name)),
    manifest,
  };
}

/** Every workload of it is there and has as many pods as it should. */
function isWhole(
  { fingerprint, manifest }: KnownRelease<ClusterManifest>,
  policy: ClusterPolicy | null,
  replicas: ReadonlyMap<string, number>,
): boolean {
  return manifest.services.every(({ name, kind }) => {
    const wanted = kind === "singleton" ? 1 : (policy?.replicas[name] ?? 1);
    return replicas.get(workloadName(manifest.system, name, fingerprint)) === wanted;
  });
}

function workloadsOf({ fingerprint, manifest }: Pick<ClusterRelease, "fingerprint" | "manifest">): string[] {
  return manifest.services.map(({ name }) => workloadName(manifest.system, name, fingerprint));
}

function labelled(system: string, what: string): string {
  return selectorText({ [label.system]: system, [label.part]: what });
}
