import { afterAll, beforeAll, expect, it } from "vitest";
import type { VaultSettings } from "../../components/box/toolkit/vault-settings.ts";
import { vaultProgram, vaultTimerObjects } from "../../components/vault/cron-job.ts";
import { type Cluster, startCluster } from "../support/cluster/cluster.ts";
import { describeOnCluster } from "../support/cluster/suite.ts";

/**
 * CHR-11 on a cluster: the CronJob in a namespace that takes restricted pods only, run once by hand. The image of the
 * test has no restic, so the run ends where it would start restic; what it stores is tested on a box, by the same file.
 */

let cluster: Cluster;

const settings: VaultSettings = {
  system: "traider",
  target: {
    kind: "s3",
    bucket: "b",
    region: "eu-central-1",
    accessKeyId: "a",
    secretAccessKey: "s3cret-Kp20",
  },
  password: "v'lt-Kp20",
  database: { url: "postgresql://a:b@127.0.0.1:1/d", key: "traider:databaseUrl", adminUrl: null },
  configuration: null,
  logDays: 30,
};

describeOnCluster("the vault's CronJob", () => {
  beforeAll(async () => {
    cluster = await startCluster();
    const labels = { "pod-security.kubernetes.io/enforce": "restricted" };
    await apply({ apiVersion: "v1", kind: "Namespace", metadata: { name: "traider", labels } });
  }, 600_000);
  afterAll(() => cluster?.stop());

  it("is accepted, starts without any right, and reads its settings", async () => {
    const objects = vaultTimerObjects({
      system: "traider",
      namespace: "traider",
      image: cluster.nodeImage.reference,
      program: await vaultProgram(),
      settings: JSON.stringify({ ...settings, target: { kind: "folder", path: "/work/vault" } }),
    });
    const applied: string[] = [];
    for (const object of objects) applied.push((await apply(object)).trim());
    expect(applied).toEqual(
      ["serviceaccount", "configmap", "secret", "networkpolicy.networking.k8s.io", "cronjob.batch"].map(
        (kind) => `${kind}/traider-vault serverside-applied`,
      ),
    );
    await cluster.kubectl(["-n", "traider", "create", "job", "now", "--from=cronjob/traider-vault"]);
    const failed = ["wait", "--for=jsonpath={.status.failed}=1", "job/now", "--timeout=120s"];
    await cluster.kubectl(["-n", "traider", ...failed], { timeoutSeconds: 150 });
    const said = await cluster.kubectl(["-n", "traider", "logs", "--selector=job-name=now", "--tail=20"]);
    expect(said).toBe("restic is not installed here; on Debian: apt-get install restic\n");
    const shown = await cluster.kubectl([
      "-n",
      "traider",
      "get",
      "cronjob,job,pod,configmap",
      "--output=json",
    ]);
    expect(shown).not.toContain("Kp20");
  });
});

function apply(object: object): Promise<string> {
  return cluster.kubectl(["apply", "--server-side", "--filename=-"], { stdin: JSON.stringify(object) });
}
