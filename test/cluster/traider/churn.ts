import type { ClusterApi } from "../../../components/cluster/api.ts";

/**
 * Other people's Services, whose selectors change several times a second: kube-proxy then puts its own changes off by a
 * second, which hides on an idle cluster.
 */
export async function startChurn(
  api: ClusterApi,
): Promise<{ readonly changes: number; stop(): Promise<void> }> {
  const names = ["other-a", "other-b"];
  for (const name of names) {
    await api.apply({
      apiVersion: "v1",
      kind: "Service",
      metadata: { name, namespace: api.namespace },
      spec: { selector: { app: "none" }, ports: [{ port: 80, protocol: "TCP" }] },
    });
  }
  const churn = { changes: 0 };
  let stopped = false;
  const loop = (async () => {
    while (!stopped) {
      for (const name of names) {
        churn.changes += 1;
        // Every pod of the system, then none: endpoints come and go, and with them rules of the node.
        const chosen = churn.changes % 4 < 2 ? "traider" : "none";
        const selector = { "switchyard.dev/system": chosen, app: null };
        await api.patch("Service", name, { spec: { selector } }).catch(() => {});
      }
      await new Promise((resolve) => setTimeout(resolve, 150));
    }
  })();
  return Object.assign(churn, {
    stop: async () => {
      stopped = true;
      await loop;
    },
  });
}
