import type { ClusterApi } from "../../../components/cluster/api.ts";
import { isAlive, type Pod } from "../../../components/cluster/baker/pods.ts";

export interface WorkerWatch {
  /** Most trading workers that were there in one look, those that still end among them. */
  readonly most: number;
  /** The pods of the last look. */
  readonly last: readonly string[];
  stop(): Promise<void>;
}

/** Looks several times a second at how many trading workers there are. */
export function watchWorkers(api: ClusterApi): WorkerWatch {
  const watch = { most: 0, last: [] as string[] };
  let stopped = false;
  const loop = (async () => {
    while (!stopped) {
      const pods = await api.list<Pod>("Pod", "switchyard.dev/service=worker").catch(() => null);
      if (pods) watch.last = pods.filter(isAlive).map(({ metadata }) => metadata.name);
      watch.most = Math.max(watch.most, watch.last.length);
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  })();
  return Object.assign(watch, {
    stop: async () => {
      stopped = true;
      await loop;
    },
  });
}
