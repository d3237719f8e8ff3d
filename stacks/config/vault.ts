import { z } from "zod";
import { isDisposable } from "../../components/rollout/environment.ts";
import type { SystemContext } from "./read.ts";

/** The vault of an environment, namespace `vault` (CHR-11). */

/** Keys of namespace `vault` that are secrets; the middle two only with `endpoint`, whose bucket is not ours to make. */
export const vaultSecrets = ["password", "accessKeyId", "secretAccessKey", "configurationKey"] as const;

/** Systems with a database beside them on a box. */
const onBox = ["chrono", "pod", "deia"] as const;
/** Systems with a database: each backs up into the vault under an identity of its own. */
export const vaultSystems = [...onBox, "traider"] as const;

const days = z.number("a number of days").int("whole days").min(1, "1 day or more").max(3650, "10 years");

export const vaultSchema = z
  .strictObject({
    /** Development: a folder of the machine that backs up. */
    folder: z.string().min(1, "a folder").optional(),
    bucket: z
      .string()
      .regex(
        /^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$/,
        "small letters, digits and dashes, 3 to 63: no dots, TLS needs that",
      )
      .optional(),
    region: z
      .string()
      .regex(/^[a-z]{2}(-[a-z]+)+-\d$/, "a region such as eu-central-1")
      .optional(),
    /** An S3 server that is not AWS: its bucket and its writer's key exist already. */
    endpoint: z.url({ protocol: /^https?$/, error: "the URL of an S3 server" }).optional(),
    retention: z
      .strictObject({
        days: days.default(90),
        mode: z.enum(["COMPLIANCE", "GOVERNANCE"], "COMPLIANCE or GOVERNANCE").default("GOVERNANCE"),
      })
      .default({ days: 90, mode: "GOVERNANCE" }),
    logDays: days.default(30),
    configuration: z
      .strictObject({
        git: z.string().min(1, "the URL of a git repository"),
        branch: z
          .string()
          .regex(/^[A-Za-z0-9][A-Za-z0-9._/-]*$/, "a branch's name")
          .default("main"),
        knownHosts: z.string().optional(),
      })
      .optional(),
  })
  .default({ retention: { days: 90, mode: "GOVERNANCE" }, logDays: 30 });

export type VaultConfig = z.infer<typeof vaultSchema> & {
  readonly secrets: Partial<Record<(typeof vaultSecrets)[number], string>>;
};

/** Where the environment's backups go; null: it has no vault, which is for development only. */
export type VaultPlace =
  | { readonly kind: "folder"; readonly path: string }
  | { readonly kind: "s3"; readonly bucket: string; readonly region: string; readonly endpoint?: string };

export function vaultPlace({ folder, bucket, region, endpoint }: VaultConfig): VaultPlace | null {
  if (folder !== undefined) return { kind: "folder", path: folder };
  if (bucket === undefined || region === undefined) return null;
  return { kind: "s3", bucket, region, ...(endpoint === undefined ? {} : { endpoint }) };
}

/** @param systems those of the environment */
export function vaultChecks(
  config: VaultConfig,
  { environment, problem }: SystemContext,
  systems: readonly string[] = vaultSystems,
): void {
  const { folder, bucket, region, endpoint, configuration, secrets } = config;
  if (!isDisposable(environment)) {
    if (folder !== undefined)
      problem("folder", JSON.stringify(folder), "vault:bucket: a folder is lost with its box");
    if (bucket === undefined && folder === undefined)
      problem("bucket", "nothing", "the bucket of the backups");
    if (endpoint?.startsWith("http:")) problem("endpoint", endpoint, "https: keys and names travel to it");
    if (!configuration && onBox.some((system) => systems.includes(system))) {
      problem("configuration.git", "nothing", "the repository of the boxes' configuration");
    }
  } else if (folder !== undefined && bucket !== undefined) {
    problem("folder", JSON.stringify(folder), "either a folder or a bucket");
  }
  if (bucket !== undefined && region === undefined) problem("region", "nothing", "the region of the bucket");
  const needed = [
    ...(vaultPlace(config) === null ? [] : (["password"] as const)),
    ...(endpoint === undefined ? [] : (["accessKeyId", "secretAccessKey"] as const)),
  ];
  for (const name of needed) {
    if (secrets[name]) continue;
    problem(name, "nothing", meaning[name], { secret: true });
  }
  if (configuration && isSsh(configuration.git) && secrets.configurationKey && !configuration.knownHosts) {
    const allowed = "the pinned host key of the git server: <host> ssh-ed25519 AAAA…";
    problem("configuration.knownHosts", "nothing", allowed);
  }
}

const meaning = {
  password: "the password that the backups are encrypted with; keep it outside of the boxes, too",
  accessKeyId: "the key of the S3 server's writer",
  secretAccessKey: "the secret key of the S3 server's writer",
} as const;

function isSsh(url: string): boolean {
  return url.startsWith("ssh:") || /^[^/:]+@[^/:]+:/.test(url);
}
