import { createHash } from "node:crypto";
import type { VaultSettings } from "../box/toolkit/vault-settings.ts";
import { bundle } from "../bundle.ts";

/** The vault's timer on a cluster (CHR-11): plain Kubernetes objects, which whoever deploys to the cluster registers. */

export interface CronJobArgs {
  readonly system: string;
  readonly namespace: string;
  /** Has Node 18 or newer, restic and pg_dump of the server's version or newer; by digest outside development. */
  readonly image: string;
  /** In UTC. @default every six hours */
  readonly schedule?: string;
  /** Secret whose key `settings.json` is `vaultSettingsText`. */
  readonly settingsSecret: string;
  /** ConfigMap whose key `vault-backup.cjs` is `vaultProgram`. */
  readonly programConfigMap: string;
  readonly labels?: Readonly<Record<string, string>>;
}

export const programKey = "vault-backup.cjs";
export const settingsKey = "settings.json";

/** Longer than a backup may take; after it the pod is ended. */
const longestBackup = 4 * 3600;

/** Runs every six hours, never twice at a time; a run that was missed by an hour is left to the next one. */
export function vaultCronJob(args: CronJobArgs) {
  const { system, namespace, image, schedule = "10 */6 * * *", settingsSecret, programConfigMap } = args;
  const name = `${system}-vault`;
  const labels = { "app.kubernetes.io/name": name, "app.kubernetes.io/part-of": system, ...args.labels };
  const pod = {
    metadata: { labels },
    spec: {
      restartPolicy: "Never",
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      securityContext: {
        runAsNonRoot: true,
        runAsUser: 65532,
        runAsGroup: 65532,
        fsGroup: 65532,
        seccompProfile: { type: "RuntimeDefault" },
      },
      containers: [
        {
          name: "backup",
          image,
          command: ["node", `/program/${programKey}`, `/settings/${settingsKey}`, "/work"],
          env: [{ name: "HOME", value: "/work" }],
          resources: {
            requests: { cpu: "100m", memory: "256Mi" },
            limits: { memory: "1Gi" },
          },
          securityContext: {
            allowPrivilegeEscalation: false,
            readOnlyRootFilesystem: true,
            privileged: false,
            capabilities: { drop: ["ALL"] },
          },
          volumeMounts: [
            { name: "program", mountPath: "/program", readOnly: true },
            { name: "settings", mountPath: "/settings", readOnly: true },
            { name: "work", mountPath: "/work" },
            { name: "temporary", mountPath: "/tmp" },
          ],
        },
      ],
      volumes: [
        { name: "program", configMap: { name: programConfigMap } },
        { name: "settings", secret: { secretName: settingsSecret, defaultMode: 0o440 } },
        { name: "work", emptyDir: { sizeLimit: "2Gi" } },
        { name: "temporary", emptyDir: { sizeLimit: "1Gi" } },
      ],
    },
  };
  return {
    apiVersion: "batch/v1",
    kind: "CronJob",
    metadata: { name, namespace, labels },
    spec: {
      schedule,
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

/** What the Secret's `settings.json` holds. */
export function vaultSettingsText(settings: VaultSettings): string {
  return JSON.stringify(settings);
}

export interface VaultProgram {
  readonly text: string;
  /** For the ConfigMap's name, so that a changed program is another object. */
  readonly sha256: string;
}

/** The program of the Job as one file. */
export async function vaultProgram(): Promise<VaultProgram> {
  const text = await bundle(new URL("cluster-backup.ts", import.meta.url));
  return { text, sha256: createHash("sha256").update(text).digest("hex") };
}
