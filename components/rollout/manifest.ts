import type { EnvironmentName } from "./environment.ts";
/**
 * What a release renders to: plain text from plain values, so that it can be fingerprinted, frozen and compared.
 * A manifest never holds a secret's value, only its revision; values travel beside it, on stdin.
 */

/** How a process of a system takes over: placed beside and switched, or never active twice (ALL-6). */
export type ServiceKind = "serving" | "singleton";

/** Where a release's files come from. */
export type Source =
  | {
      readonly kind: "git";
      /** A URL or a path that git understands on the target. */
      readonly url: string;
      readonly tag: string;
      /** The commit the tag named when the release was frozen (40 hex digits); a moved tag is refused. */
      readonly commit?: string;
    }
  | {
      readonly kind: "artifact";
      /** An https URL, a file path on the target, or file:///path of a .tar.gz. */
      readonly url: string;
      /** 64 hex digits; anything else that arrives is refused. */
      readonly sha256: string;
    }
  /** Nothing is fetched: every service is an image. */
  | { readonly kind: "images" };

export interface ServiceManifest {
  readonly name: string;
  readonly kind: ServiceKind;
  /** Program and arguments, run in the release's build folder; no shell. */
  readonly command: readonly string[];
  /** Plain settings, byte for byte what the process sees. PORT and RELEASE are added by the target. */
  readonly environment: Readonly<Record<string, string>>;
  /** Names of environment variables whose values are secret, each with the revision (HMAC) of its value. */
  readonly secrets: Readonly<Record<string, string>>;
  /** Path that answers 2xx when the process can work, on the port the target gives it as PORT. */
  readonly health: string;
  /** Path of Prometheus text metrics, on the same port. */
  readonly metrics?: string;
  /** Public port of the front door. A singleton behind one is only moved in a maintenance window. */
  readonly door?: number;
  /** Seconds given to requests in flight when traffic leaves. */
  readonly drainSeconds: number;
  /** Seconds between SIGTERM and SIGKILL. */
  readonly stopSeconds: number;
  /** The service is a container of the release's compose project instead of a process of its build (POD-3). */
  readonly compose?: ComposeManifest;
  /** What the process shows before it takes any traffic (POD-7), besides its health. */
  readonly smoke?: readonly SmokeCheck[];
}

/** A service in a container, run by the box's compose engine. `command` of the service is the container's, if not empty. */
export interface ComposeManifest {
  /** `registry/name@sha256:…`; a tag alone is for development and staging. */
  readonly image: string;
  /** Port that the program listens on in its container; it gets it as PORT. */
  readonly port: number;
  /** Bound of the container's memory, in MiB. */
  readonly memoryMebibytes?: number;
}

/** One question to a placed release, asked of its own process. */
export type SmokeCheck =
  /** A request is answered with just this status: 200, or 401 without a token. */
  | {
      readonly name: string;
      readonly kind: "answers";
      readonly path: string;
      /** @default "GET" */
      readonly method?: string;
      readonly status: number;
    }
  /** Of so many requests at once, one at least is answered 429. */
  | { readonly name: string; readonly kind: "limits"; readonly path: string; readonly requests: number }
  /** It has written to its log. */
  | { readonly name: string; readonly kind: "logs" };

/** Which shape of the database a release needs and leaves, and how its migration changes it (CHR-8). */
export interface SchemaManifest {
  /** Folder of the source tree with NNN_name.up.sql and NNN_name.down.sql. */
  readonly folder: string;
  /** Name of the environment variable (a secret) that holds the PostgreSQL URL. */
  readonly url: string;
  /** Number of the last migration that must be applied; "none" runs nothing. */
  readonly provides: number;
  /** Lowest schema number the release can work with. */
  readonly needs: number;
  readonly change: "none" | "expand" | "contract";
  /**
   * A tool that migrates, instead of the folder's scripts (POD-3: `npx prisma migrate deploy`): run in the image, or
   * the build, of the service. It remembers by itself what it has applied.
   */
  readonly tool?: { readonly service: string; readonly command: readonly string[] };
}

/**
 * How a release takes over in a maintenance window (DEI-2): whoever is behind a door is never active twice, so for some
 * seconds nobody answers. The figures are those of the release; draining goes by the one that is left.
 */
export interface MaintenanceManifest {
  /**
   * File that makes the API answer 503 for as long as it exists; the services get its path as MAINTENANCE_FILE. A
   * relative path lies under the box's releases.
   */
  readonly flag: string;
  /** The window goes on once the health answer (JSON) says fewer `active_connections` than this … */
  readonly drainBelow: number;
  /** … and is given up, with nothing stopped, after so many seconds. */
  readonly drainSeconds: number;
  /** How long the new process is to log no error before it takes a request (DEI-3). */
  readonly journalSeconds: number;
  /** Path that answers 2xx when the database does, and how fast it must be; its `milliseconds`, else the whole answer's. */
  readonly database?: { readonly path: string; readonly belowMilliseconds: number };
  /** A request that a user might make: POST with this JSON body, answered 2xx. */
  readonly smoke?: { readonly path: string; readonly body: Readonly<Record<string, string>> };
}

export interface ReleaseManifest {
  readonly environment: EnvironmentName;
  readonly system: string;
  /** The name under which the pins know the release. */
  readonly release: string;
  readonly version: string;
  readonly source: Source;
  /** Commands run once in a fresh checkout, by `sh -eu -c`, each bounded by buildSeconds. */
  readonly build: readonly string[];
  readonly buildSeconds: number;
  readonly services: readonly ServiceManifest[];
  readonly schema?: SchemaManifest;
  /** Connections the release depends on, each the name of a secret that holds its URL: checked in preflight and gates (CHR-7). */
  readonly checks: { readonly postgres?: string; readonly redis?: string };
  /** Absent: traffic moves without anybody noticing. */
  readonly maintenance?: MaintenanceManifest;
}

/** A manifest with its identity: twelve hex digits over the canonical text. */
export interface PlacedRelease {
  readonly fingerprint: string;
  readonly colour: "blue" | "green";
  readonly manifest: ReleaseManifest;
}
