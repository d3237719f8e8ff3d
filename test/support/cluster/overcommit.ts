import type { Cluster } from "./cluster.ts";

/**
 * From now on pods keep their limits and ask for next to nothing, as on a node that is lent out several times over: so
 * an environment's real sizes fit a small machine.
 */
export async function overcommit(cluster: Cluster): Promise<void> {
  const name = "overcommit";
  const apiVersion = "admissionregistration.k8s.io/v1";
  const requests = '{"cpu": "10m", "memory": "32Mi"}';
  const patch = `JSONPatch{op: "add", path: "/spec/containers/0/resources/requests", value: ${requests}}`;
  const pods = { apiGroups: [""], apiVersions: ["v1"], operations: ["CREATE"], resources: ["pods"] };
  const policy = {
    apiVersion,
    kind: "MutatingAdmissionPolicy",
    metadata: { name },
    spec: {
      failurePolicy: "Fail",
      reinvocationPolicy: "Never",
      matchConstraints: { resourceRules: [pods] },
      mutations: [{ patchType: "JSONPatch", jsonPatch: { expression: `[${patch}]` } }],
    },
  };
  const binding = {
    apiVersion,
    kind: "MutatingAdmissionPolicyBinding",
    metadata: { name },
    spec: { policyName: name },
  };
  const items = { apiVersion: "v1", kind: "List", items: [policy, binding] };
  await cluster.kubectl(["apply", "--server-side", "-f", "-"], { stdin: JSON.stringify(items) });
}
