/** AWS as its plugin 7 presents it: S3, IAM and KMS. */
import { isUnknown, type Properties, type Value } from "../protocol/values.ts";
import { type Catalog, joined, type Kind, type Known, modelOf, text } from "./catalog.ts";
import { digits, uuid } from "./model.ts";

type Needs = NonNullable<Kind["needs"]>;

/** Nobody's: the account of AWS's own examples. */
const account = "123456789012";
const region = (inputs: Properties, settings: Properties): string =>
  text(inputs.region) || text(settings.region) || process.env.AWS_REGION || "eu-central-1";
const tagsAll = ({ inputs, settings }: Known): Properties => {
  const byDefault = (settings.defaultTags as { tags?: Properties } | undefined)?.tags ?? {};
  return { tagsAll: { ...byDefault, ...((inputs.tags as Properties | undefined) ?? {}) } };
};
const arn = (service: string, rest: string): string => `arn:aws:${service}:${rest}`;
const upper = (length: number, ...words: readonly string[]): string => digits(length, ...words).toUpperCase();

const needsBucket: Needs = ({ bucket }) =>
  isUnknown(bucket)
    ? undefined
    : {
        type: "aws:s3/bucket:Bucket",
        place: text(bucket),
        missing: `api error NoSuchBucket: The specified bucket does not exist (${text(bucket)})`,
      };
const needsUser: Needs = ({ user }) => ({
  type: "aws:iam/user:User",
  place: text(user),
  missing: `api error NoSuchEntity: The user with name ${text(user)} cannot be found.`,
});

/** A setting of a bucket: it has its bucket's name, and writing it twice is no error. */
const ofBucket: Kind = {
  replaces: ["bucket", "expectedBucketOwner", "region"],
  id: joined("bucket"),
  place: joined("bucket"),
  takesOver: true,
  needs: needsBucket,
  outputs: ({ inputs, settings }) => ({ region: region(inputs, settings) }),
};
const bucketSettings = [
  "AccelerateConfiguration",
  "Acl",
  "CorsConfiguration",
  "LifecycleConfiguration",
  "Logging",
  "Notification",
  "ObjectLockConfiguration",
  "OwnershipControls",
  "Policy",
  "PublicAccessBlock",
  "ReplicationConfig",
  "RequestPaymentConfiguration",
  "ServerSideEncryptionConfiguration",
  "Versioning",
  "WebsiteConfiguration",
];

/** A policy written into a user or a role. */
const inlinePolicy = (owner: string): Kind => ({
  named: "name",
  replaces: ["name", "namePrefix", owner],
  id: (inputs) => `${text(inputs[owner])}:${text(inputs.name)}`,
  place: (inputs) => `${text(inputs[owner])}:${text(inputs.name)}`,
  takesOver: true,
});
const attachment = (owner: string): Kind => ({
  replaces: "all",
  id: joined(owner, "policyArn"),
  place: joined(owner, "policyArn"),
  takesOver: true,
});
/** An entity of IAM that is known by its name. */
const entity = (kind: string, more: Partial<Kind> = {}): Kind => ({
  named: "name",
  replaces: [],
  id: joined("name"),
  ...more,
  outputs: (known) => ({
    arn: arn("iam", `:${account}:${kind}${text(known.inputs.path) || "/"}${text(known.inputs.name)}`),
    uniqueId: upper(20, kind, known.stack, known.id),
    ...tagsAll(known),
    ...more.outputs?.(known),
  }),
});

/** By token without the package. */
export const kinds: Readonly<Record<string, Kind>> = {
  "s3/bucket:Bucket": {
    named: "bucket",
    replaces: ["bucket", "bucketPrefix", "bucketNamespace", "objectLockEnabled", "region"],
    id: joined("bucket"),
    outputs: (known) => {
      const [name, where] = [text(known.inputs.bucket), region(known.inputs, known.settings)];
      return {
        arn: arn("s3", `::${name}`),
        bucketDomainName: `${name}.s3.amazonaws.com`,
        bucketRegionalDomainName: `${name}.s3.${where}.amazonaws.com`,
        bucketRegion: where,
        region: where,
        hostedZoneId: upper(14, where),
        forceDestroy: false,
        objectLockEnabled: false,
        ...tagsAll(known),
      };
    },
  },
  ...Object.fromEntries(
    bucketSettings.map((name): [string, Kind] => [`s3/bucket${name}:Bucket${name}`, ofBucket]),
  ),
  "s3/bucketObjectv2:BucketObjectv2": {
    replaces: ["bucket", "key", "region"],
    id: joined("key"),
    place: joined("bucket", "key"),
    takesOver: true,
    needs: needsBucket,
    outputs: (known) => ({
      etag: digits(32, known.id, known.time),
      versionId: digits(32, known.time, known.id),
    }),
  },
  "iam/user:User": entity("user"),
  "iam/role:Role": entity("role", {
    replaces: ["name", "namePrefix", "path"],
    outputs: ({ was, time }) => ({ createDate: was.createDate ?? time, maxSessionDuration: 3_600 }),
  }),
  "iam/policy:Policy": {
    named: "name",
    replaces: ["name", "namePrefix", "path", "description"],
    id: (inputs) => arn("iam", `:${account}:policy${text(inputs.path) || "/"}${text(inputs.name)}`),
    outputs: (known) => ({
      arn: known.id,
      policyId: upper(21, known.stack, known.id),
      attachmentCount: 0,
      ...tagsAll(known),
    }),
  },
  "iam/accessKey:AccessKey": {
    replaces: ["user", "pgpKey"],
    id: (_inputs, seed) => `AKIA${digits(16, ...seed).toUpperCase()}`,
    needs: needsUser,
    secrets: ["secret", "sesSmtpPasswordV4"],
    outputs: ({ id, was, time }) => ({
      createDate: was.createDate ?? time,
      status: "Active",
      secret: `recorded-secret-${digits(24, "secret", id)}`,
      sesSmtpPasswordV4: `recorded-smtp-${digits(24, "smtp", id)}`,
    }),
  },
  "iam/userPolicy:UserPolicy": { ...inlinePolicy("user"), needs: needsUser },
  "iam/rolePolicy:RolePolicy": inlinePolicy("role"),
  "iam/userPolicyAttachment:UserPolicyAttachment": attachment("user"),
  "iam/rolePolicyAttachment:RolePolicyAttachment": attachment("role"),
  "kms/key:Key": {
    replaces: ["customerMasterKeySpec", "customKeyStoreId", "keyUsage", "multiRegion", "region", "xksKeyId"],
    id: (_inputs, seed) => uuid(...seed),
    outputs: (known) => {
      const where = region(known.inputs, known.settings);
      return {
        arn: arn("kms", `${where}:${account}:key/${known.id}`),
        keyId: known.id,
        customerMasterKeySpec: "SYMMETRIC_DEFAULT",
        keyUsage: "ENCRYPT_DECRYPT",
        isEnabled: true,
        multiRegion: false,
        region: where,
        ...tagsAll(known),
      };
    },
  },
  "kms/alias:Alias": {
    replaces: ["name", "namePrefix", "region"],
    id: joined("name"),
    place: joined("name"),
    outputs: ({ inputs, settings }) => {
      const where = region(inputs, settings);
      const key = text(inputs.targetKeyId);
      return {
        arn: arn("kms", `${where}:${account}:${text(inputs.name)}`),
        targetKeyArn: key.startsWith("arn:") ? key : arn("kms", `${where}:${account}:key/${key}`),
        region: where,
      };
    },
  },
};

const functions: Catalog["functions"] = {
  "aws:index/getCallerIdentity:getCallerIdentity": () => ({
    id: account,
    accountId: account,
    arn: arn("iam", `:${account}:user/recorder`),
    userId: upper(21, "recorder"),
  }),
  "aws:index/getPartition:getPartition": () => ({
    id: "aws",
    partition: "aws",
    dnsSuffix: "amazonaws.com",
    reverseDnsPrefix: "com.amazonaws",
  }),
  "aws:index/getRegion:getRegion": (args, settings) => {
    const name = region(args, settings);
    return { id: name, name, region: name, description: name, endpoint: `ec2.${name}.amazonaws.com` };
  },
  "aws:iam/getPolicyDocument:getPolicyDocument": (args) => {
    const json = JSON.stringify(policyDocument(args), undefined, 2);
    return { ...args, id: digits(10, json), json, minifiedJson: JSON.stringify(JSON.parse(json)) };
  },
};

/** The statements as IAM writes them. */
function policyDocument({ statements, version, policyId }: Properties): object {
  const list = (value: Value | undefined): readonly Value[] => (Array.isArray(value) ? value : []);
  const one = (values: readonly Value[]): Value => (values.length === 1 ? (values[0] ?? null) : values);
  const named = (name: string, value: Value | undefined): object =>
    list(value).length === 0 ? {} : { [name]: one(list(value)) };
  const principals = (name: string, value: Value | undefined): object => {
    const found = list(value) as readonly { type: string; identifiers: readonly Value[] }[];
    if (found.length === 0) return {};
    const [first] = found;
    if (first?.type === "*") return { [name]: "*" };
    return { [name]: Object.fromEntries(found.map(({ type, identifiers }) => [type, one(identifiers)])) };
  };
  const conditions = (value: Value | undefined): object => {
    const found = list(value) as readonly { test: string; variable: string; values: readonly Value[] }[];
    const tests: Record<string, Record<string, Value>> = {};
    for (const { test, variable, values } of found) tests[test] = { ...tests[test], [variable]: one(values) };
    return found.length === 0 ? {} : { Condition: tests };
  };
  return {
    Version: text(version) || "2012-10-17",
    ...(policyId === undefined ? {} : { Id: policyId }),
    Statement: (list(statements) as readonly Properties[]).map((statement) => ({
      ...(statement.sid === undefined ? {} : { Sid: statement.sid }),
      Effect: text(statement.effect) || "Allow",
      ...named("Action", statement.actions),
      ...named("NotAction", statement.notActions),
      ...named("Resource", statement.resources),
      ...named("NotResource", statement.notResources),
      ...principals("Principal", statement.principals),
      ...principals("NotPrincipal", statement.notPrincipals),
      ...conditions(statement.conditions),
    })),
  };
}

export const aws = () =>
  modelOf({
    package: "aws",
    kinds: Object.fromEntries(Object.entries(kinds).map(([type, kind]) => [`aws:${type}`, kind])),
    functions,
    id: (seed) => digits(26, ...seed),
  });
