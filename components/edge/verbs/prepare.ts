import { canonical } from "../../rollout/fingerprint.ts";
import type { WorkerApi } from "../api.ts";
import { FrontWriter, readFront, uploadClosed } from "../front.ts";
import { localApi } from "../local/places.ts";
import type { LegRecord } from "../manifest.ts";
import { readPlaced } from "../records.ts";
import { onlyServing } from "../shares.ts";
import { transportTo } from "../transport.ts";

export interface Ground {
  readonly record: LegRecord;
  /** Port of the front door of the local edge. */
  readonly door?: number;
}

/**
 * Before the first release: the Worker remembers the leg (policy, front), and answers 503 rather than nothing. Repeated
 * it changes only what differs; what serves stays.
 */
export async function prepare(api: WorkerApi, { record, door }: Ground): Promise<void> {
  if (api.address.api === localApi) await openLocalDoor(api, door);
  const placed = await readPlaced(api);
  if (!placed)
    throw new Error(`there is no Worker ${api.address.worker}: run the whole update without --target`);
  const front = await readFront(api);
  const known = placed.closed;
  if (front?.deploymentId && !known && front.foreign) {
    throw new Error(
      `the Worker ${api.address.worker} is there already and serves what somebody else deployed: choose another name ` +
        "for this leg's Worker (edge.worker), or delete that one",
    );
  }
  const isSame = known !== null && canonical(known.record) === canonical(record);
  const closed = isSame ? known.versionId : (await uploadClosed(api, record)).id;
  const { shares = [], state, deploymentId } = front ?? { deploymentId: null };
  const serving = onlyServing(shares);
  const wasClosed = serving !== null && (serving === known?.versionId || serving === closed);
  if (deploymentId !== null && (!wasClosed || serving === closed)) return;
  const writer = new FrontWriter(api, record.policy.oldSecretsWork);
  await writer.write({ shares: [{ versionId: closed, percentage: 100 }], ...(state ? { state } : {}) });
}

async function openLocalDoor(api: WorkerApi, door: number | undefined): Promise<void> {
  if (door === undefined) throw new Error("a leg on the local edge needs the port of its front door");
  await api.createWorker();
  const path = `/local/workers/${api.address.worker}/door`;
  const call = { method: "PUT", path, body: JSON.stringify({ port: door }), seconds: 15 } as const;
  const { status, text } = await transportTo(localApi)(call);
  if (status !== 200)
    throw new Error((JSON.parse(text) as { errors: { message: string }[] }).errors[0]?.message);
}

/** Takes a Worker of the local edge away, and the edge itself with its last one. */
export async function dismantle(api: WorkerApi): Promise<void> {
  const { localStatus, stopLocalEdge } = await import("../local/client.ts");
  await api.removeWorker();
  if ((await localStatus())?.workers.length === 0) await stopLocalEdge();
}
