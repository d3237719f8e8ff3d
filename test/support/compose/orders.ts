/** What the stand-in engine's client and its daemon say to each other: a line of JSON each. */

/** Every call, oldest first, a line of JSON each. */
export const callsFile = "/var/lib/stand-in-engine.calls";
export const daemonSocket = "/run/stand-in-engine.sock";

/** `<folder>/<digest>/image.json` and the image's files beside it: what the registry of the stand-in holds. */
export const imagesFolder = "/srv/images";

export interface Program {
  readonly image: string;
  /** Empty: what the image starts by itself. */
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

export type Order =
  | { readonly what: "info" }
  | { readonly what: "pull"; readonly images: readonly string[] }
  | ({ readonly what: "up"; readonly project: string; readonly service: string } & Program)
  | ({ readonly what: "run" } & Program)
  | { readonly what: "stop"; readonly project: string; readonly service: string; readonly seconds: number }
  | { readonly what: "down"; readonly project: string; readonly seconds: number }
  /** For tests: names of the containers that there are, and whether each runs. */
  | { readonly what: "list" };

export interface Call {
  readonly caller: {
    readonly words: readonly string[];
    readonly user: number;
    readonly groups: readonly number[];
  };
  readonly order: Order;
}

export type Reply = { readonly out: string } | { readonly err: string } | { readonly exit: number };
