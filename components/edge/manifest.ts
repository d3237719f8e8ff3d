import type { BakePolicy } from "../gates/policy.ts";
import type { EnvironmentName } from "../rollout/environment.ts";

/** What a release is on the edge: plain text from plain values, so that it can be fingerprinted and frozen. */
export interface EdgeManifest {
  readonly environment: EnvironmentName;
  readonly system: string;
  /** The name under which the pins know the release. */
  readonly release: string;
  readonly version: string;
  readonly content: EdgeContent;
  /** The ES module that answers requests, a path inside the content; null: static assets only (a CDN frontend). */
  readonly main: string | null;
  readonly assets: EdgeAssets | null;
  /** Date whose behaviour of the Workers runtime the code expects. */
  readonly compatibilityDate: string;
  readonly compatibilityFlags: readonly string[];
  /** Plain values the Worker sees in its `env`; RELEASE, the release's name, is added by the target. */
  readonly settings: Readonly<Record<string, string>>;
  /** Names of secret values in the Worker's `env`, each with the revision (HMAC) of its value. */
  readonly secrets: Readonly<Record<string, string>>;
  /** Durable Object migration the code needs: one the Worker has already been through. Null: none. */
  readonly migrationTag: string | null;
  /** Path below the front that answers 2xx when the Worker can work. */
  readonly health: string;
}

/** Where the built files are; both are opened on the runner. */
export interface EdgeContent {
  readonly kind: "folder" | "artifact";
  /** A folder, or a .tar.gz by https URL or path. */
  readonly path: string;
  /** 64 hex digits: of the folder's files (see content.ts), or of the archive; "" where there is nothing yet. */
  readonly sha256: string;
}

export interface EdgeAssets {
  /** Folder inside the content whose files are answered as they are. */
  readonly folder: string;
  /** What a path gets that is no file, where no Worker answers it. */
  readonly notFound: "none" | "404-page" | "single-page-application";
}

/** Times and limits of a leg's cutover; they change in place, without a release. */
export interface EdgePolicy extends BakePolicy {
  /** Shares of traffic that a release without a proved past gets before all of it, each watched by itself. */
  readonly steps: readonly { readonly percent: number; readonly seconds: number }[];
  /** A release with another secret may be taken back to one with the old value, which therefore must still work. */
  readonly oldSecretsWork: boolean;
}

/** What the target keeps of a leg apart from its releases. */
export interface LegRecord {
  readonly system: string;
  readonly environment: EdgeManifest["environment"];
  /** What every address of the Worker begins with, without a slash at the end: https://app.example.com, …/edge */
  readonly front: string;
  readonly policy: EdgePolicy;
  /** Receipt of the preparation: another one means that the leg has to be prepared again. */
  readonly receipt: string;
}

/** What the target keeps with a release's version. */
export interface ReleaseRecord {
  readonly manifest: EdgeManifest;
  readonly colour: "blue" | "green";
  readonly receipt: string;
}

/** Path of the asset by which a version that has no code says which release it is. */
export const releaseAsset = "/switchyard-release.txt";

/** Tag of the version that answers 503: what serves before the first release, and after the last. */
export const closedTag = "switchyard-closed";
