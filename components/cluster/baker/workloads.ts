import { setTimeout as pause } from "node:timers/promises";
import { ApiError, type ClusterApi } from "../api.ts";
import type { ClusterRelease, ClusterService } from "../manifest.ts";
import { annotation, workloadName } from "../names.ts";
import type { ClusterPolicy } from "../policy.ts";
import { belongsTo, complaintOf, isAlive, isReady, type Pod, podsOf } from "./pods.ts";

/** Starting and stopping the workloads of releases. Bounded by the caller's seconds on the monotonic clock. */
export class Workloads {
  private readonly api: ClusterApi;
  private readonly system: string;
  private readonly policy: ClusterPolicy;

  constructor(api: ClusterApi, system: string, policy: ClusterPolicy) {
    this.api = api;
    this.system = system;
    this.policy = policy;
  }

  wanted(service: ClusterService): number {
    return service.kind === "singleton" ? 1 : (this.policy.replicas[service.name] ?? 1);
  }

  async scale(release: ClusterRelease, service: ClusterService, replicas: number): Promise<void> {
    await this.api.patch(kindOf(service), nameOf(release, service), { spec: { replicas } });
  }

  /** Serving workloads have all the pods that are wanted of them; a release that was taken back has none. */
  async raise(release: ClusterRelease): Promise<void> {
    await Promise.all(serving(release).map((service) => this.scale(release, service, this.wanted(service))));
  }

  /** New pods in the place of the old ones: these end, and with them every connection that was kept to them. */
  async replacePods(release: ClusterRelease): Promise<void> {
    const template = { metadata: { annotations: { [annotation.replaced]: new Date().toISOString() } } };
    await Promise.all(
      serving(release).map((service) =>
        this.api.patch(kindOf(service), nameOf(release, service), { spec: { template } }),
      ),
    );
  }

  /**
   * Waits until every serving service has its pods, or (`some`) at least one each.
   * @returns null, or what is missing when the time is over or `until` says so
   */
  async awaitReady(
    release: ClusterRelease,
    seconds: number,
    { some = false, until = () => false }: { some?: boolean; until?: () => boolean } = {},
  ): Promise<{ service: string; measured: string; allowed: string } | null> {
    const deadline = performance.now() + seconds * 1000;
    for (;;) {
      const pods = await podsOf(this.api, this.system, release);
      const lacking = serving(release).find(
        (service) => readyOf(pods, service) < (some ? 1 : this.wanted(service)),
      );
      if (!lacking) return null;
      if (performance.now() > deadline || until()) {
        const own = pods.filter((pod) => belongsTo(pod, lacking));
        const complaints = own
          .filter((pod) => !isReady(pod) && !pod.metadata.deletionTimestamp)
          .map(complaintOf);
        const found = `${readyOf(pods, lacking)} ready${complaints.length ? `; ${complaints.slice(0, 3).join("; ")}` : ""}`;
        return {
          service: lacking.name,
          measured: found,
          allowed: `${some ? 1 : this.wanted(lacking)} ready pods`,
        };
      }
      await pause(200);
    }
  }

  /** Every singleton of the other releases is told to end, and has ended when this returns. */
  async stopSingletons(others: readonly ClusterRelease[]): Promise<void> {
    const all = others.flatMap((release) => singletons(release).map((service) => ({ release, service })));
    if (all.length === 0) return;
    await Promise.all(all.map(({ release, service }) => this.stop(release, service)));
    const longest = Math.max(...all.map(({ service }) => service.drainSeconds + service.stopSeconds));
    const names = new Set(all.map(({ release, service }) => nameOf(release, service)));
    const deadline = performance.now() + (longest + 30) * 1000;
    for (;;) {
      const alive = (await podsOf(this.api, this.system)).filter(
        (pod) => isAlive(pod) && names.has(ownerOf(pod)),
      );
      if (alive.length === 0) return;
      if (performance.now() > deadline) {
        const which = alive.map((pod) => pod.metadata.name).join(", ");
        throw new Error(
          `${which} has not ended within ${longest + 30} s; no other one of its kind is started`,
        );
      }
      await pause(100);
    }
  }

  /** One that is not there, because its release was never wholly placed or goes at this moment, has stopped. */
  private async stop(release: ClusterRelease, service: ClusterService): Promise<void> {
    await this.scale(release, service, 0).catch((error: Error) => {
      if (!(error instanceof ApiError) || error.status !== 404) throw error;
    });
  }

  async startSingletons(release: ClusterRelease): Promise<void> {
    for (const service of singletons(release)) await this.scale(release, service, 1);
  }
}

export const serving = ({ manifest }: ClusterRelease) =>
  manifest.services.filter(({ kind }) => kind === "serving");
export const singletons = ({ manifest }: ClusterRelease) =>
  manifest.services.filter(({ kind }) => kind === "singleton");

const kindOf = ({ kind }: ClusterService) => (kind === "singleton" ? "StatefulSet" : "Deployment");
const nameOf = ({ manifest, fingerprint }: ClusterRelease, { name }: ClusterService) =>
  workloadName(manifest.system, name, fingerprint);

/** A StatefulSet's pod is named after it: `<name>-0`. */
const ownerOf = (pod: Pod) => pod.metadata.name.replace(/-\d+$/, "");

function readyOf(pods: readonly Pod[], service: ClusterService): number {
  return pods.filter((pod) => belongsTo(pod, service) && isReady(pod)).length;
}
