import type { BakerRequest } from "../baker/request.ts";
import { bakerName, label, part } from "../names.ts";
import type { ClusterGround } from "./ground.ts";
import type { KubernetesObject } from "./object.ts";
import { containerSecurity, podSecurity, scratch } from "./security.ts";

/** Port on which the baker says that its watchdog lives. */
export const alivePort = 9099;

/**
 * The Job in which a cutover runs. Its name is the lock: a system has one at a time. Whatever ends it, it is started
 * again, and then takes traffic back: first its container, else its pod, within seconds also where the node has gone.
 */
export function bakerJob({
  system,
  namespace,
  bakerImage,
}: Pick<ClusterGround, "system" | "namespace" | "bakerImage">): KubernetesObject {
  const name = bakerName(system);
  const labels = {
    "app.kubernetes.io/managed-by": "switchyard",
    [label.system]: system,
    [label.part]: part.baker,
  };
  const gone = ["not-ready", "unreachable"].map((condition) => ({
    key: `node.kubernetes.io/${condition}`,
    operator: "Exists",
    effect: "NoExecute",
    tolerationSeconds: 10,
  }));
  return {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: { name, namespace, labels },
    spec: {
      backoffLimit: 1000,
      podReplacementPolicy: "TerminatingOrFailed",
      ttlSecondsAfterFinished: 24 * 3600,
      template: {
        metadata: { labels },
        spec: {
          restartPolicy: "OnFailure",
          serviceAccountName: name,
          automountServiceAccountToken: true,
          enableServiceLinks: false,
          securityContext: podSecurity,
          terminationGracePeriodSeconds: 30,
          tolerations: gone,
          volumes: [scratch.volume, { name: "program", configMap: { name, items: programFile } }],
          containers: [
            {
              name: "baker",
              image: bakerImage,
              imagePullPolicy: "IfNotPresent",
              command: ["node", "/switchyard/baker.cjs"],
              env: [
                {
                  name: "SWITCHYARD_NAMESPACE",
                  valueFrom: { fieldRef: { fieldPath: "metadata.namespace" } },
                },
                { name: "SWITCHYARD_POD", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
                { name: "SWITCHYARD_SYSTEM", value: system },
              ],
              livenessProbe: {
                httpGet: { path: "/alive", port: alivePort },
                initialDelaySeconds: 5,
                periodSeconds: 3,
                timeoutSeconds: 3,
                failureThreshold: 3,
                terminationGracePeriodSeconds: 1,
              },
              resources: {
                requests: { cpu: "50m", memory: "128Mi" },
                limits: { cpu: "1000m", memory: "512Mi" },
              },
              securityContext: containerSecurity,
              volumeMounts: [scratch.mount, { name: "program", mountPath: "/switchyard", readOnly: true }],
            },
          ],
        },
      },
    },
  };
}

const programFile = [{ key: "baker.cjs", path: "baker.cjs" }];

interface BakerJob {
  readonly spec?: { template: { spec: { containers: { env: { name: string; value: string }[] }[] } } };
}

/** The Job for one request. */
export function bakerJobFor(template: KubernetesObject, request: object): KubernetesObject {
  const job = structuredClone(template) as unknown as Required<BakerJob>;
  job.spec.template.spec.containers[0]?.env.push({
    name: requestVariable,
    value: JSON.stringify(request),
  });
  return job as unknown as KubernetesObject;
}

/** The request that a Job is for; undefined where it is none of ours. */
export function requestOf(job: object): BakerRequest | undefined {
  const env = (job as BakerJob).spec?.template.spec.containers[0]?.env ?? [];
  const text = env.find(({ name }) => name === requestVariable)?.value;
  return text === undefined ? undefined : (JSON.parse(text) as BakerRequest);
}

const requestVariable = "SWITCHYARD_REQUEST";
