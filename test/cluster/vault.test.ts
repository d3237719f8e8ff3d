import { afterAll, beforeAll, expect, it } from "vitest";
import type { VaultSettings } from "../../components/box/toolkit/vault-settings.ts";
import { vaultProgram, vaultTimerObjects } from "../../components/vault/cron-job.ts";
import { until } from "../support/box/processes.ts";
import { type Cluster, startCluster } from "../support/cluster/cluster.ts";
import { overcommit } from "../support/cluster/overcommit.ts";
import { describeOnCluster } from "../support/cluster/suite.ts";
import { namespace, reasonNoVendors, Staging, secrets } from "./guard/staging.ts";

/**
 * CHR-11 on a cluster: the CronJob in a namespace that takes restricted pods only, run once by hand. The image of the
 * test has no restic, so the run ends where it would start restic; what it stores is tested on a box, by the same file.
 * Then TRAIDER's own in staging, with the vendors' plugins, up to the bucket, which does not answer.
 */
const reason = await reasonNoVendors();

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
    expect(await runNow("traider")).toBe("restic is not installed here; on Debian: apt-get install restic\n");
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

describeOnCluster(
  "TRAIDER's own in staging",
  () => {
    let staging: Staging;
    beforeAll(async () => {
      cluster = await startCluster();
      await overcommit(cluster);
      staging = await Staging.create(cluster, {});
    }, 600_000);
    afterAll(async () => {
      staging?.remove();
      await cluster?.stop();
    }, 60_000);

    it("comes with the stack, before any release, and runs with what the config says", async () => {
      staging.pin({ kept: [] });
      const { code, output } = await staging.up();
      expect(code, output).toBe(0);
      const objects = "serviceaccount,configmap,secret,networkpolicy,cronjob";
      const words = ["get", objects, "-l", "app.kubernetes.io/name=traider-vault", "-o", "name"];
      expect((await cluster.kubectl(["-n", namespace, ...words])).trim().split("\n").toSorted()).toEqual([
        ...["configmap/traider-vault", "cronjob.batch/traider-vault"],
        "networkpolicy.networking.k8s.io/traider-vault",
        ...["secret/traider-vault", "serviceaccount/traider-vault"],
      ]);
      expect(await runNow(namespace)).toBe(
        "S3 at 127.0.0.1:1 cannot be reached: connect ECONNREFUSED 127.0.0.1:1\n",
      );
      const state = await staging.state();
      for (const secret of Object.values(secrets).filter((value) => value.length > 4)) {
        expect(`${output}\n${state}`.includes(secret), secret).toBe(false);
      }
    });

    it("is taken away by a destroy, and is no release that one has to be armed for", async () => {
      const urn = await staging.urn(/^traider-vault-cronjob$/);
      const { code, output } = await staging.destroy("--target", urn, "--target-dependents");
      expect(code, output).toBe(0);
      const left = ["get", "cronjob,job,pod", "-n", namespace, "-o", "name"];
      await until(
        async () => (await cluster.kubectl(left)) === "",
        60,
        "something of the timer is left",
        500,
      );
    });
  },
  reason,
);

/** Runs the CronJob once and waits for the failure. @returns what the pod said */
async function runNow(namespace: string): Promise<string> {
  await cluster.kubectl(["-n", namespace, "create", "job", "now", "--from=cronjob/traider-vault"]);
  const failed = ["wait", "--for=jsonpath={.status.failed}=1", "job/now", "--timeout=120s"];
  await cluster.kubectl(["-n", namespace, ...failed], { timeoutSeconds: 150 });
  return cluster.kubectl(["-n", namespace, "logs", "--selector=job-name=now", "--tail=20"]);
}

function apply(object: object): Promise<string> {
  return cluster.kubectl(["apply", "--server-side", "--filename=-"], { stdin: JSON.stringify(object) });
}
