import { type EmergencyStop, nothingBakes } from "../gates/emergency-stop.ts";
import type { CutoverRequest, Finding, Outcome } from "../rollout/cutover/machine.ts";
import type { Failure } from "../rollout/cutover/state.ts";
import { isDisposable } from "../rollout/environment.ts";
import type { LegAddress, LegDriver } from "../rollout/leg.ts";
import type { TargetObservation } from "../rollout/observation.ts";
import type { ClusterApi } from "./api.ts";
import { reaching } from "./connect.ts";
import { journalOf } from "./journal.ts";
import { bake, endBaker, lookAt } from "./launch.ts";
import { Memory, stateOf } from "./memory.ts";
import { annotation } from "./names.ts";
import { observeCluster, recordsOf, releaseOf } from "./observe.ts";

export type ClusterAddress = Extract<LegAddress, { kind: "cluster" }>;

/** Drives a leg on a cluster with the runner's kubeconfig. */
export function clusterDriver(address: ClusterAddress): LegDriver {
  const { system } = address;
  const reach = <T>(work: (api: ClusterApi) => Promise<T>) => reaching(address, work);
  return {
    // Every target's manifests are its own; whoever compares them treats them as plain data.
    observe: () => reach(async (api) => (await observeCluster(api, system)) as unknown as TargetObservation),
    check: (fingerprint) => reach((api) => check(api, system, fingerprint)),
    cutOver: (request) => reach((api) => cutOver(api, system, request)),
    withdraw: (because) => reach((api) => withdraw(api, system, because ?? null)),
    arm: (minutes) => reach((api) => arm(api, system, minutes)),
    recover: () => reach((api) => done(bake(api, system, { verb: "recover" }, "switchyard recover"))),
    stop: (stop) => reach((api) => stopCutover(api, system, stop)),
  };
}

async function check(api: ClusterApi, system: string, fingerprint: string): Promise<Finding | null> {
  const { finding } = await lookAt(api, system, fingerprint);
  if (!finding) return null;
  return {
    ...finding,
    explain: async () => ({ journal: await journalNow(api, system, fingerprint), evidence: "" }),
  };
}

/** @throws when it came to no verdict */
async function cutOver(api: ClusterApi, system: string, request: CutoverRequest): Promise<Outcome> {
  const { to } = request;
  const record = (await recordsOf(api, system)).find(({ data }) => data?.fingerprint === to);
  if (!record)
    throw new Error(`${system} ${to} is not placed on this cluster; run the whole update without --target`);
  if (!record.metadata.annotations?.[annotation.gates]) {
    const { release } = releaseOf(record).manifest;
    throw new Error(`${system} ${release} has not passed its gates on this cluster; run the whole update`);
  }
  const outcome = await bake(
    api,
    system,
    { verb: "cutover", request },
    request.flip?.by ?? "another cutover",
  );
  if ("error" in outcome) throw new Error(outcome.error);
  if (outcome.held) return outcome;
  const { failure } = outcome;
  // Its pods are still draining, so what they said last can be had, for some seconds.
  const journal = await journalNow(api, system, failure.fingerprint);
  return { held: false, failure: { ...failure, journal: [...failure.journal, ...journal] } };
}

/** In staging and production only while armed (`switchyard destroy --arm`), or because another leg failed. */
async function withdraw(api: ClusterApi, system: string, because: Failure | null): Promise<void> {
  const remembered = await new Memory(api, system).read();
  const { confirmed } = stateOf(remembered);
  const records = await recordsOf(api, system);
  if (confirmed !== null && because === null) {
    const serving = records.map(releaseOf).find(({ fingerprint }) => fingerprint === confirmed);
    if (!isDisposable(serving?.manifest.environment)) requireArmed(system, remembered.armed);
  }
  if (records.length > 0 || confirmed !== null)
    await done(bake(api, system, { verb: "withdraw", because }, "withdraw"));
}

function requireArmed(system: string, until: string | undefined): void {
  if (until !== undefined && Date.parse(until) > Date.now()) return;
  throw new Error(
    `${system} serves, and destroying it is not armed${until ? ` (it was until ${until})` : ""}: ` +
      "`switchyard destroy --arm` allows it for ten minutes",
  );
}

async function arm(api: ClusterApi, system: string, minutes: number): Promise<void> {
  const memory = new Memory(api, system);
  await memory.make();
  await memory.write({ armed: new Date(Date.now() + minutes * 60_000).toISOString() });
}

async function stopCutover(api: ClusterApi, system: string, stop: EmergencyStop): Promise<void> {
  const { pending } = stateOf(await new Memory(api, system).read());
  if (!pending) throw nothingBakes(system);
  await endBaker(api, system, stop);
}

async function done(work: ReturnType<typeof bake>): Promise<void> {
  const outcome = await work;
  if ("error" in outcome) throw new Error(outcome.error);
}

async function journalNow(api: ClusterApi, system: string, fingerprint: string): Promise<string[]> {
  const release = (await recordsOf(api, system))
    .map(releaseOf)
    .find((one) => one.fingerprint === fingerprint);
  return release ? journalOf(api, release) : [];
}
