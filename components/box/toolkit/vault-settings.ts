import { isAbsolute, join, resolve } from "node:path";
import { readJson, writeDurably } from "./durable.ts";

/** What a machine knows of its vault, per system (CHR-11): where backups go, under which keys, and what is backed up. */

/** A folder (development, tests), or a bucket on S3. */
export type VaultTarget =
  | { readonly kind: "folder"; readonly path: string }
  | {
      readonly kind: "s3";
      readonly bucket: string;
      readonly region: string;
      /** An S3 server that is not AWS, @example "http://10.77.0.1:7070" */
      readonly endpoint?: string;
      /** The add-only identity of this system. */
      readonly accessKeyId: string;
      readonly secretAccessKey: string;
    };

export interface VaultSettings {
  readonly system: string;
  readonly target: VaultTarget;
  /** Encrypts on the machine, before anything leaves it. Who loses it has no backups. */
  readonly password: string;
  readonly database: VaultDatabase | null;
  readonly configuration: VaultConfiguration | null;
  /** Days that the journal is kept. */
  readonly logDays: number;
}

export interface VaultDatabase {
  readonly url: string;
  /** Config key that holds the URL, for errors; @example "chrono:databaseUrl" */
  readonly key: string;
  /** A role that may create databases, where the one of `url` may not: for restoring and verifying. */
  readonly adminUrl: string | null;
}

export interface VaultConfiguration {
  /** Repository that the machine's configuration is committed to, by any URL that git knows. */
  readonly git: string;
  readonly branch: string;
  /** Lines of a known_hosts file; needed with an SSH URL. */
  readonly knownHosts: string | null;
  /** Private SSH key, or a token for HTTPS. */
  readonly key: string | null;
}

/** Where the vault's files of one system are on this machine; everything in it has mode 0600 in a folder of 0700. */
export interface VaultFolder {
  readonly path: string;
}

export function vaultFolder(stateDirectory: string, system: string): VaultFolder {
  if (!/^[a-z][a-z0-9-]{0,30}$/.test(system)) {
    throw new Error(`found the system "${system}", expected small letters, digits and dashes`);
  }
  return { path: join(stateDirectory, "vault", system) };
}

export function passwordFile(folder: VaultFolder): string {
  return join(folder.path, "password");
}

/** The password is a file of its own because restic reads it there: it is then in nobody's environment or arguments. */
export async function writeSettings(folder: VaultFolder, settings: VaultSettings): Promise<void> {
  const { password, ...rest } = settings;
  if (password.trim() === "" || /[\r\n]/.test(password)) {
    throw new Error("vault:password: expected one line that is not empty; set it with --secret");
  }
  await writeDurably(passwordFile(folder), `${password}\n`);
  await writeDurably(join(folder.path, "settings.json"), JSON.stringify(rest));
}

/** All but the password; null where no vault was prepared for the system. */
export async function readSettings(folder: VaultFolder): Promise<Omit<VaultSettings, "password"> | null> {
  return readJson(join(folder.path, "settings.json"));
}

export type KnownSettings = Omit<VaultSettings, "password">;

/** @throws where the machine has no vault for the system */
export async function requireSettings(folder: VaultFolder, system: string): Promise<KnownSettings> {
  const settings = await readSettings(folder);
  if (settings) return settings;
  throw new Error(
    `${system} has no vault on this machine: set vault:bucket (or vault:folder in development) and vault:password, ` +
      "then run `switchyard up`",
  );
}

/** Where a repository's files are: the folder, or the path below the bucket. */
export function repositoryPath({ system, target }: KnownSettings, repository: string): string {
  if (target.kind === "s3") return `${system}/${repository}`;
  const root = isAbsolute(target.path) ? target.path : resolve(target.path);
  return join(root, system, repository);
}
