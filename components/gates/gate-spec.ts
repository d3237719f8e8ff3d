import { z } from "zod";

/** What a gate is told on standard input, as JSON. Texts may begin with `{name}`: the origin of that name. */

const seconds = z.number().positive();
const share = z.number().positive().max(1);
const count = z.number().int().positive();
const texts = z.record(z.string(), z.string());

const origin = z.union([
  z.url({ protocol: /^https?$/ }),
  z.strictObject({ box: z.string(), fingerprint: z.string(), service: z.string() }),
]);

const shared = {
  /** Name of the gate: of its lines, and of the file of its evidence. */
  name: z.string().min(1),
  origins: z.record(z.string(), origin).default({}),
  /** The release has served a whole bake on this target before: it proved more there than a gate asks for. */
  served: z.boolean().default(false),
};

const target = z.strictObject({
  url: z.string(),
  method: z.string().exactOptional(),
  headers: texts.exactOptional(),
});

const loadLimits = { errors: share, p95: seconds, p99: seconds.exactOptional() };

const load = {
  ...shared,
  targets: z.array(target).min(1),
  rate: count,
  seconds,
  bodyBytes: z.number().int().min(0),
  timeoutSeconds: seconds.exactOptional(),
};

const check = z.strictObject({
  name: z.string().min(1),
  url: z.string(),
  method: z.string().exactOptional(),
  headers: texts.exactOptional(),
  body: z.string().exactOptional(),
  status: z.union([z.number(), z.array(z.number())]).exactOptional(),
  json: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])).exactOptional(),
  answerHeaders: texts.exactOptional(),
  contains: z.string().exactOptional(),
  below: seconds.exactOptional(),
  told: z.string().exactOptional(),
  release: z.string().exactOptional(),
  within: count.exactOptional(),
  patienceSeconds: z.number().min(0).exactOptional(),
});

const certificateHost = z.strictObject({
  host: z.string().min(1),
  port: count.exactOptional(),
  address: z.string().exactOptional(),
  authorities: z.string().exactOptional(),
});

const scan = z.strictObject({
  name: z.string().min(1),
  command: z.array(z.string()).min(1),
  subjects: z.array(z.string()).exactOptional(),
  seconds: seconds.exactOptional(),
  key: z.string().min(1),
});

const box = z.union([
  z.literal("local"),
  z.strictObject({ host: z.string(), port: count, user: z.string(), hostKey: z.string().optional() }),
]);

export const gateSpec = z.discriminatedUnion("gate", [
  z.strictObject({ gate: z.literal("load"), ...load, limits: z.strictObject(loadLimits) }),
  z.strictObject({
    gate: z.literal("soak"),
    ...load,
    limits: z.strictObject({
      ...loadLimits,
      memoryGrowth: z.number().positive(),
      cpu: z.number().positive(),
    }),
    services: z
      .array(z.strictObject({ name: z.string(), metrics: z.string(), cores: seconds.exactOptional() }))
      .min(1),
    scrapeSeconds: seconds.exactOptional(),
  }),
  z.strictObject({ gate: z.literal("http"), ...shared, checks: z.array(check).min(1) }),
  z.strictObject({
    gate: z.literal("certificate"),
    ...shared,
    hosts: z.array(certificateHost).min(1),
    days: z.number().min(0).exactOptional(),
  }),
  z.strictObject({ gate: z.literal("scan"), ...shared, scans: z.array(scan).min(1) }),
  z.strictObject({
    gate: z.literal("database"),
    ...shared,
    url: z.string(),
    key: z.string(),
    below: seconds.exactOptional(),
    /** Where it is asked from: the box that the application runs on. */
    box,
  }),
  z.strictObject({
    gate: z.literal("held"),
    ...shared,
    fingerprint: z.string().regex(/^[0-9a-f]{12}$/),
    /** Where each leg of the system is; see LegAddress. */
    legs: z.array(z.strictObject({ name: z.string(), address: z.looseObject({ kind: z.string() }) })).min(1),
  }),
  z.strictObject({
    gate: z.literal("evidence"),
    ...shared,
    /** Stack whose gates count, @example "staging" */
    stack: z.string().min(1),
    system: z.string().min(1),
    images: texts,
    required: z.array(z.string()).min(1),
  }),
]);

/** As written, defaults left out. */
export type GateSpec = z.input<typeof gateSpec>;
export type GateKind = GateSpec["gate"];

/** @throws naming every member that is not as it has to be */
export function readGateSpec(text: string): z.infer<typeof gateSpec> {
  let given: unknown;
  try {
    given = JSON.parse(text);
  } catch (error) {
    throw new Error(`standard input: ${(error as Error).message}; expected the gate's spec as JSON`);
  }
  const result = gateSpec.safeParse(given);
  if (result.success) return result.data;
  const problems = result.error.issues.map(({ path, message }) => `${path.join(".") || "spec"}: ${message}`);
  throw new Error(`the gate's spec is not one: ${problems.join("; ")}`);
}
