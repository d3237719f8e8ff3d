import { pullHandle } from "../../box/toolkit/bake-handle.ts";
import { type EmergencyStop, nothingBakes, stoppedBy } from "../../gates/emergency-stop.ts";
import { longestVerification } from "../../gates/outside.ts";
import {
  type CutoverRequest,
  cutOver,
  type Outcome,
  resolve,
  withdraw,
} from "../../rollout/cutover/machine.ts";
import type { Failure } from "../../rollout/cutover/state.ts";
import { isDisposable } from "../../rollout/environment.ts";
import type { WorkerApi } from "../api.ts";
import { FrontWriter, readFront } from "../front.ts";
import { readPlaced } from "../records.ts";
import { EdgeCutoverTarget } from "../target.ts";
import { handleFile, inTurn, isRunning } from "../turn.ts";

/**
 * The cutover, run here and not on the target: the edge has no place of its own where a bake could go on. One that is
 * killed leaves `pending` in the deployment; the next one, `withdraw` or `recover` takes back first, whatever it wants.
 */
export async function cutOverEdge(api: WorkerApi, request: CutoverRequest): Promise<Outcome> {
  const { to, flip, returning } = request;
  const isUnwanted = async (running: string) => {
    if (running === to) return false;
    return (
      flip !== undefined ||
      returning !== undefined ||
      (await readFront(api))?.state.cutover.pending?.from === to
    );
  };
  const seconds = await longestCutover(api);
  return inTurn(api.address, to, { seconds, isUnwanted }, async () => {
    await requireGates(api, to);
    const target = await EdgeCutoverTarget.open(api, { atOnce: (flip ?? returning) !== undefined });
    return cutOver(target, request);
  });
}

/** The cutover as the engine's step. Throws, with the reason, unless the release is confirmed. */
export async function cutover(
  api: WorkerApi,
  system: string,
  release: string,
  request: CutoverRequest,
): Promise<void> {
  const outcome = await cutOverEdge(api, request);
  if (outcome.held) return;
  const { step, rule, measured, allowed, evidence } = outcome.failure;
  const confirmed = (await readFront(api))?.state.cutover.confirmed;
  throw new Error(
    [
      `${system} ${release} did not hold (${step}): ${rule}`,
      `measured: ${measured}`,
      `allowed: ${allowed}`,
      `evidence on this machine: ${evidence || "none"}; serving now: ${confirmed ?? "nothing (503)"}`,
    ].join("\n"),
  );
}

/**
 * Takes the Worker out of traffic: in staging and production only while armed (`switchyard destroy --arm`), or because
 * another leg of the system's first release failed.
 */
export async function withdrawTraffic(api: WorkerApi, system: string, because?: Failure): Promise<void> {
  const [front, placed] = await Promise.all([readFront(api), readPlaced(api)]);
  if (!front || !placed?.closed || front.deploymentId === null) return;
  const { confirmed } = front.state.cutover;
  if (confirmed !== null && !because && !isDisposable(placed.closed.record.environment)) {
    requireArmed(system, front.state.armed);
  }
  await alone(api, async () => withdraw(await EdgeCutoverTarget.open(api), because ?? null));
}

export async function arm(api: WorkerApi, minutes: number): Promise<void> {
  const writer = new FrontWriter(api, true);
  const { state } = await writer.read();
  await writer.write({ state: { ...state, armed: new Date(Date.now() + minutes * 60_000).toISOString() } });
}

/** Puts traffic where it belongs, after a kill or a taking back that failed (`switchyard recover`). */
export async function recover(api: WorkerApi): Promise<void> {
  await alone(api, async () => {
    const target = await EdgeCutoverTarget.open(api);
    await resolve(target, "killed");
    await target.moveTraffic((await target.readState()).confirmed, "back");
  });
}

/**
 * The release under trial goes back at once. A bake of this machine ends by itself; one elsewhere finds that the
 * deployment is another, and gives way.
 */
export async function stop(api: WorkerApi, why: EmergencyStop): Promise<void> {
  const pending = (await readFront(api))?.state.cutover.pending;
  if (!pending) throw nothingBakes(api.address.system);
  if (await isRunning(api.address)) return pullHandle(handleFile(api.address), pending.receipt, why);
  await alone(api, async () => {
    await resolve(await EdgeCutoverTarget.open(api), stoppedBy(why));
  });
}

async function alone(api: WorkerApi, work: () => Promise<void>): Promise<void> {
  const options = { seconds: await longestCutover(api), isUnwanted: async () => false };
  await inTurn(api.address, "", options, work);
}

async function requireGates(api: WorkerApi, fingerprint: string): Promise<void> {
  const front = await readFront(api);
  if (front?.state.gated.includes(fingerprint) || front?.state.cutover.confirmed === fingerprint) return;
  throw new Error(
    `${fingerprint} has not passed its gates on ${api.address.worker}; run the whole update without --target`,
  );
}

/** Seconds within which a cutover ends. */
async function longestCutover(api: WorkerApi): Promise<number> {
  const policy = (await readPlaced(api))?.closed?.record.policy;
  if (!policy)
    throw new Error(`${api.address.worker} was never prepared: run the whole update without --target`);
  const stepped = policy.steps.reduce((sum, { seconds }) => sum + seconds, 0);
  return 2 * (policy.bakeSeconds + stepped + longestVerification + policy.healthSeconds * 4) + 120;
}

function requireArmed(system: string, until: string | null): void {
  if (until !== null && Date.parse(until) > Date.now()) return;
  throw new Error(
    `${system} serves, and destroying it is not armed${until ? ` (it was until ${until})` : ""}: ` +
      "`switchyard destroy --arm` allows it for ten minutes",
  );
}
