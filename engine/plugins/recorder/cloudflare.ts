/** Cloudflare as its plugin 6.22 presents it (replacing arguments as in its Terraform provider 5.21). */
import type { Properties } from "../protocol/values.ts";
import { type Catalog, joined, type Kind, type Known, modelOf, text } from "./catalog.ts";
import { digits, uuid } from "./model.ts";

const created = ({ was, time }: Known): Properties => ({ createdOn: was.createdOn ?? time });
const modified = (known: Known): Properties => ({ ...created(known), modifiedOn: known.time });
const asUuid = (_inputs: Properties, seed: readonly (string | number)[]) => uuid(...seed);
const ofBucket = {
  id: joined("bucketName"),
  replaces: ["accountId", "bucketName"],
  takesOver: true,
} as const;

/** By token without the package. */
export const kinds: Readonly<Record<string, Kind>> = {
  "index/worker:Worker": {
    replaces: ["accountId"],
    place: joined("accountId", "name"),
    outputs: (known) => ({
      ...created(known),
      updatedOn: known.time,
      deployedOn: known.was.deployedOn ?? known.time,
      logpush: false,
      tags: [],
      references: {},
      tailConsumers: [],
      subdomain: { enabled: false, previewsEnabled: false },
    }),
  },
  // Neither a version nor a deployment can be changed or taken back: the next one takes its place.
  "index/workerVersion:WorkerVersion": {
    replaces: "all",
    stays: true,
    id: asUuid,
    outputs: (known) => ({
      ...created(known),
      number: 1 + (Number.parseInt(digits(4, known.id), 16) % 9_000),
      source: "api",
      startupTimeMs: 2,
      migrationTag: "",
      urls: [],
    }),
  },
  "index/workersDeployment:WorkersDeployment": {
    replaces: "all",
    stays: true,
    id: asUuid,
    outputs: (known) => ({ ...created(known), source: "api", authorEmail: "recorder@example.invalid" }),
  },
  "index/workersCustomDomain:WorkersCustomDomain": {
    replaces: "all",
    place: joined("accountId", "hostname"),
    takesOver: true,
    outputs: ({ id }) => ({
      certId: uuid(id),
      environment: "production",
      zoneId: digits(32, id),
      zoneName: "",
    }),
  },
  "index/workersRoute:WorkersRoute": { replaces: ["zoneId"], place: joined("zoneId", "pattern") },
  "index/workersScript:WorkersScript": {
    replaces: ["accountId", "scriptName"],
    id: joined("scriptName"),
    place: joined("accountId", "scriptName"),
    takesOver: true,
    outputs: (known) => ({ ...modified(known), etag: digits(64, known.id, known.time), startupTimeMs: 2 }),
  },
  "index/workersScriptSubdomain:WorkersScriptSubdomain": {
    replaces: ["accountId", "scriptName"],
    id: joined("accountId", "scriptName"),
    takesOver: true,
    outputs: () => ({ previewsEnabled: false }),
  },
  "index/workersCronTrigger:WorkersCronTrigger": {
    replaces: ["accountId", "scriptName"],
    id: joined("scriptName"),
    place: joined("accountId", "scriptName"),
    takesOver: true,
  },
  "index/workersKvNamespace:WorkersKvNamespace": {
    replaces: ["accountId"],
    place: joined("accountId", "title"),
    outputs: () => ({ supportsUrlEncoding: true }),
  },
  "index/workersKv:WorkersKv": {
    replaces: ["accountId", "namespaceId", "keyName"],
    id: joined("keyName"),
    place: joined("accountId", "namespaceId", "keyName"),
    takesOver: true,
  },
  "index/ruleset:Ruleset": {
    replaces: ["accountId", "zoneId", "kind", "name", "phase"],
    // A zone and an account have one entry point a phase.
    place: (inputs) =>
      ["zone", "root"].includes(text(inputs.kind))
        ? `${text(inputs.zoneId)}/${text(inputs.accountId)}/${text(inputs.phase)}`
        : undefined,
    outputs: ({ was, time }) => ({ lastUpdated: time, version: String(Number(was.version ?? 0) + 1) }),
  },
  "index/dnsRecord:DnsRecord": {
    replaces: ["zoneId", "type"],
    outputs: (known) => ({
      ...modified(known),
      proxiable: true,
      proxied: false,
      tags: [],
      commentModifiedOn: known.time,
      tagsModifiedOn: known.time,
      meta: "{}",
    }),
  },
  "index/zoneSetting:ZoneSetting": {
    replaces: ["zoneId", "settingId"],
    id: joined("settingId"),
    place: joined("zoneId", "settingId"),
    takesOver: true,
    outputs: ({ time }) => ({ editable: true, modifiedOn: time }),
  },
  "index/r2Bucket:R2Bucket": {
    replaces: ["accountId", "name", "location", "jurisdiction"],
    id: joined("name"),
    place: joined("accountId", "name"),
    outputs: ({ was, time }) => ({
      creationDate: was.creationDate ?? time,
      location: "weur",
      jurisdiction: "default",
      storageClass: "Standard",
    }),
  },
  "index/r2BucketLifecycle:R2BucketLifecycle": ofBucket,
  "index/r2BucketLock:R2BucketLock": ofBucket,
  "index/r2BucketCors:R2BucketCors": ofBucket,
  "index/d1Database:D1Database": {
    replaces: ["accountId", "name", "jurisdiction", "primaryLocationHint"],
    id: asUuid,
    place: joined("accountId", "name"),
    outputs: ({ id, was, time }) => ({
      uuid: id,
      createdAt: was.createdAt ?? time,
      version: "production",
      fileSize: 0,
      numTables: 0,
    }),
  },
  "index/queue:Queue": {
    replaces: ["accountId"],
    place: joined("accountId", "queueName"),
    outputs: (known) => ({ ...modified(known), queueId: known.id }),
  },
  "index/queueConsumer:QueueConsumer": {
    replaces: ["accountId", "queueId"],
    outputs: (known) => ({ ...created(known), consumerId: known.id }),
  },
  "index/healthcheck:Healthcheck": {
    replaces: ["zoneId"],
    outputs: (known) => ({ ...modified(known), status: "healthy", failureReason: "" }),
  },
  "index/loadBalancer:LoadBalancer": { replaces: ["zoneId"], outputs: modified },
  "index/loadBalancerPool:LoadBalancerPool": { replaces: ["accountId"], outputs: modified },
  "index/loadBalancerMonitor:LoadBalancerMonitor": { replaces: ["accountId"], outputs: modified },
  "index/list:List": {
    replaces: ["accountId", "kind", "name"],
    place: joined("accountId", "name"),
    outputs: (known) => ({ ...modified(known), numItems: 0, numReferencingFilters: 0 }),
  },
  "index/notificationPolicy:NotificationPolicy": {
    replaces: ["accountId"],
    id: asUuid,
    outputs: ({ was, time }) => ({ created: was.created ?? time, modified: time }),
  },
  "index/notificationPolicyWebhooks:NotificationPolicyWebhooks": {
    replaces: ["accountId"],
    outputs: ({ was, time }) => ({ createdAt: was.createdAt ?? time, type: "generic" }),
  },
};

const functions: Catalog["functions"] = {
  "cloudflare:index/getZone:getZone": (args) => {
    const name = text((args.filter as Properties | undefined)?.name) || "example.com";
    return {
      ...args,
      id: text(args.zoneId) || digits(32, name),
      zoneId: digits(32, name),
      name,
      status: "active",
    };
  },
};

export const cloudflare = () =>
  modelOf({
    package: "cloudflare",
    kinds: Object.fromEntries(Object.entries(kinds).map(([type, kind]) => [`cloudflare:${type}`, kind])),
    functions,
    id: (seed) => digits(32, ...seed),
  });
