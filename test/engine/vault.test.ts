import { afterEach, beforeEach, expect, it } from "vitest";
import { checkout } from "../../engine/checkout.ts";
import { Trial } from "../support/recorder/trial.ts";

/** CHR-11 on the real engine, with the recorder in the place of AWS: what the vault is made of, and that it stays. */

let trial: Trial;
beforeEach(async () => {
  trial = await Trial.create();
});
afterEach(() => trial.remove());

const program = (days = 90) => `
  const { Vault } = await import("${checkout}/components/vault/vault.ts");
  const retention = { days: ${days}, mode: "COMPLIANCE" };
  const vault = new Vault("vault", { bucket: "backups", region: "eu-central-1", retention, writers: ["chrono", "deia"] });
  export const seen = vault.bucketName;
  export const key = vault.writer("chrono").secretAccessKey;
`;

it("is exactly these things, each with what closes it", async () => {
  const run = await trial.up(program());
  expect(run.messages).not.toContain("deprecated");
  expect(run.ok).toBe(true);
  expect(trial.world.things().map(({ type, id }) => `${type} ${madeUp(id)}`)).toMatchInlineSnapshot(`
    [
      "aws:iam/accessKey:AccessKey …",
      "aws:iam/accessKey:AccessKey …",
      "aws:iam/user:User switchyard-vault-chrono",
      "aws:iam/user:User switchyard-vault-deia",
      "aws:iam/userPolicy:UserPolicy switchyard-vault-chrono:vault",
      "aws:iam/userPolicy:UserPolicy switchyard-vault-deia:vault",
      "aws:kms/alias:Alias alias/switchyard-vault",
      "aws:kms/key:Key …",
      "aws:s3/bucket:Bucket backups",
      "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration backups",
      "aws:s3/bucketObjectLockConfiguration:BucketObjectLockConfiguration backups",
      "aws:s3/bucketOwnershipControls:BucketOwnershipControls backups",
      "aws:s3/bucketPolicy:BucketPolicy backups",
      "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock backups",
      "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration backups",
      "aws:s3/bucketVersioning:BucketVersioning backups",
    ]
  `);
  const inputs = async (name: string) => (await trial.state(name)).inputs;
  expect(await inputs("vault-bucket")).toMatchObject({
    bucket: "backups",
    region: "eu-central-1",
    objectLockEnabled: true,
    forceDestroy: false,
  });
  expect(await inputs("vault-versioning")).toMatchObject({ versioningConfiguration: { status: "Enabled" } });
  expect(await inputs("vault-lock")).toMatchObject({
    rule: { defaultRetention: { mode: "COMPLIANCE", days: 121 } },
  });
  const key = await trial.state("vault-key");
  expect(key.inputs).toMatchObject({ enableKeyRotation: true, deletionWindowInDays: 30 });
  expect(await inputs("vault-encryption")).toMatchObject({
    rules: [
      {
        applyServerSideEncryptionByDefault: { sseAlgorithm: "aws:kms", kmsMasterKeyId: key.outputs.arn },
        bucketKeyEnabled: true,
      },
    ],
  });
  expect(await inputs("vault-public-access")).toMatchObject({
    blockPublicAcls: true,
    blockPublicPolicy: true,
    ignorePublicAcls: true,
    restrictPublicBuckets: true,
  });
  expect(await inputs("vault-ownership")).toMatchObject({ rule: { objectOwnership: "BucketOwnerEnforced" } });
  expect(await inputs("vault-lifecycle")).toMatchObject({
    rules: [
      {
        id: "expire",
        status: "Enabled",
        expiration: { days: 121 },
        noncurrentVersionExpiration: { noncurrentDays: 1 },
        abortIncompleteMultipartUpload: { daysAfterInitiation: 1 },
      },
      { id: "markers", status: "Enabled", expiration: { expiredObjectDeleteMarker: true } },
    ],
  });
  const policy = JSON.parse(String((await inputs("vault-policy")).policy));
  expect(policy.Statement.map(({ Sid }: { Sid: string }) => Sid)).toEqual([
    "OnlyTls",
    "OnlyNewTls",
    "WritersOnlyAdd",
  ]);
  expect(policy.Statement[2].Principal.AWS).toEqual([
    "arn:aws:iam::123456789012:user/switchyard-vault-chrono",
    "arn:aws:iam::123456789012:user/switchyard-vault-deia",
  ]);
  const writer = JSON.parse(String((await inputs("vault-chrono")).policy ?? "null"));
  expect(writer === null || writer.Statement.length === 4).toBe(true);
});

it("changes in place with its retention, and is not taken away by an update that forgets it", async () => {
  expect((await trial.up(program(90))).ok).toBe(true);
  const things = trial.world.things().length;
  const longer = await trial.up(program(180));
  expect(longer.steps.filter((step) => !step.includes("Stack"))).toEqual([
    expect.stringContaining("update"),
    expect.stringContaining("update"),
  ]);
  const forgotten = await trial.up("export const nothing = 1;");
  expect(forgotten.ok).toBe(false);
  expect(forgotten.messages).toContain("protected");
  expect((await trial.destroy()).ok).toBe(false);
  expect(trial.world.things().length).toBe(things);
});

/** What AWS makes up is left out. */
function madeUp(id: string): string {
  return /^AKIA|^[0-9a-f]{8}-/.test(id) ? "…" : id;
}
