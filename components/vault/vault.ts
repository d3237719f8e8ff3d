import { AccessKey, User, UserPolicy } from "@pulumi/aws/iam/index.js";
import { Alias, Key } from "@pulumi/aws/kms/index.js";
import { Provider } from "@pulumi/aws/provider.js";
import {
  Bucket,
  BucketLifecycleConfiguration,
  BucketObjectLockConfiguration,
  BucketOwnershipControls,
  BucketPolicy,
  BucketPublicAccessBlock,
  BucketServerSideEncryptionConfiguration,
  BucketVersioning,
} from "@pulumi/aws/s3/index.js";
import * as pulumi from "@pulumi/pulumi";
import { bucketPolicy, writerPolicy } from "./policies.ts";
import { keptDays, type Retention } from "./retention.ts";

export interface VaultArgs {
  /** Name of the bucket; AWS knows no other of this name in the world. */
  readonly bucket: string;
  readonly region: string;
  readonly retention: Retention;
  /** Systems that back up into the vault: each gets an identity that can add below `<system>/` and nothing else. */
  readonly writers: readonly string[];
}

/** The key of a system's writer, for its machine. */
export interface WriterKey {
  readonly accessKeyId: pulumi.Output<string>;
  readonly secretAccessKey: pulumi.Output<string>;
}

/**
 * The vault (CHR-11): a bucket that keeps every version locked for its time, encrypts with a key of its own, speaks TLS
 * only and is open to nobody but the writers, who can add and not delete. All of it is protected: taking it away needs
 * `pulumi state unprotect`, by a person, one resource after the other.
 */
export class Vault extends pulumi.ComponentResource {
  readonly bucketName: pulumi.Output<string>;
  private readonly name: string;
  private readonly region: string;
  private readonly provider: Provider;
  private readonly writers = new Map<string, WriterKey>();

  constructor(name: string, args: VaultArgs, opts?: pulumi.ComponentResourceOptions) {
    super("switchyard:vault:Vault", name, {}, opts);
    this.name = name;
    this.region = args.region;
    // The vendor's default one refuses to work without a region of the runner's or the stack's own (aws:region).
    this.provider = new Provider(name, { region: args.region }, { parent: this });
    const key = this.makeKey();
    const bucket = this.makeBucket(args, key);
    const users = args.writers.map((system) => this.makeWriter(system, bucket, key));
    this.closeBucket(bucket, users);
    this.bucketName = bucket.bucket;
    this.registerOutputs({ bucket: bucket.bucket });
  }

  /** @throws for a system that the vault was not made for */
  writer(system: string): WriterKey {
    const key = this.writers.get(system);
    if (key) return key;
    throw new Error(`the vault has no writer for ${system}; it has: ${[...this.writers.keys()].join(", ")}`);
  }

  private get own(): pulumi.CustomResourceOptions {
    return { parent: this, provider: this.provider, protect: true };
  }

  private makeKey(): Key {
    const description = `Encrypts the backups of ${this.name}`;
    const rotated = { enableKeyRotation: true, deletionWindowInDays: 30 };
    const key = new Key(`${this.name}-key`, { description, ...rotated, region: this.region }, this.own);
    const name = `alias/switchyard-${this.name}`;
    new Alias(`${this.name}-key`, { name, targetKeyId: key.keyId, region: this.region }, this.own);
    return key;
  }

  private makeBucket({ bucket: bucketName, retention }: VaultArgs, key: Key): Bucket {
    const { name, region, own } = this;
    const bucket = new Bucket(
      `${name}-bucket`,
      { bucket: bucketName, region, objectLockEnabled: true, forceDestroy: false },
      own,
    );
    const of = { bucket: bucket.bucket, region };
    const versioning = new BucketVersioning(
      `${name}-versioning`,
      { ...of, versioningConfiguration: { status: "Enabled" } },
      own,
    );
    const encryption = { sseAlgorithm: "aws:kms", kmsMasterKeyId: key.arn };
    new BucketServerSideEncryptionConfiguration(
      `${name}-encryption`,
      { ...of, rules: [{ applyServerSideEncryptionByDefault: encryption, bucketKeyEnabled: true }] },
      own,
    );
    const days = keptDays(retention);
    // S3 refuses a lock or a rule about versions on a bucket that keeps none yet.
    const versioned = { ...own, dependsOn: [versioning] };
    new BucketObjectLockConfiguration(
      `${name}-lock`,
      { ...of, rule: { defaultRetention: { mode: retention.mode, days } } },
      versioned,
    );
    new BucketLifecycleConfiguration(
      `${name}-lifecycle`,
      {
        ...of,
        rules: [
          {
            id: "expire",
            status: "Enabled",
            filter: { prefix: "" },
            expiration: { days },
            noncurrentVersionExpiration: { noncurrentDays: 1 },
            abortIncompleteMultipartUpload: { daysAfterInitiation: 1 },
          },
          {
            id: "markers",
            status: "Enabled",
            filter: { prefix: "" },
            expiration: { expiredObjectDeleteMarker: true },
          },
        ],
      },
      versioned,
    );
    return bucket;
  }

  private makeWriter(system: string, bucket: Bucket, key: Key): User {
    const name = `${this.name}-${system}`;
    const user = new User(name, { name: `switchyard-${name}` }, this.own);
    const policy = pulumi
      .all([bucket.arn, key.arn])
      .apply(([bucketArn, keyArn]) => JSON.stringify(writerPolicy({ bucketArn, keyArn, system })));
    new UserPolicy(name, { user: user.name, name: "vault", policy }, this.own);
    const made = new AccessKey(name, { user: user.name }, this.own);
    this.writers.set(system, { accessKeyId: made.id, secretAccessKey: pulumi.secret(made.secret) });
    return user;
  }

  /** Nobody's but ours: no public access, no owner of an object but the bucket's, TLS only, writers only add. */
  private closeBucket(bucket: Bucket, users: readonly User[]): void {
    const { name, region, own } = this;
    const of = { bucket: bucket.bucket, region };
    const shut = {
      blockPublicAcls: true,
      blockPublicPolicy: true,
      ignorePublicAcls: true,
      restrictPublicBuckets: true,
    };
    const block = new BucketPublicAccessBlock(`${name}-public-access`, { ...of, ...shut }, own);
    new BucketOwnershipControls(
      `${name}-ownership`,
      { ...of, rule: { objectOwnership: "BucketOwnerEnforced" } },
      own,
    );
    const policy = pulumi
      .all([bucket.arn, pulumi.all(users.map((user) => user.arn))])
      .apply(([bucketArn, writerArns]) => JSON.stringify(bucketPolicy({ bucketArn, writerArns })));
    // Two changes of a bucket's access at the same moment are a conflict to S3.
    new BucketPolicy(`${name}-policy`, { ...of, policy }, { ...own, dependsOn: [block] });
  }
}
