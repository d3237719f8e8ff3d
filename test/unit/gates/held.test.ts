import { expect, test } from "vitest";
import { lineText, passed } from "../../../components/gates/gate-report.ts";
import { heldGate } from "../../../components/gates/held.ts";
import type { TargetObservation } from "../../../components/rollout/observation.ts";

/** What is published, and what staging says to production, rests on every leg confirming the release. */

const [v1, v2] = ["aaaaaaaaaaaa", "bbbbbbbbbbbb"] as const;
const known = [
  { fingerprint: v1, release: "v1" },
  { fingerprint: v2, release: "v2" },
] as unknown as TargetObservation["known"];
const legs = ["box", "edge"].map((name) => ({ name, address: { kind: name } }));

async function gate(confirmed: Record<string, string | null>, baked: Record<string, string[]> = {}) {
  const report = await heldGate({ name: "pod-v2-verified", fingerprint: v2, legs }, async ({ kind }) => ({
    confirmed: confirmed[kind] ?? null,
    baked: baked[kind] ?? [],
    pending: null,
    known,
  }));
  return { ok: passed(report), lines: report.lines.map(lineText) };
}

test("a release that every leg confirms has held", async () => {
  expect(await gate({ box: v2, edge: v2 })).toEqual({
    ok: true,
    lines: [
      "✓ cutover of box: v2 is confirmed, allowed v2 is confirmed",
      "✓ cutover of edge: v2 is confirmed, allowed v2 is confirmed",
    ],
  });
});

test("one leg that confirms another one, or nothing, is enough that it has not", async () => {
  const { ok, lines } = await gate({ box: v1, edge: null });
  expect(ok).toBe(false);
  expect(lines).toEqual([
    "✗ cutover of box: v1 is confirmed, allowed v2 is confirmed",
    "✗ cutover of edge: nothing is confirmed, allowed v2 is confirmed",
  ]);
  expect((await gate({ box: v2, edge: v1 })).ok).toBe(false);
});

test("a kept one has held where it served a whole bake", async () => {
  const { ok, lines } = await gate({ box: v1, edge: v1 }, { box: [v2, v1], edge: [v2, v1] });
  expect(ok).toBe(true);
  expect(lines[0]).toBe("✓ cutover of box: v2 served here, allowed v2 is confirmed");
});
