import { bakeRelease } from "../../gates/bake.ts";
import type { EmergencyStop } from "../../gates/emergency-stop.ts";
import { HttpSampler, type SampledService } from "../../gates/http-sampler.ts";
import type { Finding } from "../../rollout/cutover/machine.ts";
import type { ClusterApi } from "../api.ts";
import type { ClusterRelease, ClusterService } from "../manifest.ts";
import type { Memory } from "../memory.ts";
import { doorName, stateName } from "../names.ts";
import type { ClusterPolicy } from "../policy.ts";
import { type DoorObject, doorOrigin } from "./doors.ts";
import { belongsTo, isAlive, isReady, originOf, type Pod, podsOf, restartsOf } from "./pods.ts";
import { serving } from "./workloads.ts";

export interface ClusterBake {
  readonly api: ClusterApi;
  readonly memory: Memory;
  readonly system: string;
  readonly release: ClusterRelease;
  readonly policy: ClusterPolicy;
  /** The release has served a whole bake before. */
  readonly proved: boolean;
  readonly stop: () => EmergencyStop | null;
  readonly doors: () => Promise<Finding | null>;
}

/** The bake in the cluster: every pod of the release by its address, users' requests through the stable Services. */
export async function bakeOnCluster(args: ClusterBake): Promise<Finding | null> {
  const { api, memory, system, release, policy, proved, stop, doors } = args;
  const { scrapeSeconds, checkSeconds = scrapeSeconds } = policy;
  const origins = await doorOrigins(api, system, release);
  const watch = new PodWatch(api, system, release);
  const sampler = new HttpSampler({
    services: release.manifest.services.map((service) => sampled(service, watch, origins)),
    rules: policy.rules,
    scrapeSeconds,
    checkSeconds,
    probes: {
      paths: policy.probes,
      perSecond: policy.probesPerSecond,
      // A connection that was made before the switch had reached the node would stay with the old release.
      headers: { connection: "close" },
    },
  });
  const result = await bakeRelease({
    rules: policy.rules,
    services: release.manifest.services.map(({ name, kind, metrics, health }) => ({
      name,
      kind,
      health,
      metrics: metrics !== undefined,
      asked: origins.has(name),
    })),
    database: false,
    seconds: proved ? policy.shortBakeSeconds : policy.bakeSeconds,
    proved,
    scrapeSeconds,
    checkSeconds,
    healthSeconds: policy.healthSeconds,
    sampler,
    emergencyStop: async () => stop(),
    doors,
  });
  const { rule, measured, allowed, evidence } = result;
  const explain = async () => {
    // A ConfigMap holds a mebibyte, and the state is in this one.
    await memory.write({ evidence: JSON.stringify(evidence).slice(0, 300_000) });
    return { journal: [], evidence: `ConfigMap ${stateName(system)}, key evidence` };
  };
  return result.held ? null : { rule, measured, allowed, at: new Date(), explain };
}

async function doorOrigins(
  api: ClusterApi,
  system: string,
  release: ClusterRelease,
): Promise<Map<string, string>> {
  const entries = await Promise.all(
    serving(release).map(async ({ name }): Promise<[string, string][]> => {
      const door = await api.find<DoorObject>("Service", doorName(system, name));
      return door ? [[name, doorOrigin(door)]] : [];
    }),
  );
  return new Map(entries.flat());
}

function sampled(
  service: ClusterService,
  watch: PodWatch,
  origins: ReadonlyMap<string, string>,
): SampledService {
  const { name, health, metrics } = service;
  const door = origins.get(name);
  return {
    name,
    health,
    ...(metrics === undefined ? {} : { metrics }),
    ...(door === undefined ? {} : { door }),
    processes: async () =>
      (await watch.pods())
        .filter((pod) => belongsTo(pod, service) && isStarted(pod))
        .map((pod) => originOf(pod, service)),
    unit: () => watch.unitOf(service),
  };
}

/** Started once; one that is not ready any more is just what the bake wants to see. */
function isStarted(pod: Pod): boolean {
  const { deletionTimestamp } = pod.metadata;
  const started = pod.status.containerStatuses?.some((one) => one.started === true) ?? false;
  return isReady(pod) || (deletionTimestamp === undefined && pod.status.podIP !== undefined && started);
}

/** The release's pods, asked for once a round, and every restart that was ever seen of one of them. */
class PodWatch {
  private readonly api: ClusterApi;
  private readonly system: string;
  private readonly release: ClusterRelease;
  private asked: { at: number; pods: Promise<Pod[]> } | null = null;
  /** Most restarts seen of each pod: those of a pod that is gone stay counted. */
  private readonly restarts = new Map<string, { service: string; count: number }>();

  constructor(api: ClusterApi, system: string, release: ClusterRelease) {
    this.api = api;
    this.system = system;
    this.release = release;
  }

  async pods(): Promise<Pod[]> {
    if (!this.asked || performance.now() - this.asked.at > 200) {
      this.asked = { at: performance.now(), pods: this.list() };
    }
    return this.asked.pods;
  }

  async unitOf(service: ClusterService) {
    const own = (await this.pods()).filter((pod) => belongsTo(pod, service));
    const counted = [...this.restarts.values()].filter((one) => one.service === service.name);
    return {
      active: own.some(isAlive) ? ("running" as const) : ("starting" as const),
      restarts: counted.reduce((sum, { count }) => sum + count, 0),
      memoryBytes: null,
    };
  }

  /** Of an API server that does not answer for a moment the last answer stands: no pod is blamed for it. */
  private async list(): Promise<Pod[]> {
    const before = this.asked?.pods;
    try {
      const pods = await podsOf(this.api, this.system, this.release);
      for (const pod of pods) {
        const service = this.release.manifest.services.find((one) => belongsTo(pod, one))?.name ?? "";
        const count = Math.max(this.restarts.get(pod.metadata.uid)?.count ?? 0, restartsOf(pod));
        this.restarts.set(pod.metadata.uid, { service, count });
      }
      return pods;
    } catch (error) {
      if (before) return before;
      throw error;
    }
  }
}
