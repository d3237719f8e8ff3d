import type { Finding } from "../rollout/cutover/machine.ts";

/** The manual handle of a bake (TRD-6, emergency_stop; `switchyard stop`): the release under trial goes back at once. */
export interface EmergencyStop {
  readonly by: string;
  readonly reason: string;
}

/** What is found wrong with a release that somebody stopped. */
export function stoppedBy({ by, reason }: EmergencyStop): Pick<Finding, "rule" | "measured" | "allowed"> {
  return { rule: "emergencyStop", measured: `${reason} (${by})`, allowed: "none" };
}

/** Nothing was moved: there is no release under trial that could go back. */
export function nothingBakes(system: string): Error {
  return new Error(
    `nothing of ${system} bakes at this moment: \`switchyard flip ${system}\` leaves a confirmed release`,
  );
}
