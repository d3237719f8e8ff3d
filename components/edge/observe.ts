import { longestCutoverSeconds } from "../rollout/cutover/longest.ts";
import type { TargetObservation } from "../rollout/observation.ts";
import type { WorkerApi } from "./api.ts";
import { readFront } from "./front.ts";
import type { EdgeManifest } from "./manifest.ts";
import { readPlaced } from "./records.ts";
import { onlyServing } from "./shares.ts";
import { untouchedEdge } from "./state-message.ts";
import { isRunning } from "./turn.ts";

export interface EdgeObservation extends TargetObservation<EdgeManifest> {
  /** Receipt of the leg's last preparation; null where it was never prepared, or what it left is gone. */
  readonly ground: string | null;
}

/** What one Worker serves and remembers. A Worker that is not there was never prepared. */
export async function observeWorker(api: WorkerApi): Promise<EdgeObservation> {
  const [front, placed] = await Promise.all([readFront(api), readPlaced(api)]);
  const { cutover, gated } = front?.state ?? untouchedEdge;
  const releases = placed?.releases ?? [];
  const leg = placed?.closed?.record;
  const serving = front ? onlyServing(front.shares) : null;
  const confirmed = releases.find(({ fingerprint }) => fingerprint === cutover.confirmed);
  const answers = releases.find(({ versionId }) => versionId === serving);
  return {
    ...cutover,
    ground: front?.deploymentId && leg ? leg.receipt : null,
    running: await isRunning(api.address),
    ...(leg ? { longestCutover: longestCutoverSeconds(leg.policy) } : {}),
    intact: confirmed !== undefined && confirmed.versionId === serving && !front?.foreign,
    known: releases.map(({ fingerprint, record }) => ({
      fingerprint,
      release: record.manifest.release,
      receipt: record.receipt,
      placed: gated.includes(fingerprint),
      manifest: record.manifest,
    })),
    doors: leg
      ? [{ door: api.address.worker, port: portOf(leg.front), fingerprint: answers?.fingerprint ?? null }]
      : [],
  };
}

function portOf(front: string): number {
  const { port, protocol } = new URL(front);
  return Number(port) || (protocol === "https:" ? 443 : 80);
}
