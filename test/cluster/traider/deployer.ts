/** Whoever brings pins about: the engine with the vendor's plugin, or the program's own verbs by hand. */
export interface Deployer {
  /** Said before the first test. */
  readonly name: string;
  /** Live first; releases that are in neither are deleted, if the release that serves lets them be. */
  deploy(pins: {
    readonly live: Pin;
    readonly kept: readonly Pin[];
    /** Length of a first bake. @default 20 */
    readonly bakeSeconds?: number;
  }): Promise<{ readonly ok: boolean; readonly said: string }>;
  /** Gives the secret that signs sessions another value, for releases that are made from now on. */
  rotate(jwtSecret: string): Promise<void>;
  end(): Promise<void>;
}

export interface Pin {
  readonly name: string;
  /** Tag of the example service that its images are of. */
  readonly tag: string;
  readonly colour: "blue" | "green";
  /** It comes with a migration. @default false */
  readonly migrates?: boolean;
}
