import { setTimeout as pause } from "node:timers/promises";
import { KilledError } from "../rollout/cutover/machine.ts";
import { mayPass, type Share, type Version, type WorkerApi } from "./api.ts";
import { closedTag, type LegRecord } from "./manifest.ts";
import { recordBinding } from "./records.ts";
import { sameShares } from "./shares.ts";
import { type EdgeState, packState, unpackState, untouchedEdge } from "./state-message.ts";

/** What the latest deployments say: what serves, and what is remembered. */
export interface Front {
  /** Null where the Worker was never deployed. */
  readonly deploymentId: string | null;
  readonly shares: readonly Share[];
  readonly state: EdgeState;
  /** The latest deployment is somebody else's: made by hand, or by another program. */
  readonly foreign: boolean;
}

/** Null where there is no such Worker. A deployment that is not ours hides what is remembered, it does not end it. */
export async function readFront(api: WorkerApi): Promise<Front | null> {
  const deployments = await api.deployments();
  if (deployments === null) return null;
  const [latest] = deployments;
  const states = deployments.map(({ message }) => unpackState(message));
  return {
    deploymentId: latest?.id ?? null,
    shares: latest?.shares ?? [],
    state: states.find((state) => state !== null) ?? untouchedEdge,
    foreign: latest !== undefined && states[0] === null,
  };
}

/** Somebody else has deployed in the middle of a cutover: it is theirs now, and this one writes nothing more. */
export class TakenOverError extends KilledError {
  constructor(worker: string) {
    super(
      `another deployment of ${worker} was made meanwhile, so this one stopped and left everything as it is; ` +
        "`switchyard status` says what serves",
    );
    this.name = "TakenOverError";
  }
}

/**
 * Writes to one Worker's deployments, each of them shares and state in one call. There is no compare-and-set in the
 * API, so a writer looks before each write whether the last one was its own, and gives way where it was not.
 */
export class FrontWriter {
  private readonly api: WorkerApi;
  private readonly force: boolean;
  private last: Front | null = null;

  /** @param force goes back over a changed secret */
  constructor(api: WorkerApi, force: boolean) {
    this.api = api;
    this.force = force;
  }

  /** What serves and is remembered now. @throws TakenOverError where somebody else wrote since the last look */
  async read(): Promise<Front> {
    const found = await readFront(this.api);
    if (!found) {
      const { worker, accountId } = this.api.address;
      throw new Error(
        `there is no Worker ${worker} in account ${accountId}: run the whole update without --target`,
      );
    }
    if (this.last && found.deploymentId !== this.last.deploymentId)
      throw new TakenOverError(this.api.address.worker);
    this.last = found;
    return found;
  }

  /** Changes what serves, what is remembered, or both at once. */
  async write(change: { shares?: readonly Share[]; state?: EdgeState }): Promise<void> {
    const before = await this.read();
    const shares = change.shares ?? before.shares;
    const state = change.state ?? before.state;
    const message = packState(state);
    for (let attempt = 1; ; attempt++) {
      try {
        const { id } = await this.api.deploy(shares, message, this.force);
        this.last = { deploymentId: id, shares, state, foreign: false };
        return;
      } catch (error) {
        if (!mayPass(error) || attempt === 4) throw error;
        await pause(250 * 2 ** attempt);
        const found = await readFront(this.api);
        const took = found && sameShares(found.shares, shares) && packState(found.state) === message;
        if (found && took && !found.foreign && found.deploymentId !== before.deploymentId) {
          this.last = found;
          return;
        }
        if (found?.deploymentId !== before.deploymentId) throw new TakenOverError(this.api.address.worker);
      }
    }
  }
}

/** Answers 503 to everything: what serves before the first release, and after the last. */
const closedModule = `export default {
  fetch() {
    const headers = { "content-type": "text/plain", "retry-after": "10", "cache-control": "no-store" };
    return new Response("nothing serves here at this moment\\n", { status: 503, headers });
  },
};
`;

/** Uploads the version that serves nothing; it carries the leg's record. */
export function uploadClosed(api: WorkerApi, record: LegRecord): Promise<Version> {
  return api.upload({
    tag: closedTag,
    message: `${record.system}: answers 503, and remembers the leg`,
    mainModule: "closed.js",
    modules: [
      {
        name: "closed.js",
        type: "application/javascript+module",
        base64: Buffer.from(closedModule).toString("base64"),
      },
    ],
    bindings: [recordBinding(record)],
    compatibilityDate: "2026-07-01",
    compatibilityFlags: [],
    assets: null,
  });
}
