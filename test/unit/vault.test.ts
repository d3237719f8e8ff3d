import { describe, expect, it } from "vitest";
import { journalRetention, timedServiceFile, timerFile } from "../../components/box/toolkit/systemd-timer.ts";
import { chooseBackup, type VaultBackup } from "../../components/box/toolkit/vault-backups.ts";
import { adminKey } from "../../components/box/toolkit/vault-restore.ts";
import { vaultFolder } from "../../components/box/toolkit/vault-settings.ts";
import { sha256, sign } from "../../components/box/toolkit/vault-signature.ts";
import { timersOf } from "../../components/box/toolkit/verbs/vault.ts";
import { vaultProgram, vaultTimerObjects } from "../../components/vault/cron-job.ts";
import { bucketPolicy, writerPolicy } from "../../components/vault/policies.ts";
import { keptDays } from "../../components/vault/retention.ts";

/** CHR-11: what the vault is made of, as texts. */

const bucketArn = "arn:aws:s3:::backups";
const keyArn = "arn:aws:kms:eu-central-1:123456789012:key/1234";

describe("who may do what", () => {
  it("lets a writer read, add, and take its locks away, below its own prefix", () => {
    expect(writerPolicy({ bucketArn, keyArn, system: "chrono" })).toEqual({
      Version: "2012-10-17",
      Statement: [
        {
          Sid: "Find",
          Effect: "Allow",
          Action: ["s3:ListBucket", "s3:GetBucketLocation"],
          Resource: "arn:aws:s3:::backups",
        },
        {
          Sid: "ReadAndAdd",
          Effect: "Allow",
          Action: ["s3:GetObject", "s3:PutObject"],
          Resource: "arn:aws:s3:::backups/chrono/*",
        },
        {
          Sid: "Unlock",
          Effect: "Allow",
          Action: "s3:DeleteObject",
          Resource: "arn:aws:s3:::backups/chrono/*/locks/*",
        },
        { Sid: "Encrypt", Effect: "Allow", Action: ["kms:GenerateDataKey", "kms:Decrypt"], Resource: keyArn },
      ],
    });
  });

  it("refuses everybody who speaks no TLS, and writers who would overwrite", () => {
    const writerArns = ["arn:aws:iam::123456789012:user/a", "arn:aws:iam::123456789012:user/b"];
    const everything = { Principal: "*", Action: "s3:*", Resource: [bucketArn, `${bucketArn}/*`] };
    expect(bucketPolicy({ bucketArn, writerArns })).toEqual({
      Version: "2012-10-17",
      Statement: [
        {
          Sid: "OnlyTls",
          Effect: "Deny",
          ...everything,
          Condition: { Bool: { "aws:SecureTransport": "false" } },
        },
        {
          Sid: "OnlyNewTls",
          Effect: "Deny",
          ...everything,
          Condition: { NumericLessThan: { "s3:TlsVersion": "1.2" } },
        },
        {
          Sid: "WritersOnlyAdd",
          Effect: "Deny",
          Principal: { AWS: writerArns },
          Action: "s3:PutObject",
          Resource: `${bucketArn}/*`,
          Condition: { Null: { "s3:if-none-match": "true" } },
        },
      ],
    });
    expect(bucketPolicy({ bucketArn, writerArns: [] }).Statement.map(({ Sid }) => Sid)).toEqual([
      "OnlyTls",
      "OnlyNewTls",
    ]);
  });

  it("keeps an object as long as the last backup that may need it", () => {
    expect(keptDays({ days: 90, mode: "COMPLIANCE" })).toBe(121);
  });
});

/** Amazon's own examples: "Authenticating Requests: Using the Authorization Header". */
describe("a signature", () => {
  const key = {
    accessKeyId: "AKIAIOSFODNN7EXAMPLE",
    secretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    region: "us-east-1",
  };
  const now = new Date("2013-05-24T00:00:00Z");
  const signed = (url: string, headers = {}) =>
    sign({ method: "GET", url: new URL(url), headers }, key, now, sha256("")).authorization;

  it("is the published one of a download", () => {
    expect(signed("https://examplebucket.s3.amazonaws.com/test.txt", { range: "bytes=0-9" })).toBe(
      "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, " +
        "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, " +
        "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    );
  });

  it("is the published one of a listing", () => {
    expect(signed("https://examplebucket.s3.amazonaws.com/?max-keys=2&prefix=J")).toContain(
      "Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
    );
  });
});

describe("the backup that a person means", () => {
  const backup = (id: string): VaultBackup => ({
    id,
    repository: id.slice(0, 7),
    bytes: 1,
    sha256: "",
    rows: 1,
    reason: "timer",
    release: null,
  });
  const backups = [
    "2025-10-06-18-10-00",
    "2025-10-07-12-00-01",
    "2025-10-07-12-00-40",
    "2025-11-01-00-10-00",
  ].map(backup);

  it.each([
    ["2025-10-07-12-00-01", "2025-10-07-12-00-01"],
    ["2025-10-07-12-00", "2025-10-07-12-00-40"],
    ["2025-10-07", "2025-10-07-12-00-40"],
    ["2025-10-07T11:59:59Z", "2025-10-06-18-10-00"],
    ["2025-10-20 08:00", "2025-10-07-12-00-40"],
    ["2030-01-01", "2025-11-01-00-10-00"],
  ])("%s is %s", (wanted, id) => {
    expect(chooseBackup(backups, wanted).id).toBe(id);
  });

  it("is never guessed", () => {
    expect(() => chooseBackup(backups, "2025-10-01")).toThrow("the oldest is 2025-10-06-18-10-00");
    expect(() => chooseBackup([], "2025-10-01")).toThrow("the oldest is not made yet");
    for (const word of ["", "latest", "2025", "7c1f00000001", "2025-10-07-12-00-01-5"]) {
      expect(() => chooseBackup(backups, word)).toThrow("expected a time in UTC such as 2026-11-21-09-30");
    }
  });
});

describe("what systemd reads", () => {
  const folder = { kind: "folder", path: "/srv/vault with space" } as const;
  const { database, configuration } = timersOf({ system: "chrono", target: folder }, "/var/lib/switchyard");

  it("is a timer every six hours for the database and one a day for the configuration", () => {
    expect(timerFile(database)).toBe(`[Unit]
Description=Switchyard: database of chrono into the vault

[Timer]
OnCalendar=*-*-* 00/6:10:00
AccuracySec=1min
Persistent=yes
Unit=switchyard-vault-chrono-database.service

[Install]
WantedBy=timers.target
`);
    expect(timerFile(configuration)).toContain("OnCalendar=*-*-* 03:40:00\n");
    expect(timerFile(configuration)).toContain("Unit=switchyard-vault-chrono-configuration.service\n");
  });

  it("is a service with no secret that may write to the vault's folders alone", () => {
    const text = timedServiceFile(database);
    expect(text).toContain("\nExecStart=/usr/local/bin/switchyard-box vault-backup chrono timer\n");
    expect(text).toContain('\nReadWritePaths=-/var/lib/switchyard "-/srv/vault with space"\n');
    for (const line of [
      "Type=oneshot",
      "TimeoutStartSec=14400",
      "CapabilityBoundingSet=",
      "ProtectSystem=strict",
    ]) {
      expect(text).toContain(`\n${line}\n`);
    }
    expect(timedServiceFile(configuration)).toContain("switchyard-box vault-configuration chrono\n");
  });

  it("keeps every line of the journal for its days, because it deletes whole files", () => {
    expect(journalRetention(30)).toBe(
      "[Journal]\nStorage=persistent\nMaxFileSec=1day\nMaxRetentionSec=31day\n",
    );
  });
});

it("knows a system by a name that no path or unit can be broken with", () => {
  expect(vaultFolder("/state", "pod-mcp").path).toBe("/state/vault/pod-mcp");
  for (const name of ["", "..", "a/b", "A", "-a", "a b"]) {
    expect(() => vaultFolder("/state", name)).toThrow("expected small letters, digits and dashes");
  }
});

it("names the key of the role that may make databases beside the one of the database", () => {
  expect(["chrono:databaseUrl", "DATABASE_URL", "url"].map(adminKey)).toEqual([
    "chrono:databaseAdminUrl",
    "DATABASE_ADMIN_URL",
    "urlAdminUrl",
  ]);
});

describe("the timer of a cluster", () => {
  const objects = vaultTimerObjects({
    system: "traider",
    namespace: "traider-production",
    image: "registry/backup@sha256:00",
    program: "run()",
    settings: '{"password":"pw-never lose it"}',
  });
  const one = (kind: string) => objects.find((object) => object.kind === kind);
  interface Job {
    readonly backoffLimit: number;
    readonly activeDeadlineSeconds: number;
    readonly template: { readonly metadata: { readonly labels: object }; readonly spec: Pod };
  }
  interface Pod {
    readonly restartPolicy: string;
    readonly automountServiceAccountToken: boolean;
    readonly serviceAccountName: string;
    readonly securityContext: object;
    readonly containers: readonly { readonly securityContext: object; readonly command: readonly string[] }[];
    readonly volumes: readonly object[];
  }
  const job = one("CronJob");
  const { spec: run } = job?.spec?.jobTemplate as { readonly spec: Job };
  const pod = run.template.spec;
  const [container] = pod.containers;

  it("is this, in the system's namespace, the CronJob after what it runs with", () => {
    expect(objects.map(({ kind, metadata }) => `${kind} ${metadata.namespace}/${metadata.name}`)).toEqual(
      ["ServiceAccount", "ConfigMap", "Secret", "NetworkPolicy", "CronJob"].map(
        (kind) => `${kind} traider-production/traider-vault`,
      ),
    );
  });

  it("runs every six hours and never twice at a time, bounded", () => {
    expect(job).toMatchObject({
      apiVersion: "batch/v1",
      spec: { schedule: "10 */6 * * *", timeZone: "Etc/UTC", concurrencyPolicy: "Forbid" },
    });
    expect(run).toMatchObject({ backoffLimit: 2, activeDeadlineSeconds: 14_400 });
    expect(pod.restartPolicy).toBe("Never");
  });

  it("has no right that a restricted namespace would refuse, no token, and no secret but in its Secret", () => {
    expect(one("ServiceAccount")?.automountServiceAccountToken).toBe(false);
    expect(pod).toMatchObject({ serviceAccountName: "traider-vault", automountServiceAccountToken: false });
    expect(pod.securityContext).toEqual({
      runAsNonRoot: true,
      runAsUser: 65_532,
      runAsGroup: 65_532,
      fsGroup: 65_532,
      seccompProfile: { type: "RuntimeDefault" },
    });
    expect(container?.securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"] },
    });
    expect(container?.command).toEqual([
      "node",
      "/program/vault-backup.cjs",
      "/settings/settings.json",
      "/work",
    ]);
    expect(pod.volumes.slice(0, 2)).toEqual([
      { name: "program", configMap: { name: "traider-vault" } },
      { name: "settings", secret: { secretName: "traider-vault", defaultMode: 0o440 } },
    ]);
    expect(objects.filter((object) => JSON.stringify(object).includes("never lose"))).toEqual([
      one("Secret"),
    ]);
  });

  it("reaches whatever it is told, but a cloud machine's credentials, and is reached by nobody", () => {
    expect(one("NetworkPolicy")?.spec).toEqual({
      podSelector: { matchLabels: { "app.kubernetes.io/name": "traider-vault" } },
      policyTypes: ["Ingress", "Egress"],
      ingress: [],
      egress: [
        {
          to: [
            { ipBlock: { cidr: "0.0.0.0/0", except: ["169.254.169.254/32"] } },
            { ipBlock: { cidr: "::/0", except: ["fd00:ec2::254/128"] } },
          ],
        },
      ],
    });
    expect(run.template.metadata.labels).toMatchObject({ "app.kubernetes.io/name": "traider-vault" });
  });

  it("runs one file that fits a ConfigMap", async () => {
    const program = await vaultProgram();
    expect(Buffer.byteLength(program)).toBeLessThan(900_000);
    expect(program).toContain("pg_dump");
  });
});
