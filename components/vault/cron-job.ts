import type * as pulumi from "@pulumi/pulumi";
import { bundle } from "../bundle.ts";
import { label } from "../cluster/names.ts";
import type { KubernetesObject, Metadata } from "../cluster/objects/object.ts";
import { outward } from "../cluster/objects/outward.ts";
import { containerSecurity, podSecurity } from "../cluster/objects/security.ts";

/** The vault's timer on a cluster (CHR-11): plain Kubernetes objects, which whoever deploys to the cluster registers. */

export interface VaultTimerArgs {
  readonly system: string;
  readonly namespace: string;
  /** Has Node 18 or newer, restic and pg_dump of the server's version or newer; by digest outside development. */
  readonly image: string;
  /** What `vaultProgram` makes. */
  readonly program: string;
  /** A VaultSettings as JSON; an output where the writer's key is one. */
  readonly settings: pulumi.Input<string>;
}

/** Longer than a backup may take; after it the pod is ended. */
const longestBackup = 4 * 3600;

/**
 * Everything that backs a system up, the CronJob last, which needs the others. All of it changes in place: the next run
 * takes up another password, key or program.
 */
export function vaultTimerObjects(args: VaultTimerArgs): KubernetesObject[] {
  const { system, namespace, program, settings } = args;
  const name = `${system}-vault`;
  const own = { "app.kubernetes.io/name": name };
  const labels = {
    ...own,
    "app.kubernetes.io/managed-by": "switchyard",
    "app.kubernetes.io/part-of": system,
    [label.system]: system,
  };
  const metadata = { name, namespace, labels };
  return [
    { apiVersion: "v1", kind: "ServiceAccount", metadata, automountServiceAccountToken: false },
    { apiVersion: "v1", kind: "ConfigMap", metadata, data: { [programKey]: program } },
    { apiVersion: "v1", kind: "Secret", metadata, type: "Opaque", stringData: { [settingsKey]: settings } },
    {
      apiVersion: "networking.k8s.io/v1",
      kind: "NetworkPolicy",
      metadata,
      // Nobody comes in; the database and the bucket are reached wherever they are.
      spec: {
        podSelector: { matchLabels: own },
        policyTypes: ["Ingress", "Egress"],
        ingress: [],
        egress: outward,
      },
    },
    cronJob(metadata, args.image),
  ];
}

const programKey = "vault-backup.cjs";
const settingsKey = "settings.json";

/** Runs every six hours, never twice at a time; a run that was missed by an hour is left to the next one. */
function cronJob(metadata: Metadata, image: string): KubernetesObject {
  const { name, labels } = metadata;
  const pod = {
    metadata: { labels },
    spec: {
      restartPolicy: "Never",
      serviceAccountName: name,
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      securityContext: podSecurity,
      containers: [
        {
          name: "backup",
          image,
          imagePullPolicy: "IfNotPresent",
          command: ["node", `/program/${programKey}`, `/settings/${settingsKey}`, "/work"],
          env: [{ name: "HOME", value: "/work" }],
          resources: {
            requests: { cpu: "100m", memory: "256Mi" },
            limits: { memory: "1Gi" },
          },
          securityContext: containerSecurity,
          volumeMounts: [
            { name: "program", mountPath: "/program", readOnly: true },
            { name: "settings", mountPath: "/settings", readOnly: true },
            { name: "work", mountPath: "/work" },
            { name: "temporary", mountPath: "/tmp" },
          ],
        },
      ],
      volumes: [
        { name: "program", configMap: { name } },
        { name: "settings", secret: { secretName: name, defaultMode: 0o440 } },
        { name: "work", emptyDir: { sizeLimit: "2Gi" } },
        { name: "temporary", emptyDir: { sizeLimit: "1Gi" } },
      ],
    },
  };
  return {
    apiVersion: "batch/v1",
    kind: "CronJob",
    metadata,
    spec: {
      schedule: "10 */6 * * *",
      timeZone: "Etc/UTC",
      concurrencyPolicy: "Forbid",
      startingDeadlineSeconds: 3600,
      successfulJobsHistoryLimit: 3,
      failedJobsHistoryLimit: 3,
      jobTemplate: {
        metadata: { labels },
        spec: {
          backoffLimit: 2,
          activeDeadlineSeconds: longestBackup,
          ttlSecondsAfterFinished: 7 * 86_400,
          template: pod,
        },
      },
    },
  };
}

/** The program of the Job as one file. */
export function vaultProgram(): Promise<string> {
  return bundle(new URL("cluster-backup.ts", import.meta.url));
}
