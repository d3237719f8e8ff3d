import { z } from "zod";

/** Fields that several systems' schemas share. Descriptions are what an error gives as "allowed". */

const numberLike = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

/** A version or the name of a release. YAML turns 1.10 into the number 1.1 and 1e5 into 100000: refused. */
export const releaseName = z
  .string({ error: 'a quoted name such as "v1.10" (YAML made a number of it)' })
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, "letters, digits, dots, dashes; at most 63; no slash")
  .refine(
    (name) => !numberLike.test(name),
    "a name that is no number: YAML changes 1.10 and 1e5; write v1.10",
  );

/** Where the public reaches a system. */
export const publicUrl = z
  .string()
  .regex(/^https?:\/\/[^/\s]+$/, "an origin without a path, such as https://api.example.com");

export const seconds = z.number().int().positive().max(86_400);
export const port = z.number().int().min(1).max(65_535);

/** Environment variables, of every service or of one (`worker.LOG_LEVEL`); values reach the process byte for byte. */
export const settings = z.record(
  z
    .string()
    .regex(
      /^([a-z][a-z0-9-]*\.)?[A-Z_][A-Z0-9_]*$/,
      "names of environment variables: capitals, digits, underscores; <service>.NAME for one service",
    ),
  z.union([z.string(), z.number(), z.boolean()]).transform(String),
);

export const schema = z.strictObject({
  folder: z.string().min(1).default("migrations"),
  provides: z.number().int().min(0),
  needs: z.number().int().min(0),
  change: z.enum(["none", "expand", "contract"]),
});

/** One frozen release, as the pins hold it. */
export const releaseEntry = z.strictObject({
  version: releaseName.optional(),
  colour: z.enum(["blue", "green"]).optional(),
  commit: z
    .string()
    .regex(/^[0-9a-f]{40}$/, "40 hex digits")
    .optional(),
  sha256: z
    .string()
    .regex(/^[0-9a-f]{64}$/, "64 hex digits")
    .optional(),
  /** Image of each service, by digest where the environment asks for it. */
  images: z.record(z.string().min(1), z.string().min(1)).optional(),
  /** SHA-256 of each artifact that is not the source itself (a Worker's folder, a package). */
  artifacts: z.record(z.string().min(1), z.string().regex(/^[0-9a-f]{64}$/, "64 hex digits")).optional(),
  settings: settings.optional(),
  schema: schema.optional(),
  fingerprint: z
    .string()
    .regex(/^[0-9a-f]{12}$/, "12 hex digits")
    .optional(),
  bad: z.string().optional(),
});

export type ReleaseEntry = z.infer<typeof releaseEntry>;

export const source = z.union([
  z.strictObject({ git: z.string().min(1), tag: z.string().default("{version}") }),
  z.strictObject({ artifact: z.string().min(1) }),
]);

/** Times and limits of the bake; they change in place, without a release. */
export const bake = z.strictObject({
  seconds: seconds.optional(),
  shortSeconds: seconds.optional(),
  healthSeconds: seconds.optional(),
  probesPerSecond: z.number().positive().max(100).optional(),
});

/** Pins of a system: what is live, what is kept placed, and the releases these name. */
export const pins = {
  live: releaseName.optional(),
  kept: z.array(releaseName).default([]),
  keep: z.number().int().min(0).max(10).default(1),
  releases: z.record(releaseName, releaseEntry).default({}),
};
