import { expect, it } from "vitest";
import { stepResolver } from "../../operations/events.ts";
import { judgesTheMachine } from "../../operations/takeback.ts";

/** What a failed step says: that the release is bad, or that something was missing which it needs. */

const resolve = stepResolver(["chrono", "pod"]);
const judged = (name: string) =>
  judgesTheMachine(resolve(`urn:pulumi:production::switchyard::command:X::${name}`));

it.each([
  "chrono-vault",
  "chrono-policy",
  "chrono-cutover",
  "chrono-edge-ground",
  "chrono-v1.4.2-7c1f00000001-preflight",
  "chrono-v1.4.2-7c1f00000001-box-preflight",
  "pod-v2-7c1f00000001-cluster-backup",
])("%s says nothing of the release", (name) => {
  expect(judged(name)).toBe(true);
});

it.each([
  "chrono-v1.4.2-7c1f00000001-migrate",
  "chrono-v1.4.2-7c1f00000001-place",
  "chrono-v1.4.2-7c1f00000001-box-place",
  "chrono-v1.4.2-7c1f00000001-box-gates",
  "pod-v2-7c1f00000001-edge-gates",
  "pod-v2-7c1f00000001-scan",
])("%s judges the release, on whichever leg", (name) => {
  expect(judged(name)).toBe(false);
});
