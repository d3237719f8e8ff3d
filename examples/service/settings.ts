import type { Fault } from "./release.ts";

/** What the environment tells the service. */
export interface Settings {
  /** 0: any free port; it is printed. */
  readonly port: number;
  readonly host: string;
  readonly release: string;
  /**
   * singleton: does its work as long as it lives, answers only health and metrics. controller: works like one, answers
   * like a service, launches bots, and tells its health in JSON.
   */
  readonly mode: "serving" | "singleton" | "controller";
  /** Where a singleton writes when it began and ended to be active. */
  readonly activationLog: string | null;
  /** /api answers 503 while this file exists. */
  readonly maintenanceFile: string | null;
  readonly databaseUrl: string | null;
  /** Bound of the drain after SIGTERM. */
  readonly drainSeconds: number;
  /** How long after SIGTERM new connections are still accepted, so that a connection just being made is answered. */
  readonly lingerMilliseconds: number;
  /** The fault of this process, in the place of its release's; "none": it has none. */
  readonly fault: Fault | "none" | null;
  /** Every EXAMPLE_ variable. */
  readonly example: ReadonlyMap<string, string>;
}

export function readSettings(env: NodeJS.ProcessEnv, version: string): Settings {
  const mode = env.MODE ?? "serving";
  if (mode !== "serving" && mode !== "singleton" && mode !== "controller") {
    throw new Error(`MODE: found "${mode}", expected serving, singleton or controller`);
  }
  return {
    port: whole(env, "PORT"),
    host: env.HOST ?? "127.0.0.1",
    release: env.RELEASE ?? version,
    mode,
    activationLog: env.ACTIVATION_LOG ?? null,
    maintenanceFile: env.MAINTENANCE_FILE ?? null,
    databaseUrl: env.DATABASE_URL ?? null,
    drainSeconds: whole(env, "DRAIN_SECONDS", "10"),
    lingerMilliseconds: whole(env, "LINGER_MILLISECONDS", mode === "singleton" ? "0" : "300"),
    fault: (env.EXAMPLE_FAULT as Fault | "none" | undefined) ?? null,
    example: new Map(
      Object.entries(env).flatMap(([name, value]) =>
        name.startsWith("EXAMPLE_") && value !== undefined ? [[name, value] as const] : [],
      ),
    ),
  };
}

function whole(env: NodeJS.ProcessEnv, name: string, fallback?: string): number {
  const text = env[name] ?? fallback;
  if (text === undefined || !/^\d+$/.test(text)) {
    throw new Error(
      `${name}: found ${text === undefined ? "nothing" : `"${text}"`}, expected a whole number`,
    );
  }
  return Number(text);
}
