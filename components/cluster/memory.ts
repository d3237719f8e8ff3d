import { type CutoverState, untouched } from "../rollout/cutover/state.ts";
import { ApiError, type ClusterApi, type LiveObject } from "./api.ts";
import { label, stateName } from "./names.ts";

/** What a cluster remembers of a system: a ConfigMap, each write guarded by what was read before it. */

/** Keys of the ConfigMap, each a text of JSON. */
export interface Remembered {
  /** CutoverState. */
  readonly state?: string;
  /** Id of the last request that a baker took up; it is never taken up twice. */
  readonly spent?: string;
  /** Report of the last request. */
  readonly report?: string;
  /** The cutover's steps with their times. */
  readonly phase?: string;
  /** What the last bad bake measured. */
  readonly evidence?: string;
  /** Until when `destroy` is allowed. */
  readonly armed?: string;
}

interface StateObject extends LiveObject {
  readonly data?: Remembered;
}

export class Memory {
  private readonly api: ClusterApi;
  private readonly name: string;
  private readonly system: string;

  constructor(api: ClusterApi, system: string) {
    this.api = api;
    this.system = system;
    this.name = stateName(system);
  }

  async read(): Promise<Remembered> {
    return (await this.api.find<StateObject>("ConfigMap", this.name))?.data ?? {};
  }

  /** Makes the empty ConfigMap and the Lease beside it; the baker may change them, not make them. */
  async make(): Promise<void> {
    const metadata = {
      name: this.name,
      namespace: this.api.namespace,
      labels: { "app.kubernetes.io/managed-by": "switchyard", [label.system]: this.system },
    };
    if (!(await this.api.find("ConfigMap", this.name))) {
      await this.api.create({ apiVersion: "v1", kind: "ConfigMap", metadata, data: {} });
    }
    if (!(await this.api.find("Lease", this.name))) {
      await this.api.create({ apiVersion: "coordination.k8s.io/v1", kind: "Lease", metadata, spec: {} });
    }
  }

  /**
   * Changes some keys and leaves the others, whoever writes at the same time.
   * @param expected text that `state` must still have, else somebody else moved traffic meanwhile
   */
  async write(
    changes: Partial<Record<keyof Remembered, string | null>>,
    expected?: string | undefined,
  ): Promise<void> {
    for (let attempt = 1; attempt <= 10; attempt++) {
      const found = await this.api.find<StateObject>("ConfigMap", this.name);
      if (!found) throw new ApiError(`ConfigMap ${this.name}`, 404, "somebody has deleted it");
      if (expected !== undefined && (found.data?.state ?? "") !== expected) {
        throw new Error(`ConfigMap ${this.name} was changed by somebody else while a cutover ran`);
      }
      const data = Object.fromEntries(
        Object.entries({ ...found.data, ...changes }).filter(([, value]) => value !== null),
      );
      if (await this.api.replace({ ...found, data })) return;
    }
    throw new Error(`ConfigMap ${this.name} changes faster than it can be written`);
  }
}

export function stateOf({ state }: Remembered): CutoverState {
  return state === undefined ? untouched : (JSON.parse(state) as CutoverState);
}
