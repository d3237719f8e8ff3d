import { randomUUID } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import { longestVerification } from "../gates/outside.ts";
import type { CutoverRequest } from "../rollout/cutover/machine.ts";
import type { ClusterApi, LiveObject } from "./api.ts";
import { complaintOf, type Pod } from "./baker/pods.ts";
import type { BakerReport, BakerRequest, CheckReport } from "./baker/request.ts";
import { Memory, stateOf } from "./memory.ts";
import { annotation, bakerName, selectorText, stateName } from "./names.ts";
import { bakerJobFor } from "./objects/baker.ts";
import type { KubernetesObject } from "./objects/object.ts";
import { isFinished, type JobObject, placedReleases, policyOf } from "./observe.ts";

/** Starts bakers from the runner and waits for what they come to. */

type Work = BakerRequest["work"];

/**
 * A baker for work that moves traffic: one at a time, its Job's name is the lock. It outlives whoever asked for it; one
 * that still runs is waited for, or ended where what it left is wanted again, and by every flip.
 */
export async function bake(
  api: ClusterApi,
  system: string,
  work: Work,
  by: string,
): Promise<BakerReport["outcome"]> {
  const memory = new Memory(api, system);
  const { template, request } = await prepare(api, system, work);
  await memory.make();
  const deadline = performance.now() + longest(request) * 1000;
  const job = await launchWhenIdle(api, system, bakerJobFor(template, request), { work, by, deadline });
  for (;;) {
    const found = await api.find<JobObject>("Job", bakerName(system));
    const { report } = await memory.read();
    const said = report === undefined ? null : (JSON.parse(report) as BakerReport);
    if (said?.id === request.id) return said.outcome;
    if (found?.metadata.uid !== job.metadata.uid || isFinished(found)) {
      return { held: false, error: `the cutover of ${system} ended without a verdict` };
    }
    await waitBefore(deadline, () =>
      whyLate(api, system, `the cutover of ${system} has not ended in its time`),
    );
  }
}

/** A baker that only looks. Its Job is gone when this returns. */
export async function lookAt(api: ClusterApi, system: string, fingerprint: string): Promise<CheckReport> {
  const { template, request } = await prepare(api, system, { verb: "check", fingerprint });
  const name = `${system}-check-${request.id.slice(0, 8)}`;
  const job = checkJob(bakerJobFor(template, request), name);
  await api.create(job);
  const deadline = performance.now() + (request.policy.healthSeconds * 4 + 120) * 1000;
  try {
    for (;;) {
      const pods = await api.list<Pod>("Pod", selectorText({ "batch.kubernetes.io/job-name": name }));
      const last = pods.flatMap((pod) => pod.status.containerStatuses ?? []).at(-1)?.state?.terminated;
      if (last?.exitCode === 0 && last.message) return JSON.parse(last.message) as CheckReport;
      if (last && last.exitCode !== 0) {
        throw new Error(
          `the check of ${system} ${fingerprint} failed: ${await firstLine(api, pods, last.message)}`,
        );
      }
      await waitBefore(deadline, () =>
        whyLate(api, system, `the check of ${system} ${fingerprint} has not ended`),
      );
    }
  } finally {
    await api.remove("Job", name);
  }
}

async function firstLine(api: ClusterApi, pods: readonly Pod[], message = ""): Promise<string> {
  const [pod] = pods;
  const log = pod ? await api.logs(pod.metadata.name, "baker", 5) : "";
  return message || log.trim() || "it said nothing";
}

interface Prepared {
  readonly template: KubernetesObject;
  readonly request: BakerRequest;
}

async function prepare(api: ClusterApi, system: string, work: Work): Promise<Prepared> {
  const [baker, policy, releases] = await Promise.all([
    api.find<LiveObject & { data?: { job?: string } }>("ConfigMap", bakerName(system)),
    policyOf(api, system),
    placedReleases(api, system),
  ]);
  if (!baker?.data?.job || !policy) {
    throw new Error(`${system} was not prepared in ${api.namespace}: run the whole update without --target`);
  }
  const template = JSON.parse(baker.data.job) as KubernetesObject;
  return { template, request: { id: randomUUID(), work, releases, policy } };
}

async function launchWhenIdle(
  api: ClusterApi,
  system: string,
  job: KubernetesObject,
  { work, by, deadline }: { work: Work; by: string; deadline: number },
): Promise<JobObject> {
  for (;;) {
    const before = await api.find<JobObject>("Job", bakerName(system));
    if (before && !isFinished(before)) {
      if (await isInTheWay(api, system, work))
        await endBaker(api, system, { by, reason: "what served before is wanted" });
    } else if (before) {
      await api.remove("Job", bakerName(system), before.metadata.uid);
    } else {
      const created = await api.create<JobObject>(job);
      if (created) return created;
    }
    await waitBefore(deadline, () => whyLate(api, system, `another cutover of ${system} still runs`));
  }
}

/** Whoever wants what the running cutover left, and every flip, does not wait for its verdict. */
async function isInTheWay(api: ClusterApi, system: string, work: Work): Promise<boolean> {
  if (work.verb !== "cutover") return work.verb === "recover" || work.verb === "withdraw";
  const { to, flip }: CutoverRequest = work.request;
  const { pending } = stateOf(await new Memory(api, system).read());
  return pending !== null && pending.to !== to && (flip !== undefined || pending.from === to);
}

/** Traffic goes back within seconds, and the cutover fails with the reason given (TRD-6, emergency_stop). */
export async function endBaker(
  api: ClusterApi,
  system: string,
  { by, reason }: { readonly by: string; readonly reason: string },
): Promise<void> {
  const { spent: id } = await new Memory(api, system).read();
  if (id === undefined) return;
  const annotations = { [annotation.stop]: JSON.stringify({ id, by, reason }) };
  await api.patch("Lease", stateName(system), { metadata: { annotations } });
}

/** Seconds within which a cutover ends, one before it and the ten minutes of taking back included. */
function longest({ policy: { bakeSeconds, healthSeconds } }: BakerRequest): number {
  return 2 * (bakeSeconds + longestVerification + healthSeconds * 4) + 720;
}

async function waitBefore(deadline: number, say: () => Promise<string>): Promise<void> {
  if (performance.now() > deadline) throw new Error(await say());
  await pause(200);
}

/** What keeps the baker: an image that cannot be pulled, no room on any node. */
async function whyLate(api: ClusterApi, system: string, what: string): Promise<string> {
  const pods = await api.list<Pod>(
    "Pod",
    selectorText({ "batch.kubernetes.io/job-name": bakerName(system) }),
  );
  const [pod] = pods;
  return `${what}${pod ? ` (${complaintOf(pod)})` : ""}; \`switchyard status\` says what serves`;
}

/** A check moves nothing and its caller waits no longer than its time: on a busy node nobody ends it for being slow. */
function checkJob(job: KubernetesObject, name: string): KubernetesObject {
  type Podded = { template: { spec: { containers: { livenessProbe?: object }[] } } };
  const spec = structuredClone(job.spec) as unknown as Podded;
  for (const container of spec.template.spec.containers) delete container.livenessProbe;
  return {
    ...job,
    metadata: { ...job.metadata, name },
    spec: { ...spec, backoffLimit: 0, ttlSecondsAfterFinished: 600 },
  };
}
