import { describe } from "vitest";
import { reasonNoBox } from "./reason.ts";

/** `describe` for tests on a real box: where there can be none, the suite is skipped and its title says why. */
export function describeOnBox(title: string, body: () => void): void {
  const reason = reasonNoBox();
  if (reason === null) describe(title, body);
  else describe.skip(`${title} (skipped: ${reason})`, body);
}
