import type { DoorTotals } from "../../gates/seen.ts";
import type { ServiceKind } from "../../rollout/manifest.ts";

/**
 * What the box's verbs ask of the machine. There are two hosts: systemd with HAProxy (a real box) and the local
 * supervisor with a Node front door (development). Every method is safe to repeat and to be killed in.
 */

/** A process of one release, by the name `<system>-<service>-<fingerprint>`. */
export interface Unit {
  readonly name: string;
  readonly description: string;
  readonly kind: ServiceKind;
  /** `<system>-<service>`: a singleton's process holds the lock of this name for its life (ALL-6). */
  readonly lock: string;
  readonly command: readonly string[];
  readonly directory: string;
  /** System user of its process, one of GroundSpec.users; default "switchyard", which ground always makes. */
  readonly user?: string;
  /** NAME=value per line, quoted for systemd's EnvironmentFile by `environmentFile`; mode 0600. */
  readonly environmentFile: string;
  readonly stopSeconds: number;
  /** Its process works the machine's container engine. */
  readonly engine?: {
    readonly name: "docker" | "podman";
    /** Runs after each end of the process: containers outlive a client that was killed. */
    readonly afterwards: readonly string[];
  };
}

export interface UnitState {
  /** The process runs (or is starting or stopping): for a singleton anything but "gone" blocks the next one. */
  readonly active: "running" | "starting" | "stopping" | "gone" | "failed";
  /** Times the process was started again after ending by itself, since it was last started on purpose. */
  readonly restarts: number;
  /** Resident memory of the process and its children in bytes, 0 when gone. */
  readonly memoryBytes: number;
}

/** A public port of a serving service: `<system>-<service>-<port>`. It outlives releases and restarts. */
export interface Door {
  readonly name: string;
  readonly port: number;
}

/** One release's process behind a door. */
export interface Backend {
  readonly fingerprint: string;
  readonly port: number;
}

export interface Host {
  /** Root of what the toolkit remembers (systems, records, evidence), mode 0700. */
  readonly stateDirectory: string;
  /** Root of builds and releases. */
  readonly releasesDirectory: string;

  /** System user that builds run as, without the machine's privileges; null: as whoever runs the toolkit. */
  readonly buildUser: string | null;

  /** Packages, users, folders, services of the machine itself. */
  ground(spec: GroundSpec): Promise<void>;

  /** Writes the unit's definition; starts nothing. Serving units start again after a reboot, singletons do not. */
  installUnit(unit: Unit): Promise<void>;
  startUnit(name: string): Promise<void>;
  /** Returns when the process is gone (SIGKILL after the unit's stopSeconds). */
  stopUnit(name: string): Promise<void>;
  unitState(name: string): Promise<UnitState>;
  removeUnit(name: string): Promise<void>;
  journal(name: string, lines: number): Promise<string[]>;

  /** Makes the door answer (503 while nothing is behind it). Throws when the port belongs to somebody else. */
  openDoor(door: Door): Promise<void>;
  closeDoor(door: Door): Promise<void>;
  /** What the door sends new requests to at this moment; null is 503. */
  doorServes(door: Door): Promise<Backend | null>;
  /** What the door has answered since it began; null where it cannot be asked at this moment. */
  doorTotals(door: Door): Promise<DoorTotals | null>;
  /**
   * New requests go to the backend from now on (null: 503); returns once that is so. What was there before is left
   * to finish its requests in flight: `drain` waits for that.
   */
  pointDoor(door: Door, backend: Backend | null): Promise<void>;
  /** Waits until nothing but the current backend has requests in flight, at most `seconds`; then cuts the rest. */
  drainDoor(door: Door, seconds: number): Promise<void>;
  /** What the door will send requests to after a reboot or a restart of the front door. */
  rememberDoor(door: Door, backend: Backend | null): Promise<void>;
  /** Every door that is open or remembered. */
  doors(): Promise<Door[]>;

  /**
   * Runs `switchyard-box <arguments>` apart from this process, its session and its connection, and again after any
   * end but exit 0, at once, until it exits 0; also after a reboot it is NOT started again (boot resolves). A second
   * launch under a name that still runs is refused.
   */
  launch(name: string, argv: readonly string[]): Promise<void>;
  launched(name: string): Promise<boolean>;
  /** Changes at every boot of the machine. */
  bootId(): Promise<string>;
}

export interface GroundSpec {
  /** Names of Debian packages. */
  readonly packages: readonly string[];
  /** System users, each with a home folder under the releases' root. */
  readonly users: readonly string[];
}
