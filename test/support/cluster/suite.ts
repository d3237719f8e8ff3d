import { describe } from "vitest";
import { reasonNoCluster } from "./reason.ts";

/**
 * `describe` for tests on a real node: where there can be none, the suite is skipped and its title says why.
 * @param lacking why these tests cannot run although there is a node
 */
export function describeOnCluster(title: string, body: () => void, lacking: string | null = null): void {
  const reason = reasonNoCluster() ?? lacking;
  if (reason === null) describe(title, body);
  else describe.skip(`${title} (skipped: ${reason})`, body);
}
