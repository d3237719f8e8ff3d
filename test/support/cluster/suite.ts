import { describe } from "vitest";
import { reasonNoCluster } from "./reason.ts";

/** `describe` for tests on a real node: where there can be none, the suite is skipped and its title says why. */
export function describeOnCluster(title: string, body: () => void): void {
  const reason = reasonNoCluster();
  if (reason === null) describe(title, body);
  else describe.skip(`${title} (skipped: ${reason})`, body);
}
